"""The slowest deliveries of a room of 1,000 at 60 % load: ``python -m benchmarks.tail [--seconds 60]``.

Each server is measured alone: first what a delivery costs it, then at the rate that fills 60 % of its core with that, in
an open loop, so that a stall is not hidden by waiting for it. Of Odac, every collection of the garbage collector is
timed in the process as well, in CPU time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.loads import LOADS, run
from benchmarks.servers import SERVERS, Running, build

PEERS = ("odac", "picows", "ws (Node)")
MEMBERS = 1000
SHARE = 0.6


def measure(name: str, seconds: float, most: float) -> tuple[float, dict[str, float], list[float]]:
    """One server's messages a second, what the load generator says of them, and the collector's pauses in ms."""
    with tempfile.TemporaryDirectory() as folder:
        pauses = Path(folder) / "pauses.json"
        with Running(SERVERS[name], 8790, {**os.environ, "BENCH_PAUSES": str(pauses)}) as running:
            cost = statistics.median(run(running, LOADS["fan"], 1.0)[0] for _ in range(3))
            rate = min(SHARE / cost / MEMBERS, most)
            room = replace(LOADS["fan"], mode="room")
            _, said = run(running, room, seconds, 2.0, ("--rate", f"{rate:.1f}"))
        return rate, said, json.loads(pauses.read_text()) if pauses.exists() else []


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tail", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--servers", default=",".join(PEERS))
    parser.add_argument(
        "--most", type=float, default=1e9, help="messages a second, where the load generator's core fills"
    )
    options = parser.parse_args()
    build()
    print(
        "| server | messages/s | p50, ms | p99, ms | p99.9, ms | longest, ms | lost | collections | longest, CPU ms |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name in options.servers.split(","):
        rate, said, pauses = measure(name, options.seconds, options.most)
        times = " | ".join(f"{said[f'local_{key}_us'] / 1000:.1f}" for key in ("p50", "p99", "p999", "max"))
        collector = f"{len(pauses)} | {max(pauses):.2f}" if pauses else "– | –"
        print(f"| {name} | {rate:.0f} | {times} | {said['lost']:.0f} | {collector} |", flush=True)


if __name__ == "__main__":
    main()
