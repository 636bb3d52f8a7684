"""What history costs a delivery in a room of 1,000: ``python -m benchmarks.history [--base CHECKOUT]``.

Four hubs in processes of their own, one after the other in each round, so that other work of the machine affects all of
them: without history; with a rule for other rooms; with a rule for the room, for plain clients and for clients that
speak ``odac.v1``. It prints the CPU time of a delivery, and the median of the ratios within the rounds. Members'
messages go to a UDP socket that no program reads, which costs the kernel less than a client's TCP connection; with
``--null``, they go to /dev/null, so that almost only Python is measured. ``--base`` is a checkout of an earlier
version, whose delivery without history is measured as a fifth.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
MEMBERS: Final = 1000
SENDS: Final = 60
KINDS: Final = ("no history", "a rule for other rooms", "kept, plain clients", "kept, odac.v1 clients")


async def _measure(kind: str) -> float:
    """Nanoseconds of CPU for each delivery."""
    from benchmarks.where import Bench

    null, stack = _nowhere()
    bench = Bench(asyncio.get_running_loop(), null)
    rooms: Any = None
    if kind not in {"no history", "base"}:
        from odac.history.memory_store import MemoryStore, Shared
        from odac.history.position import Tickets
        from odac.history.rooms import HistoryRooms
        from odac.history.rules import History
        from odac.security.mac import Mac

        keys = [Mac(b"k" * 32)]
        rooms = HistoryRooms(bench.hub, Tickets(keys, keys), lambda: MemoryStore(Shared(time.time)), str)
        rooms.keep("other" if kind == KINDS[1] else "room", History())
        await rooms.start()
        bench.hub.history = rooms
    for _ in range(MEMBERS):
        connection = bench.connect()
        if rooms is not None:
            connection.speaks_odac = kind == KINDS[3]
        connection.join("room")
    bench.hub.delivery.flush()
    target = connection.to("room")
    data = {"text": "x" * 50}
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        for _ in range(SENDS):
            target.send(data)
            bench.hub.delivery.flush()
        best = min(best, time.process_time() - start)
    if rooms is not None:
        await rooms.stop()
    stack.close()
    return best / SENDS / MEMBERS * 1e9


def _nowhere() -> tuple[int, contextlib.ExitStack]:
    """The file that members' messages are written to: a UDP socket of this machine that is never read, or /dev/null."""
    stack = contextlib.ExitStack()
    if os.environ.get("ODAC_BENCH_NULL"):
        null = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, null)
        return null, stack
    unread = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    unread.bind(("127.0.0.1", 0))
    sender = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    sender.connect(unread.getsockname())
    return sender.fileno(), stack


def _ask(kind: str, source: Path) -> float:
    code = f"import asyncio,runpy;print(asyncio.run(runpy.run_path({str(Path(__file__))!r})['_measure']({kind!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=source,
        env={**os.environ, "PYTHONPATH": f"{source / 'src'}:{source}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, help="a checkout of an earlier version, with its accelerator compiled")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--null", action="store_true", help="write to /dev/null")
    arguments = parser.parse_args()
    if arguments.null:
        os.environ["ODAC_BENCH_NULL"] = "1"
    kinds = [*KINDS, *(["base"] if arguments.base else [])]
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(arguments.rounds):
        for kind in kinds if number % 2 else reversed(kinds):
            found[kind].append(_ask(kind, arguments.base if kind == "base" else ROOT))
    print("| a delivery in a room of 1,000 | ns of CPU | to no history |")
    print("|---|---:|---:|")
    for kind in kinds:
        ratios = [mine / base for mine, base in zip(found[kind], found["no history"], strict=True)]
        print(f"| {kind} | {statistics.median(found[kind]):.0f} | {statistics.median(ratios):.3f} |")
    from odac.config import Limits
    from odac.history.fanout import FanOut
    from odac.realtime.hub import Hub

    header = FanOut(Hub(Limits()), None, "room", 100).header((1_000_000,))  # type: ignore[arg-type]
    print(f"bytes in front of a run of one message, the 1,000,000th of the process's 100th room: {len(header.frame)}")


if __name__ == "__main__":
    main()
