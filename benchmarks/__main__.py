"""Run the comparison: ``python -m benchmarks [--loads echo,fan] [--servers odac,picows] [--rounds 7] [--write]``."""

from __future__ import annotations

import argparse
import contextlib
import sys
from dataclasses import replace
from datetime import date

from benchmarks import report
from benchmarks.loads import LOADS, LoadFailed, idle, run
from benchmarks.servers import SERVERS, Running, available, build

FIRST_PORT = 8750


def compare(names: list[str], load_name: str, rounds: int, seconds: float) -> report.Comparison:
    """Start all servers and load them in turn, in rounds, so that changes of the machine affect all of them."""
    load = LOADS[load_name]
    names = [name for name in names if not load.servers or name in load.servers]
    costs: dict[str, list[float]] = {name: [] for name in names}
    failed: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(Running(SERVERS[name], FIRST_PORT + i)) for i, name in enumerate(names)}
        for round_ in range(rounds + 1):
            for name in names:
                if name in failed:
                    continue
                try:
                    cost, _ = run(running[name], load, seconds)
                except LoadFailed as error:
                    failed[name] = str(error)
                    print(error, file=sys.stderr)
                    continue
                if round_:  # the first round warms up
                    costs[name].append(cost)
    return report.Comparison(
        load_name, load.unit, {name: figures for name, figures in costs.items() if figures}, failed
    )


def alone(names: list[str], load_name: str, rounds: int, seconds: float) -> report.Comparison:
    """As :func:`compare`, but with one server running at a time: each is started for its load and stopped after it."""
    load = LOADS[load_name]
    names = [name for name in names if not load.servers or name in load.servers]
    costs: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for i, name in enumerate(names):
            with Running(SERVERS[name], FIRST_PORT + i) as running:
                run(running, load, 0.3)  # warms up
                costs[name].append(run(running, load, seconds)[0])
    return report.Comparison(f"{load_name}, alone", load.unit, costs)


def latencies(names: list[str], rate: float, seconds: float) -> dict[str, dict[str, float]]:
    """Echo latency in an open loop, at a fixed rate far below the maximum of each server."""
    found: dict[str, dict[str, float]] = {}
    load = LOADS["echo"]
    for i, name in enumerate(names):
        with Running(SERVERS[name], FIRST_PORT + i) as running:
            paced = replace(load, mode="paced")
            try:
                _, said = run(running, paced, seconds, extra=("--rate", str(rate)))
            except LoadFailed as error:
                print(error, file=sys.stderr)
                continue
            found[name] = {key: said[key] for key in ("p50_us", "p99_us", "p999_us", "overrun")}
    return found


def main() -> None:
    """Measure what the arguments say, print it, and with ``--write`` put it into ``docs/``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--loads", default=",".join(LOADS), help=f"of {', '.join(LOADS)}")
    parser.add_argument("--servers", default="", help=f"of {', '.join(SERVERS)}; default: all that are there")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one load")
    parser.add_argument(
        "--rate", type=float, default=2000, help="messages per second for the latencies; 0 leaves them out"
    )
    parser.add_argument("--idle", type=int, default=5000, help="connections for the memory; 0 leaves it out")
    parser.add_argument(
        "--write", action="store_true", help="write the results into docs/, beside those of loads not run"
    )
    parser.add_argument("--alone", action="store_true", help="run each load a second time, with one server at a time")
    options = parser.parse_args()
    loads = [name.strip() for name in options.loads.split(",") if name.strip()]
    names = [name.strip() for name in options.servers.split(",") if name.strip()]
    for kind, asked, known in (("load", loads, LOADS), ("server", names, SERVERS)):
        if unknown := [name for name in asked if name not in known]:
            parser.error(f"no such {kind}: {', '.join(unknown)}; choose from {', '.join(known)}")
    build()
    names = names or available()
    results = report.Results(date.today().isoformat(), options.rounds, options.seconds, options.rate)
    for load_name in loads:
        results.comparisons.append(compare(names, load_name, options.rounds, options.seconds))
        print(report.table(results.comparisons[-1]), flush=True)
        if options.alone:
            print(report.table(alone(names, load_name, options.rounds, options.seconds)), flush=True)
    if options.idle:
        for i, name in enumerate(names):
            with Running(SERVERS[name], FIRST_PORT + i) as running:
                results.memory[name] = idle(running, options.idle)
        print(report.memory_table(results), flush=True)
    if options.rate:
        results.latencies = latencies(names, options.rate, options.seconds * 5)
        print(report.latency_table(results), flush=True)
    if options.write:
        report.write(report.merged(results, report.earlier()))


if __name__ == "__main__":
    main()
