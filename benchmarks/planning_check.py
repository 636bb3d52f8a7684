"""Compare the planning page's model with three processes and 10,000 rooms:
``python -m benchmarks.planning_check [--rounds 3] [--seconds 5] [--write]``.

The constants are measured again with two processes, in turn with the rooms of three, so that both are of the same
machine and hour. Everything runs on core 0 but the load generator, and only CPU time is compared. It needs redis-server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.cluster import KINDS, broker_of, measure_costs, running
from benchmarks.planning import Costs
from benchmarks.servers import BUILD, SERVERS, Running, build

RESULTS = Path(__file__).parents[1] / "docs" / "explanation" / "measured" / "planning.json"
FIRST_PORT = 8900
PROCESSES = 3
ROOMS = 10_000
DESCRIPTORS = 18_000
"""Connections of one load generator, and fewer than that of one process of Odac: some systems allow 20,000."""
NAMES = ("odac, local://", "odac, redis://")
PARTS = ("processes", "busiest", "broker")


@dataclass
class Check:
    """One rate, over one broker: medians over the rounds.

    Args:
        kind: which broker.
        rate: messages a second to all rooms together.
        members: of each room.
        reached: processes that have a member of a room, on average, of this spread of members.
        messages: how many were sent in all rounds.
        lost: deliveries that did not arrive.
        measured: CPU seconds a message, beyond what the processes and the broker take without messages: of all
            processes together, three times the busiest one, and the broker.
        predicted: the same, by the formula, with the constants of the same round.
        ratio: measured over predicted, round by round.
    """

    kind: str
    rate: float
    members: int
    reached: float
    messages: int
    lost: int
    measured: dict[str, float]
    predicted: dict[str, float]
    ratio: dict[str, float]


class Rooms:
    """Load generators, with all their connections open, between rates; as many as their descriptors ask for."""

    def __init__(self, workers: list[Running], members: int) -> None:
        count = math.ceil(ROOMS * members / DESCRIPTORS)
        ports = [f"--port{number or ''}" for number in (0, 2, 3)]
        where = [part for port, worker in zip(ports, workers, strict=True) for part in (port, str(worker.port))]
        self.processes = []
        for number in range(count):
            rooms = len(range(number, ROOMS, count))
            command = [
                *("taskset", "-c", "1", str(BUILD / "wsload"), "rooms", *where, "--size", "64"),
                *("--conns", str(rooms * members), "--topics", str(rooms), "--path", f"/topic/{number}-%d"),
            ]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self.processes.append(subprocess.Popen(command, **pipes))
        self.reached = statistics.fmean(float(line.split()[1]) for line in self._lines())

    def _lines(self) -> list[str]:
        lines = [process.stdout.readline() for process in self.processes]
        if not all(lines):
            raise SystemExit("the load generator gave up")
        return lines

    def play(self, rate: float, seconds: float, parts: list[Running]) -> tuple[list[float], dict[str, float]]:
        """Send at this rate for so many seconds; return each part's CPU seconds, and the load generators' results."""
        for process in self.processes:
            process.stdin.write(f"{rate / len(self.processes)} {seconds}\n")
            process.stdin.flush()
        self._lines()
        before = [part.cpu() for part in parts]
        told = [json.loads(line) for line in self._lines()]
        cpu = [part.cpu() - early for part, early in zip(parts, before, strict=True)]
        said = {key: sum(each[key] for each in told) for key in ("sent", "lost")}
        return cpu, {**said, "secs": max(each["secs"] for each in told)}

    def end(self) -> None:
        """Close all connections."""
        for process in self.processes:
            process.kill()
            process.wait()


def predict(cost: Costs, members: int, reached: float) -> dict[str, float]:
    """CPU seconds a message, by the page's formula, for this spread of members."""
    processes = cost.send + cost.receive * (reached - 1) + cost.deliver * members
    return {
        "processes": processes,
        "busiest": processes,
        "broker": cost.broker_in + cost.broker_out * reached,
    }


@contextlib.contextmanager
def three(name: str, port: int) -> Iterator[list[Running]]:
    """Three processes of Odac, and behind them their broker."""
    kind = KINDS[name]
    with contextlib.ExitStack() as stack:
        server, url = broker_of(kind.broker, port)
        broker = stack.enter_context(Running(server, port))
        environment = {key: value.replace("{broker}", url) for key, value in kind.environment.items()}
        environment["BENCH_PING_INTERVAL"] = "86400"
        workers = [
            stack.enter_context(Running(SERVERS[kind.server], port + 1 + each, environment))
            for each in range(PROCESSES)
        ]
        yield [*workers, broker]


def check(name: str, members: int, rates: list[float], rounds: int, seconds: float) -> tuple[list[Check], list[float]]:
    """Each rate's check, and the share of a core that each part takes without messages."""
    with contextlib.ExitStack() as stack:
        two = stack.enter_context(running(KINDS[name], FIRST_PORT))
        parts = stack.enter_context(three(name, FIRST_PORT + 10))
        rooms = Rooms(parts[:-1], members)
        stack.callback(rooms.end)
        played: dict[float, list[tuple[dict[str, float], dict[str, float], dict[str, Any]]]] = {}
        silent: list[list[float]] = []
        for _ in range(rounds):
            cost = Costs(**measure_costs(two, min(seconds, 2.0)), memory=0)
            idle, said = rooms.play(0, seconds, parts)
            idle = [each / said["secs"] for each in idle]
            silent.append(idle)
            for rate in rates:
                cpu, said = rooms.play(rate, seconds, parts)
                beyond = [(each - share * said["secs"]) / said["sent"] for each, share in zip(cpu, idle, strict=True)]
                measured = {
                    "processes": sum(beyond[:-1]),
                    "busiest": PROCESSES * max(beyond[:-1]),
                    "broker": beyond[-1],
                }
                played.setdefault(rate, []).append((measured, predict(cost, members, rooms.reached), said))
    found = []
    for rate, each in played.items():
        medians = [{part: statistics.median(one[side][part] for one in each) for part in PARTS} for side in (0, 1)]
        ratio = {part: statistics.median(one[0][part] / one[1][part] for one in each) for part in PARTS}
        sent, lost = (sum(one[2][key] for one in each) for key in ("sent", "lost"))
        found.append(Check(name, rate, members, rooms.reached, sent, lost, *medians, ratio))
    return found, [statistics.median(shares) for shares in zip(*silent, strict=True)]


def lines(found: list[Check]) -> list[str]:
    """The rows of a table: measured beside predicted."""
    rows = [
        "| broker | members | messages a second | reached | processes, µs | predicted | ratio | busiest, ratio | broker, µs | predicted | ratio |",
        "|---|" + "---:|" * 10,
    ]
    for each in found:
        us = [f"{side[part] * 1e6:.0f}" for part in ("processes", "broker") for side in (each.measured, each.predicted)]
        cells = [
            each.kind.split(", ")[1],
            each.members,
            f"{each.rate:g}",
            f"{each.reached:.2f}",
            *us[:2],
            f"{each.ratio['processes']:.2f}",
            f"{each.ratio['busiest']:.2f}",
            *us[2:],
            f"{each.ratio['broker']:.2f}",
        ]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return rows


def main() -> None:
    """Print the tables, and with ``--write`` keep what the planning page shows."""
    from benchmarks import planning
    from benchmarks.report import machine

    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning_check", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each rate")
    parser.add_argument("--rates", default="100,500,1500", help="messages a second, to all rooms together")
    parser.add_argument("--members", type=int, default=3, help="of each room")
    parser.add_argument("--write", action="store_true", help="put it into docs/, and write the planning page anew")
    options = parser.parse_args()
    build()
    rates = [float(rate) for rate in options.rates.split(",")]
    checks: list[Check] = []
    silent: dict[str, list[float]] = {}
    for name in NAMES:
        found, silent[name] = check(name, options.members, rates, options.rounds, options.seconds)
        checks += found
        print("\n".join(lines(found)), flush=True)
        print("without messages, of a core:", ", ".join(f"{share:.2%}" for share in silent[name]), flush=True)
    if options.write:
        result = {"day": date.today().isoformat(), "machine": machine(), "seconds": options.seconds}
        result |= {"rounds": options.rounds, "silent": silent, "checks": [asdict(each) for each in checks]}
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
        planning.write()


if __name__ == "__main__":
    main()
