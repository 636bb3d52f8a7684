"""What ``benchmarks.cluster`` has measured, as a page and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from html import escape

from benchmarks.cluster import BASE, KINDS, Fan, Results
from benchmarks.report import DOCS

PEERS = ("python-socketio", "Django Channels")
"""The Python peers, with which Odac is compared."""


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return [_row(head), "|---" + "|---:" * (len(head) - 1) + "|", *map(_row, rows), ""]


def _micro(values: Sequence[float]) -> str:
    return f"{statistics.median(values) * 1e6:.2f} | {min(values) * 1e6:.2f} to {max(values) * 1e6:.2f}"


def fan_section(results: Results) -> list[str]:
    """The room loads, and how they compare with the best Python peer."""
    text = [
        "## A room of 1,000 in two processes",
        "",
        "One member publishes 64 bytes; 500 members are in its process and 500 in the other. CPU of both processes and the broker. Every",
        "member got every message, or the run had failed.",
        "",
    ]
    for what, fans in (("Eight messages in flight", results.fan), ("One message at a time", results.single)):
        text += [f"**{what}:**", "", *_fans(fans, results.failed)]
    return text


def _fans(fans: dict[str, Fan], failed: dict[str, str]) -> list[str]:
    rows: list[list[object]] = []
    for name, fan in sorted(fans.items(), key=lambda item: statistics.median(item[1].cost)):
        shares = [statistics.median(each) * 1e6 for each in zip(*fan.shares, strict=True)]
        rows.append(
            [
                name,
                _micro(fan.cost),
                " + ".join(f"{share:.2f}" for share in shares),
                f"{1 / statistics.median(fan.cost):,.0f}",
                f"{statistics.median(fan.rate):,.0f}",
            ]
        )
    rows += [
        [name, escape(failed.get(name, "no round ended in time")), "", "", "", ""] for name in KINDS if name not in fans
    ]
    head = ["", "µs a delivery", "lowest to highest", "first + second + broker", "deliveries a CPU second", "a second"]
    text = _table(head, rows)
    peers = {name: fan for name, fan in fans.items() if KINDS[name].server in PEERS}
    ours = {name: fan for name, fan in fans.items() if KINDS[name].own and KINDS[name].broker}
    if peers and ours:
        best = min(peers, key=lambda name: statistics.median(peers[name].cost))
        told = []
        for name, fan in ours.items():
            ratios = [other / own for own, other in zip(fan.cost, peers[best].cost, strict=False)]
            told.append(f"{name} {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")
        text += [f"Deliveries per CPU second as a multiple of the best Python peer's ({best}): {'; '.join(told)}.", ""]
    return text


def latency_section(results: Results) -> list[str]:
    """The latency to the other process."""
    rows = []
    base = results.latency.get(BASE, {})
    for name, said in results.latency.items():
        side = "remote" if KINDS[name].broker else "local"
        added = [said[f"{side}_{q}_us"] - base.get(f"local_{q}_us", 0) for q in ("p50", "p99")] if base else [0.0, 0.0]
        rows.append(
            [
                name,
                *(f"{said[f'local_{q}_us']:.0f}" for q in ("p50", "p99")),
                *(f"{said[f'remote_{q}_us']:.0f}" if KINDS[name].broker else "–" for q in ("p50", "p99")),
                *(f"{each:.0f}" if KINDS[name].broker else "–" for each in added),
            ]
        )
    head = ["µs", "same process, p50", "p99", "other process, p50", "p99", "added to one process, p50", "p99"]
    return [
        "## Latency",
        "",
        "Ten messages a second to a room of 100, counted from when each was due, all processes on one core. What takes seconds did not keep",
        "up with even that on this machine at that hour.",
        "",
        *_table(head, rows),
    ]


def bystander_section(results: Results) -> list[str]:
    """The cost of rooms for a process without members of them."""
    rows = [
        [
            name,
            f"{said['messages']:.0f}",
            f"{said['idle_cpu_share'] * 100:.2f} %",
            f"{said['cpu_share'] * 100:.2f} %",
            f"{said['seconds_per_message'] * 1e6:.2f}",
            f"{said['member_seconds_per_message'] * 1e6:.1f}",
        ]
        for name, said in results.bystander.items()
    ]
    head = [
        "",
        "messages",
        "CPU of it idle",
        "meanwhile",
        "µs a message",
        "of the process with ten members, µs a message",
    ]
    return ["## A process without a member of the room", "", *_table(head, rows)]


def loss_section(results: Results) -> list[str]:
    """Complete delivery."""
    rows = [
        [
            each["kind"],
            f"{each['rate']:,.0f}",
            f"{each['sent'] / each['secs']:,.0f}",
            f"{each['sent']:,}",
            f"{each['count']:,}",
            each["lost"],
            each["disorder"],
            f"{each['remote_p99_us'] / 1000:.1f}",
        ]
        for each in results.losses
    ]
    head = ["", "asked for, a second", "taken", "messages", "deliveries", "lost", "twice or out of order", "p99, ms"]
    return [
        "## Nothing is lost",
        "",
        "Twenty members, half of them in the other process. Each message is numbered, and each member checks the numbers. What the first",
        "process does not read in time waits in the sender's socket.",
        "",
        *_table(head, rows),
    ]


def cost_section(results: Results) -> list[str]:
    """The constants of the model."""
    keys = ["deliver", "send", "receive", "broker_in", "broker_out"]
    rows = [
        [name, *(f"{costs[key] * 1e6:.2f}" if key in costs else "–" for key in keys)]
        for name, costs in results.costs.items()
    ]
    head = [
        "CPU, µs",
        "to deliver to a member",
        "to read, decode and publish",
        "to take from the broker",
        "broker, in",
        "broker, out",
    ]
    return [
        "## What a message costs",
        "",
        "Taken apart with rooms of 20 and of 400, one message at a time, each in a turn of the event loop of its own: under load, what comes in one turn",
        "travels together and costs less. [Planning](planning.md) computes with these.",
        "",
        *_table(head, rows),
        "Where the broker's *in* would come out below nothing, all of its work is counted as *out*.",
        "",
        f"Memory: {results.memory / 1024:.2f} KiB per connection that is a member of a room and silent.",
        "",
    ]


def page(results: Results) -> str:
    """The whole page."""
    busy = (
        f" Other programs ran meanwhile (load average {results.load_before:.1f} at the start), so latencies and rates are worse than"
        " they need be, and costs somewhat higher."
        if results.load_before > 2
        else ""
    )
    text = [
        "# Measured: two processes on one broker",
        "",
        "<!-- Written by `python -m benchmarks.cluster --write`; edit benchmarks/cluster_report.py, not this page. -->",
        "",
        (
            f"On {results.day}, on {results.machine}. Both processes and the broker share one core, and the load generator has the other; "
            f"{results.rounds} rounds of {results.seconds:g} s, in turn over all kinds, so that a machine whose speed drifts drifts for all of "
            f"them. What can be compared are the ratios within one run.{busy}"
        ),
        "",
        *fan_section(results),
        *latency_section(results),
        *bystander_section(results),
        *loss_section(results),
        *cost_section(results),
        "## Settings",
        "",
        *_table(["", "settings"], [[kind.name, kind.note] for kind in KINDS.values()]),
    ]
    return "\n".join(text)


def read() -> Results:
    """The last results."""
    found = json.loads((DOCS / "measured" / "cluster.json").read_text())
    for load in ("fan", "single"):
        found[load] = {name: Fan(**fan) for name, fan in found[load].items()}
    return Results(**found)


def write(results: Results) -> None:
    """Put the results into ``docs/explanation``: the page, and the figures that ``benchmarks.planning`` computes with."""
    (DOCS / "measured").mkdir(parents=True, exist_ok=True)
    (DOCS / "measured" / "cluster.json").write_text(json.dumps(asdict(results), indent=1) + "\n")
    (DOCS / "measured-cluster.md").write_text(page(results))
