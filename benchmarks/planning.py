"""Compute the resources that many connections need:
``python -m benchmarks.planning [--connections N --rooms N --rate R] [--write]``.

The constants come from ``docs/explanation/measured/cluster.json``, which ``python -m benchmarks.cluster --write`` fills,
and the ratio of three processes with many rooms to them from ``planning.json`` beside it, which
``python -m benchmarks.planning_check --write`` fills.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import statistics
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from odac.brokers.send_queue import MAX_BYTES, MAX_PAYLOADS
from odac.cluster.bus import INTERVAL
from odac.cluster.envelope import ORIGIN_BYTES, VERSION, Envelope, RoomMessage, encode
from odac.config import Limits
from odac.realtime.audience import Audience

DOCS = Path(__file__).parents[1] / "docs" / "explanation"
MEASURED = DOCS / "measured" / "cluster.json"
CHECKED = DOCS / "measured" / "planning.json"
KIND = "odac, redis://"
USED = 0.6
"""The share of a core that is planned for; the rest is for bursts, reconnects and messages from clients."""
PROTOCOL = 60
"""Bytes around a payload on the way to a broker and from it: command, lengths, the channel's name."""


@dataclass(frozen=True)
class Costs:
    """The cost of each operation, in CPU seconds unless stated otherwise.

    Args:
        deliver: a message, to one member.
        send: a message, for the process whose client sends it: read, decode, publish.
        receive: a message, for another process with members of the room.
        broker_in: a message that the broker receives.
        broker_out: a message that the broker sends to one process.
        memory: bytes of a connection.
    """

    deliver: float
    send: float
    receive: float
    broker_in: float
    broker_out: float
    memory: float


def measured() -> dict[str, Any]:
    """The last measurement."""
    found: dict[str, Any] = json.loads(MEASURED.read_text())
    return found


def costs(kind: str = KIND) -> Costs:
    """The constants of a broker."""
    found = measured()
    return Costs(**found["costs"][kind], memory=found["memory"])


def checked() -> dict[str, Any]:
    """How three processes with 10,000 rooms compared with the formula."""
    found: dict[str, Any] = json.loads(CHECKED.read_text())
    return found


def rarely() -> float:
    """The ratio of a message's cost to the constants in processes where each room rarely has a message.

    The constants come from one room that has one message right after another.
    """
    ratios: list[float] = [each["ratio"]["processes"] for each in checked()["checks"] if each["kind"] == KIND]
    return max(1.0, statistics.median(ratios))


def planned_costs() -> Costs:
    """The constants for the plan: for many rooms, each of which rarely has a message."""
    found, times = costs(), rarely()
    return replace(found, deliver=found.deliver * times, send=found.send * times, receive=found.receive * times)


def envelope_bytes(size: int = 64, room: str = "room-1234") -> int:
    """Bytes of one message between two processes."""
    envelope = Envelope(
        VERSION, bytes(ORIGIN_BYTES), 10**6, 10**6, False, [RoomMessage(Audience((room,)), 1, b"x" * size)]
    )
    return len(encode(envelope)) + PROTOCOL


def processes_reached(members: int, processes: int) -> float:
    """The average number of processes with a member of a room, if members are distributed at random."""
    return processes * (1 - (1 - 1 / processes) ** members)


@dataclass(frozen=True)
class Plan:
    """The cost of one second of load.

    Args:
        processes: how many there are.
        reached: how many of them a message goes to.
        core: the share of a core that each process uses.
        broker: the share of a core that the broker uses.
        broker_in: messages per second into it.
        broker_out: messages per second out of it.
        beats: heartbeats per second out of it, which come on top of those.
        traffic: bytes per second out of it, of both.
        memory: bytes of all connections.
    """

    processes: int
    reached: float
    core: float
    broker: float
    broker_in: float
    broker_out: float
    beats: float
    traffic: float
    memory: float


def plan(
    connections: int,
    rooms: int,
    rate: float,
    processes: int,
    cost: Costs,
    size: int = 64,
    interval: float = INTERVAL,
) -> Plan:
    """Compute it.

    Args:
        connections: in all.
        rooms: each connection is in one, and all are of one size.
        rate: messages per second to each room.
        processes: the connections are spread over them at random.
        cost: the constants.
        size: bytes of a message.
        interval: seconds between a process's heartbeats: one to every process, and one through one of its rooms.
    """
    members = connections / rooms
    messages = rooms * rate
    reached = processes_reached(round(members), processes)
    shared = float(processes > 1)
    out = messages * reached * shared
    beating = processes * 2 / interval * shared
    beats = processes * (processes + reached) / interval * shared
    # A heartbeat is assumed to cost as much as a received message, although it is not delivered to clients.
    cpu = (
        messages * (cost.send + cost.receive * (reached - 1) + cost.deliver * members)
        + (beating + beats) * cost.receive
    )
    return Plan(
        processes,
        reached,
        cpu / processes,
        ((messages + beating) * cost.broker_in + (out + beats) * cost.broker_out) * shared,
        messages * shared,
        out,
        beats,
        (out + beats) * envelope_bytes(size),
        connections * cost.memory,
    )


def needed(connections: int, rooms: int, rate: float, cost: Costs) -> Plan | None:
    """The fewest processes of which none uses more than ``USED`` of a core or holds more than ``max_connections``.

    None if there is no such number: past some point, a further process causes as much work as it takes over.
    """
    first = max(1, math.ceil(connections / Limits().max_connections))
    for processes in range(first, 2001):
        found = plan(connections, rooms, rate, processes, cost)
        if found.core <= USED:
            return found
    return None


@dataclass(frozen=True)
class Run:
    """The results of a simulated period.

    Args:
        messages: how many were sent.
        deliveries: to members.
        broker_out: copies that the broker sent.
        core: the mean share of a core over all processes.
        busiest: the same of the busiest.
        broker: the share of a core that the broker used.
        p50: seconds from the sending to a delivery in another process, the median over copies.
        p99: the same, exceeded by one copy in a hundred.
        seconds: of CPU, of all processes and the broker.
    """

    messages: int
    deliveries: int
    broker_out: int
    core: float
    busiest: float
    broker: float
    p50: float
    p99: float
    seconds: float


def simulate(
    sizes: Sequence[int],
    rate: float,
    processes: int,
    cost: Costs,
    *,
    messages: int,
    seed: int,
    evenly: bool = False,
    interval: float = INTERVAL,
) -> Run:
    """Simulate each message: every process, and the broker, does one thing at a time, in the order
    of arrival.

    Args:
        sizes: members of each room.
        rate: messages per second to each room; at random times (Poisson), from a random member.
        processes: how many.
        cost: the constants.
        messages: how many to simulate.
        seed: of the random numbers.
        evenly: members are assigned to processes in turn, not at random.
        interval: seconds between a process's heartbeats.
    """
    dice = random.Random(seed)
    rooms: list[Counter[int]] = [
        Counter(i % processes for i in range(size)) if evenly else Counter(dice.choices(range(processes), k=size))
        for size in sizes
    ]
    # Index `processes` is the broker. An event is (time, order, kind, where, room, sent at).
    free = [0.0] * (processes + 1)
    busy = [0.0] * (processes + 1)
    events: list[tuple[float, int, str, int, int, float]] = []
    order = deliveries = copies = 0
    took: list[float] = []
    at = 0.0
    for order in range(messages):
        at += dice.expovariate(rate * len(sizes))
        room = dice.randrange(len(sizes))
        sender = dice.choices(list(rooms[room]), list(rooms[room].values()))[0]
        events.append((at, order, "send", sender, room, at))
    for where in range(processes if processes > 1 else 0):
        beat = dice.uniform(0, interval)
        while beat < at:
            order += 1
            # And through each room in turn: every room has members in some process.
            events.append((beat, order, "beat", where, dice.randrange(len(sizes)), beat))
            beat += interval
    heapq.heapify(events)

    def work(where: int, now: float, seconds: float) -> float:
        start = max(now, free[where])
        free[where] = start + seconds
        busy[where] += seconds
        return free[where]

    while events:
        now, _, kind, where, room, sent = heapq.heappop(events)
        members = rooms[room]
        if kind == "send":
            deliveries += members[where]
            done = work(where, now, cost.send + cost.deliver * members[where])
            if processes > 1:
                order += 1
                heapq.heappush(events, (done, order, "broker", where, room, sent))
        elif kind == "broker":
            done = work(processes, now, cost.broker_in + cost.broker_out * len(members))
            copies += len(members)
            for other in members:
                if other != where:
                    order += 1
                    heapq.heappush(events, (done, order, "receive", other, room, sent))
        elif kind == "beat":
            done = work(where, now, 2 * cost.receive)
            order += 1
            heapq.heappush(events, (done, order, "relay", where, room, sent))
        elif kind == "relay":
            hearers = [*range(processes), *members]
            done = work(processes, now, 2 * cost.broker_in + len(hearers) * cost.broker_out)
            for other in hearers:
                order += 1
                heapq.heappush(events, (done, order, "heard", other, room, sent))
        elif kind == "heard":
            work(where, now, cost.receive)
        else:
            deliveries += members[where]
            took.append(work(where, now, cost.receive + cost.deliver * members[where]) - sent)
    took.sort()
    return Run(
        messages,
        deliveries,
        copies,
        statistics.fmean(busy[:processes]) / at,
        max(busy[:processes]) / at,
        busy[processes] / at,
        took[len(took) // 2] if took else 0.0,
        took[int(len(took) * 0.99)] if took else 0.0,
        sum(busy),
    )


# The page


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return [_row(head), "|" + "---:|" * len(head), *map(_row, rows), ""]


def check() -> tuple[float, float]:
    """CPU seconds per delivery in a room of 1,000 over two processes, one message at a time: simulated, and measured.

    The measured one is of another load than the constants, which come from rooms of 20 and of 400.
    """
    run = simulate([1000], 100.0, 2, costs(), messages=200, seed=1, evenly=True)
    return run.seconds / run.deliveries, statistics.median(measured()["single"][KIND]["cost"])


def _beats(processes: int) -> float:
    return plan(1_000_000, 10_000, 0.0, processes, costs()).beats


def fastest(kind: str) -> float:
    """Messages a second that two processes passed through a broker without loss, in the fastest run measured."""
    runs = [each for each in measured()["losses"] if each["kind"] == kind and not each["lost"] and not each["disorder"]]
    return max(float(each["sent"] / each["secs"]) for each in runs)


def _ceiling() -> list[str]:
    kinds = [kind for kind in measured()["costs"] if kind != "odac, one process"]
    rows = []
    for kind in kinds:
        cost = costs(kind)
        rows.append(
            [
                kind.split(", ")[1],
                f"{fastest(kind):,.0f}",
                *(f"{1 / (cost.broker_in + reached * cost.broker_out):,.0f}" for reached in (2, 20, 200)),
            ]
        )
    head = ["", "measured between two processes, none lost", "a core, 2 reached", "20 reached", "200 reached"]
    return [
        "Messages a second. Measured is the highest rate that was asked for, of messages that share turns of the event loop; it was met, so",
        "it is no limit. The others are computed of the broker's cost for messages one at a time, of which a core does that many. (Where",
        "handing on came out as free, it was too little to be measured, and the figure says nothing about many processes.)",
        "",
        *_table(head, rows),
        f"What comes faster waits in the sender's queue, of {MAX_PAYLOADS:,} payloads or {MAX_BYTES // 2**20} MiB. What does not fit into it is not sent to other",
        "processes, counted (`broker_dropped`) and logged once; members in the sender's own process get it all the same.",
        "",
    ]


SEED = 20
SIZES = (2, 5, 10, 20, 50, 100, 200)


def _load(connections: int, rooms: int, rate: float) -> list[str]:
    cost = planned_costs()
    rows = []
    for processes in SIZES:
        found = plan(connections, rooms, rate, processes, cost)
        full = connections / processes > Limits().max_connections
        cells = [
            processes,
            f"{found.reached:.1f}",
            f"{found.core * 100:.0f} %" if found.core < 1 else f"**{found.core * 100:.0f} %**",
            f"{found.broker_out:,.0f}",
            f"{found.beats:,.0f}",
            f"{found.traffic / 1e6:.1f} MB",
            f"{found.broker * 100:.0f} %" if found.broker < 1 else f"**{found.broker * 100:.0f} %**",
            f"**{connections / processes:,.0f}**" if full else f"{connections / processes:,.0f}",
        ]
        rows.append(cells)
    head = [
        "processes",
        "processes a message reaches",
        "CPU of each, of a core",
        "messages out of the broker, a second",
        "heartbeats out of it",
        "its traffic, a second",
        "its CPU, of a core",
        "connections each",
    ]
    return _table(head, rows)


def _simulated(connections: int, rooms: int, rate: float) -> list[str]:
    cost = planned_costs()
    rows = []
    for processes in SIZES:
        planned = plan(connections, rooms, rate, processes, cost)
        cells: list[object] = [processes, f"{planned.core * 100:.0f} %", f"{planned.broker * 100:.0f} %"]
        if max(planned.core, planned.broker) >= 0.95:
            rows.append([*cells, "does not keep up", "", "", "", ""])
            continue
        run = simulate([connections // rooms] * rooms, rate, processes, cost, messages=3000, seed=SEED)
        cells += [f"{run.core * 100:.0f} %", f"{run.busiest * 100:.0f} %", f"{run.broker * 100:.0f} %"]
        rows.append([*cells, f"{run.p50 * 1e3:.1f}", f"{run.p99 * 1e3:.1f}"])
    head = [
        "processes",
        "CPU of each, computed",
        "broker, computed",
        "CPU of each, simulated",
        "of the busiest",
        "broker, simulated",
        "to another process, p50, ms",
        "p99, ms",
    ]
    return _table(head, rows)


def _three() -> list[str]:
    """How three processes compared with the formula."""
    found = checked()
    rows = []
    for each in found["checks"]:
        us = [f"{each[side][part] * 1e6:.0f}" for part in ("processes", "broker") for side in ("measured", "predicted")]
        ratios = [f"{each['ratio'][part]:.2f}" for part in ("processes", "busiest", "broker")]
        name = each["kind"].split(", ")[1]
        rows.append([name, f"{each['rate']:,.0f}", f"{each['reached']:.2f}", *us[:2], *ratios[:2], *us[2:], ratios[2]])
    head = [
        "",
        "messages a second",
        "processes reached",
        "processes, µs a message",
        "predicted",
        "ratio",
        "of the busiest",
        "broker, µs",
        "predicted",
        "ratio",
    ]
    members, lost = found["checks"][0]["members"], sum(each["lost"] for each in found["checks"])
    spread = processes_reached(members, 3)
    return [
        f"**Three processes, 10,000 rooms of {members}**, on {found['day']}, with the constants measured again, with two processes in the same rounds",
        f"({found['rounds']} of {found['seconds']:g} s, medians; on a machine busy with other work, servers with real-time priority). CPU a message, beyond what",
        f"connections and heartbeats take without messages. By chance, a message should reach {spread:.2f} processes. {lost or 'No'} deliveries were missing.",
        "",
        *_table(head, rows),
        "How many processes a message reaches, and that the load spreads evenly, is as computed. The processes' constants hold for rooms that",
        "are busy, and are too low by the ratio where messages come rarely and to another room each time; the more messages a second, the",
        "closer it gets, because they begin to share turns of the event loop. The broker's are an upper bound: it takes less for a message",
        "the more there are.",
        "",
    ]


def page(connections: int = 1_000_000, rooms: int = 10_000, rate: float = 0.1) -> str:
    """The planning page."""
    constant, cost = costs(), planned_costs()
    members = connections // rooms
    simulated, real = check()
    constants = [
        ("to deliver a message to a member", constant.deliver),
        ("to read, decode and publish one", constant.send),
        ("to take one from the broker", constant.receive),
        ("the broker, to take one", constant.broker_in),
        ("the broker, to hand it to one process", constant.broker_out),
    ]
    rows = []
    for each in (0.01, 0.05, 0.1, 0.2, 0.5, 1.0):
        found = needed(connections, rooms, each, cost)
        apart = plan(connections, rooms, each, found.processes, cost) if found else None
        cells: list[object] = [f"{each:g}", f"{rooms * each:,.0f}", f"{connections * each:,.0f}"]
        if apart is None:
            rows.append([*cells, "more than 2,000", "", "", "", ""])
        else:
            broker = f"{apart.broker * 100:.0f} %" if apart.broker < USED else f"**{apart.broker * 100:.0f} %**"
            rows.append(
                [
                    *cells,
                    apart.processes,
                    f"{apart.reached:.1f}",
                    f"{apart.broker_out:,.0f}",
                    f"{apart.traffic / 1e6:.1f} MB",
                    broker,
                ]
            )
    least = math.ceil(connections / Limits().max_connections)
    text = [
        "# Planning: a million connections",
        "",
        "<!-- Written by `python -m benchmarks.planning --write`; edit benchmarks/planning.py, not this page. -->",
        "",
        f"What {connections:,} connections in {rooms:,} rooms take, computed from what [was measured](measured-cluster.md) of two",
        "processes. It is a computation, not a measurement. Its use is to see what grows with what.",
        "",
        "## The constants",
        "",
        f"Of {KIND.split(', ')[1]}, on {measured()['machine']}, on {measured()['day']}; each message of 64 bytes in a turn of the event loop",
        "separately, which is the most expensive way: under load they share turns, wake-ups and writes. Yours differ:",
        "`python -m benchmarks.cluster --write` measures them and rewrites this page.",
        *(
            [
                f"Other programs ran meanwhile (load average {measured()['load_before']:.1f}), which makes them dearer still, the broker's most."
            ]
            if measured()["load_before"] > 2
            else []
        ),
        "",
        *_table(["µs of CPU", ""], [[f"{value * 1e6:.1f}", what] for what, value in constants]),
        f"A silent connection in a room takes {cost.memory / 1024:.1f} KiB, a message between two processes {envelope_bytes()} bytes. Kernel memory",
        "for sockets comes on top: a few KiB for a silent one, and what has not been read for a busy one.",
        "",
        "**Messages that come rarely cost more.** Where they come now and then, and each time to another of 10,000 rooms, the first three cost",
        f"{rarely():.2f} times that ([below](#how-well-the-model-fits)), presumably because what they need is no longer in the processor's caches.",
        "All that follows is computed with it.",
        "",
        "## The formula",
        "",
        "With *N* processes over which the *m* members of a room are spread by chance, a message reaches",
        "",
        "```text",
        "k = N × (1 − (1 − 1/N)^m)",
        "```",
        "",
        "of them. It costs the sender's process *send*, *k* − 1 others *receive*, the members *m* × *deliver* in all, and the broker *in* +",
        "*k* × *out*. What matters is how *k* compares with *m*: with far more processes than members, each member costs a *receive*, and a",
        "further process saves the others nothing.",
        "",
        f"Each process sends a heartbeat every {INTERVAL:g} s, to every process and through one of its rooms. That is 2 × *N* / {INTERVAL:g} messages a",
        f"second into the broker and *N* × (*N* + *k*) / {INTERVAL:g} out of it: it grows with the square of *N*, whatever is sent. All figures",
        "below include it, as if a heartbeat cost what a message costs that is received.",
        "",
        f"## {connections:,} connections, {rooms:,} rooms of {members}",
        "",
        f"**Memory**: {connections * cost.memory / 1e9:.1f} GB for connections in all processes together, and some 40 MB for each process.",
        f"**Processes**: {least} at least, for `Limits.max_connections` is {Limits().max_connections:,}; and as many as keep each at {USED:.0%} of a core:",
        "",
        *_table(
            [
                "messages a room, a second",
                "messages a second",
                "deliveries a second",
                "processes",
                "reached by each message",
                "out of the broker, a second",
                "its traffic, a second",
                "its CPU, of a core",
            ],
            rows,
        ),
        f"Where the broker's CPU is above {USED:.0%} of a core (bold), one Redis is not enough: use `redis+cluster://`, which spreads rooms over",
        "nodes, so that each node has its share of that sum.",
        "",
        f"## More processes, one load: {rate:g} messages a second to each room",
        "",
        f"{rooms * rate:,.0f} messages and {connections * rate:,.0f} deliveries a second. What does not fit into one is bold.",
        "",
        *_load(connections, rooms, rate),
        "## The same, played through",
        "",
        "A simulation of 3,000 messages: members are dealt to processes by chance, messages come by chance, and each process and the broker",
        "does one thing at a time. It adds what the formula cannot say: how uneven it gets, and how long a message waits. Times leave out",
        "the network. It was run with a fixed seed, and a test runs it again.",
        "",
        *_simulated(connections, rooms, rate),
        "## How well the model fits",
        "",
        "The constants come from rooms of 20 and of 400. For a room of 1,000 over two processes, one message at a time, the model says",
        f"{simulated * 1e6:.2f} µs a delivery, and {real * 1e6:.2f} µs were measured ({simulated / real - 1:+.0%}). With eight messages in flight, which then share turns of the",
        f"event loop, {statistics.median(measured()['fan'][KIND]['cost']) * 1e6:.2f} µs were measured: for a busy room the model errs on the side of too many processes. A test keeps it within a factor of",
        "one and a half of what was measured one at a time.",
        "",
        *_three(),
        "Left out: what clients send besides, pings (each connection one every 25 s), handshakes after a deployment, compression, TLS, the",
        "network between machines, and orders to close: each goes to all processes, as a broadcast does, and one that comes back after an",
        "outage is told the orders and the counts of that time by each of the others.",
        "",
        "## How fast one broker is",
        "",
        *_ceiling(),
        "## What follows",
        "",
        f"- If all members of a room were in one process, the broker would carry nothing, and {least} processes would do for the connections. No",
        "  balancer does that by itself; a path or a host name a room (`/room/7`, `balance uri`) can, and is worth it where rooms are large and",
        "  busy. It is an optimization: nothing becomes wrong if a member lands elsewhere.",
        "- Few large processes are better than many small ones, as long as each has a core: also because of the heartbeats, which are",
        f"  {_beats(200):,.0f} a second with 200 processes and {_beats(1000):,.0f} with 1,000.",
        "- Under load, messages that are sent in one turn of the event loop travel and are written together, so send what belongs together in",
        "  one turn.",
        "",
    ]
    return _wrapped("\n".join(text))


def _wrapped(text: str) -> str:
    """The text with its paragraphs and list items at most 120 characters wide; tables and headings stay as they are."""
    blocks: list[list[str]] = []
    for line in text.split("\n"):
        begins = not blocks or not _is_prose(line) or not _is_prose(blocks[-1][-1]) or line.startswith(("- ", "**"))
        if begins:
            blocks.append([])
        blocks[-1].append(line.strip() if _is_prose(line) else line)
    return "\n".join(map(_filled, blocks))


def _is_prose(line: str) -> bool:
    return bool(line) and not line.startswith(("|", "#", "<", "```"))


def _filled(block: list[str]) -> str:
    if not _is_prose(block[0]):
        return block[0]
    indent = "  " if block[0].startswith("- ") else ""
    return textwrap.fill(" ".join(block), 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def write() -> None:
    """Put the page into ``docs/explanation``."""
    (DOCS / "planning.md").write_text(page())


def main() -> None:
    """Print what the arguments ask for, or write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=__doc__)
    parser.add_argument("--connections", type=int, default=1_000_000)
    parser.add_argument("--rooms", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=0.1, help="messages per second to each room")
    parser.add_argument("--write", action="store_true", help="write the page into docs/, for the defaults")
    options = parser.parse_args()
    if options.write:
        write()
    else:
        print(page(options.connections, options.rooms, options.rate))


if __name__ == "__main__":
    main()
