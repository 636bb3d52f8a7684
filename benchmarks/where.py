"""Where the time of one echo and of one delivery goes: ``python -m benchmarks.where``.

Odac's own steps are timed in this process, on the real objects with a transport that writes to /dev/null (the best of
many short runs, so that other work of the machine has little effect). User and kernel time of the whole are read from
the process of a real server under load; the rest of the user time is the event loop's.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.loads import LOADS, run
from benchmarks.servers import SERVERS, Running, build
from odac.config import Limits
from odac.lanes.direct import DirectLane
from odac.protocol.codec import decode_text, encode
from odac.realtime.audience import Audience
from odac.realtime.connection import Connection
from odac.realtime.hub import Hub
from odac.realtime.policy import Policy
from odac.realtime.targets import Target
from odac.realtime.writing import write
from odac.speedups import COMPILED
from odac.wire.frames import TEXT, encode_masked_frame
from odac.wire.parser import Parser

TEXT_64 = b'"' + b"x" * 62 + b'"'


class _Socket:
    def __init__(self, fileno: int) -> None:
        self._fileno = fileno

    def fileno(self) -> int:
        return self._fileno


class _Transport:
    """The part of a transport that a lane uses; it writes to /dev/null by a real system call."""

    def __init__(self, fileno: int) -> None:
        self._socket = _Socket(fileno)

    def get_extra_info(self, name: str) -> object:
        return self._socket if name == "socket" else None

    def set_write_buffer_limits(self, high: int, low: int) -> None: ...

    def set_protocol(self, protocol: object) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


def nanoseconds(function: Callable[[], Any], calls: int = 1000, runs: int = 300) -> float:
    """The best of many runs of many calls, per call."""
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter_ns()
        for _ in range(calls):
            function()
        best = min(best, (time.perf_counter_ns() - start) / calls)
    return best - _EMPTY


def _nothing() -> None: ...


_EMPTY = 0.0
_EMPTY = nanoseconds(_nothing)


class Bench:
    """A hub with as many connections as wanted, on a loop that need not run.

    Args:
        loop: takes what the hub schedules.
        null: what ``fd`` of every connection is.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, null: int) -> None:
        self._null = null
        self._limits = Limits(rate_limit=None, rooms_per_connection=1_000_000)
        self._policy = Policy("/", self._limits)
        self._frame = encode_masked_frame(TEXT, TEXT_64, b"mask")
        self.hub = Hub(self._limits)
        self.hub.start(loop)

    def to(self, *rooms: str) -> Target:
        """The connections in any of these rooms."""
        return Target(self.hub, Audience.of(*rooms))

    def connect(self) -> Connection:
        """One more connection, admitted."""
        lane = DirectLane(_Transport(self._null), self._limits, None, set())  # type: ignore[arg-type]
        connection = Connection(self.hub, lane, self._policy)
        lane.attach(connection)
        self.hub.add(connection)
        return connection

    def receive(self, connection: Connection) -> None:
        """A message of 64 bytes arrives."""
        connection.lane.data_received(self._frame)  # type: ignore[attr-defined]


async def steps() -> dict[str, float]:
    """Nanoseconds of each step, in this process."""
    null = os.open(os.devnull, os.O_WRONLY)
    bench = Bench(asyncio.get_running_loop(), null)
    connection = bench.connect()
    connection.on("message", connection.send)
    bench.hub.delivery.flush()
    receive: Callable[[bytes], None] = connection.lane.data_received  # type: ignore[attr-defined]
    frame = encode_masked_frame(TEXT, TEXT_64, b"mask")
    parser = Parser(1024, 16)
    data = decode_text(TEXT_64)
    found = {
        "parse, unmask, check UTF-8": nanoseconds(lambda: parser.feed(frame)),
        "decode JSON": nanoseconds(lambda: decode_text(TEXT_64)),
        "encode and frame": nanoseconds(lambda: encode(data)),
        "the call of write(), without what the kernel does with a socket": nanoseconds(lambda: write(null, frame)),
        "one echo, all of it": nanoseconds(lambda: receive(frame)),
    }
    members = 1000
    for _ in range(members):
        bench.connect().join("room")
    bench.hub.delivery.flush()
    room = bench.to("room")

    def deliver(messages: int) -> Callable[[], None]:
        def once() -> None:
            for _ in range(messages):
                room.send({"text": "x" * 50})
            bench.hub.delivery.flush()

        return once

    found["one delivery in a room of 1,000"] = nanoseconds(deliver(1), 1, 200) / members
    found["the same, eight messages in flight"] = nanoseconds(deliver(8), 1, 200) / members / 8
    os.close(null)
    return found


def times(pid: str) -> tuple[float, float]:
    """User and system seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    tick = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / tick, int(fields[12]) / tick


def shares(load_name: str, server: str, seconds: float = 3.0) -> tuple[float, float]:
    """User and kernel microseconds per operation of a real server."""
    with Running(SERVERS[server], 8790) as running:
        run(running, LOADS[load_name], 0.5)
        pids = running.pids()
        before = [times(pid) for pid in pids]
        cost, _ = run(running, LOADS[load_name], seconds)
        after = [times(pid) for pid in pids]
        user = sum(a[0] - b[0] for a, b in zip(after, before, strict=True))
        kernel = sum(a[1] - b[1] for a, b in zip(after, before, strict=True))
    part = user / (user + kernel)
    return cost * part * 1e6, cost * (1 - part) * 1e6


def main() -> None:
    """Print both tables."""
    build()
    print("with" if COMPILED else "without", "the compiled accelerator\n")
    print("| step of Odac's own | ns |\n|---|---:|")
    for name, value in asyncio.run(steps()).items():
        print(f"| {name} | {value:.0f} |")
    print("\n| load | server | user µs | kernel µs |\n|---|---|---:|---:|")
    for load_name in ("echo", "fan", "fanw8"):
        for server in ("odac", "C loop"):
            user, kernel = shares(load_name, server)
            print(f"| {load_name} | {server} | {user:.2f} | {kernel:.2f} |")


if __name__ == "__main__":
    main()
