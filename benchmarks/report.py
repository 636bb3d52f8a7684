"""Results as tables, as JSON and as a plot."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from textwrap import fill

from benchmarks.loads import LOADS
from benchmarks.servers import HERE, SERVERS

DOCS = HERE.parent / "docs" / "explanation"
REFERENCE = "C loop"
REFERENCES = (REFERENCE, "picows", "uWebSockets")
"""The servers that each server is compared with: the fastest possible process, and the fastest in two languages."""

WHY = """\
Which ratio to go by: machines differ by a factor of four in how fast they run Python, and hardly in their kernels. The C
loop's time is nearly all the kernel's, so the ratio to it says as much about the machine as about the server: a
handshake with all gates took 3.95 times the C loop's on one machine and 12.4 times on another, plain ASGI 2.7 times the
direct lane's echo on one and 7.4 times on another. picows runs the same interpreter under the same event loop, and
uWebSockets is compiled like the C loop but does a WebSocket server's work; the ratios to these two move less.

uWebSockets has no package to install. Where its source is at hand, compile `benchmarks/peers/uws.cpp` with it, by the
commands at its beginning, and name the program: `UWEBSOCKETS=path/to/uws make bench`.
On 2026-12-01, with real-time priority, seven rounds of 0.7 s, server CPU as a ratio to uWebSockets', the median of the
rounds, and the lowest and highest:

| load | odac | lowest to highest | picows | lowest to highest |
|---|---:|---:|---:|---:|
| echo, 100 connections | 1.39 | 1.13 to 2.08 | 1.77 | 1.48 to 2.30 |
| ten in flight | 0.90 | 0.83 to 0.99 | 1.38 | 1.15 to 1.51 |
| room of 1,000 | 0.93 | 0.82 to 1.01 | 1.28 | 1.07 to 1.37 |
| eight messages in flight | 0.84 | 0.73 to 1.05 | 5.20 | 4.57 to 6.30 |

`make bench ARGS="--alone …"` runs each load a second time with one server at a time, instead of all at once on one
core: that shows whether the others, which hold memory and sleep meanwhile, disturb each other through the processor's
caches. On 2026-12-01, on a machine that was busy with other work, five rounds each, Odac's ratio to picows was with
all at once and one at a time: echo 0.84 and 0.94, room of 1,000 0.83 and 0.80; to the C loop 1.24 and 1.37, 0.97 and
1.04. The rounds of either way lie further apart than the two ways do: no effect of being measured together is
visible."""


@dataclass
class Comparison:
    """One load over several servers.

    Args:
        load: its name.
        unit: what one operation is.
        costs: server: CPU seconds per operation, one a round.
        failed: server: why it has no figure.
        later: the day on which this load alone was measured again, and the number of rounds; empty if it was measured
            with the others.
    """

    load: str
    unit: str
    costs: dict[str, list[float]]
    failed: dict[str, str] = field(default_factory=dict)
    later: str = ""

    def ratios(self, name: str, to: str = REFERENCE) -> list[float]:
        """Round by round: this server's cost over another's of the same round."""
        reference = self.costs.get(to, [])
        return [own / other for own, other in zip(self.costs[name], reference, strict=False)]


@dataclass
class Results:
    """Everything that one run measured."""

    day: str
    rounds: int
    seconds: float
    rate: float
    comparisons: list[Comparison] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    latencies: dict[str, dict[str, float]] = field(default_factory=dict)


def table(comparison: Comparison) -> str:
    """Server CPU per operation: the median, the spread of the rounds, and the median ratios to :data:`REFERENCES`."""
    present = [name for name in REFERENCES if name in comparison.costs]
    heads = "".join(f" to {'the ' * (name == REFERENCE)}{name} | lowest to highest |" for name in present)
    rows = [
        wrapped(f"**{comparison.load}**: server CPU per {comparison.unit}, and its ratios"),
        "",
        f"| server | µs, median | lowest to highest |{heads}",
        "|---|---:|---:|" + "---:|---:|" * len(present),
    ]
    for name, costs in sorted(comparison.costs.items(), key=lambda item: statistics.median(item[1])):
        micro = [cost * 1e6 for cost in costs]
        row = f"| {name} | {statistics.median(micro):.2f} | {min(micro):.2f} to {max(micro):.2f} |"
        for other in present:
            ratios = comparison.ratios(name, other)
            row += (
                f" {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} |" if ratios else " – | – |"
            )
        rows.append(row)
    rows += [f"| {name} | {escape(why)} | |{' | |' * len(present)}" for name, why in comparison.failed.items()]
    return "\n".join(rows) + "\n"


def memory_table(results: Results) -> str:
    """Memory per idle connection."""
    rows = ["**memory**: growth of the resident size per idle connection", "", "| server | KiB |", "|---|---:|"]
    rows += [
        f"| {name} | {size / 1024:.2f} |" for name, size in sorted(results.memory.items(), key=lambda item: item[1])
    ]
    return "\n".join(rows) + "\n"


def latency_table(results: Results) -> str:
    """Latency at a fixed rate."""
    rows = [
        f"**latency**: echo at {results.rate:g} messages per second over 100 connections, counted from when each was due",
        "",
        "| server | p50, µs | p99, µs | p99.9, µs | not sent in time |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, said in sorted(results.latencies.items(), key=lambda item: item[1]["p99_us"]):
        rows.append(
            f"| {name} | {said['p50_us']:.0f} | {said['p99_us']:.0f} | {said['p999_us']:.0f} | {said['overrun']:.0f} |"
        )
    return "\n".join(rows) + "\n"


def settings_table() -> str:
    """The settings that are not defaults, server by server."""
    rows = ["| server | settings |", "|---|---|"]
    rows += [f"| {server.name} | {server.note or 'defaults'} |" for server in SERVERS.values()]
    return "\n".join(rows) + "\n"


def plot(comparison: Comparison) -> str:
    """One bar for each server: the median, and a line from the lowest to the highest round."""
    items = sorted(comparison.costs.items(), key=lambda item: statistics.median(item[1]))
    longest = max(statistics.median(costs) for _, costs in items) * 1e6
    height, left, width = 26, 190, 640
    scale = (width - left - 90) / longest
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height * len(items) + 34}" font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{escape(comparison.load)}: server CPU per operation</title>",
        f'<rect width="100%" height="100%" fill="#fff"/><text x="8" y="20" font-weight="600">{escape(comparison.load)}: µs of server CPU per operation</text>',
    ]
    for row, (name, costs) in enumerate(items):
        y = 34 + row * height
        micro = sorted(cost * 1e6 for cost in costs)
        median = statistics.median(micro)
        colour = "#1f6f8b" if name.startswith("odac") else "#9aa5b1"
        low, high = (left + min(value, longest) * scale for value in (micro[0], micro[-1]))
        parts.append(
            f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{left}" y="{y + 3}" width="{median * scale:.1f}" height="{height - 9}" fill="{colour}"/>'
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y + 11}" y2="{y + 11}" stroke="#222" stroke-width="1.5"/>'
            f'<text x="{max(left + median * scale, high) + 6:.1f}" y="{y + 15}">{median:.1f}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def machine() -> str:
    """The hardware and software on which the figures were measured."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores ({model}), Linux {platform.release().split('-')[0]}, CPython {platform.python_version()}"


def wrapped(text: str) -> str:
    """The text's paragraphs in lines of at most 120 columns; tables as they are."""
    parts = text.split("\n\n")
    return "\n\n".join(each if each.startswith("|") else fill(each, 120, break_on_hyphens=False) for each in parts)


def earlier() -> Results | None:
    """The results that are in ``docs/explanation`` now."""
    file = DOCS / "measured" / "results.json"
    if not file.exists():
        return None
    found = json.loads(file.read_text())
    return Results(**{**found, "comparisons": [Comparison(**each) for each in found["comparisons"]]})


def merged(new: Results, old: Results | None) -> Results:
    """The new results, together with the old ones that were not measured again."""
    if old is None:
        return new
    again = {each.load for each in new.comparisons}
    kept = [each for each in old.comparisons if each.load not in again]
    order = list(LOADS)
    if kept:
        for each in new.comparisons:
            each.later = f"{new.day}, {new.rounds} rounds"
        new.day, new.rounds, new.seconds = old.day, old.rounds, old.seconds
    new.comparisons = sorted([*kept, *new.comparisons], key=lambda each: order.index(each.load))
    new.memory = new.memory or old.memory
    if not new.latencies:
        new.latencies, new.rate = old.latencies, old.rate
    return new


def write(results: Results) -> None:
    """Put the results into ``docs/explanation``: a page, the raw figures, and a plot for each load."""
    (DOCS / "measured").mkdir(parents=True, exist_ok=True)
    (DOCS / "measured" / "results.json").write_text(json.dumps(asdict(results), indent=1) + "\n")
    how = (
        f"On {results.day}, on {machine()}. All servers run at once on one core and are loaded in turn from the other, "
        f"{results.rounds} rounds of {results.seconds:g} s each, so that a machine whose speed drifts drifts for all of "
        "them. What can be compared is the ratio within one run; the microseconds are of this machine at that hour."
    )
    warning = "<!-- Written by `make bench`; edit benchmarks/report.py, not this page. -->"
    page = ["# Measured", "", warning, "", wrapped(how), "", wrapped(WHY), ""]
    for comparison in results.comparisons:
        (DOCS / "measured" / f"{comparison.load}.svg").write_text(plot(comparison))
        page += [
            f"## {comparison.load}",
            "",
            *([f"Measured again on {comparison.later}.", ""] if comparison.later else []),
            table(comparison),
            f"![{comparison.load}](measured/{comparison.load}.svg)",
            "",
        ]
    if results.memory:
        page += ["## Memory", "", memory_table(results)]
    if results.latencies:
        page += ["## Latency", "", latency_table(results)]
    page += ["## Settings", "", settings_table()]
    (DOCS / "measured.md").write_text("\n".join(page))
