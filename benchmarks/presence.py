"""What presence costs, and how soon the people of a killed process are removed: ``python -m benchmarks.presence``.

Two processes over one Redis, each with connections without sockets, because these cost the same with presence and
without. It prints the broker's traffic and CPU while 10,000 members are idle, beside two processes without any; the
cost of a join; and the time from SIGKILL of the process with 10,000 people until the other one shows none of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from odac.brokers.registry import make_broker
from odac.cluster.bus import BrokerBus
from odac.cluster.channels import Channels
from odac.presence.ports import PART, Viewer
from odac.presence.roster import News
from odac.presence.rules import Presence
from odac.presence.service import PresenceService

RULE = Presence(limit=10_000)


class NoHub:
    """A process without connections."""

    def deliver(self, audience: Any, message: Any) -> None: ...
    def close_local(self, audience: Any, code: int, reason: str, given: float) -> None: ...
    def move_local(self, audience: Any, room: str, *, joins: bool) -> None: ...
    def count_local(self, audience: Any) -> int:
        return 0


class Member:
    speaks_odac = True

    def __init__(self, name: str) -> None:
        self.id = name


class Process:
    """Presence on a bus."""

    def __init__(self, url: str) -> None:
        self.bus = BrokerBus(make_broker(url), NoHub(), Channels())
        self.service = PresenceService(asyncio.get_running_loop(), self.bus.parts, self._announce)
        self.bus.parts.add(PART, self.service)
        self.total = 0
        self.changed = asyncio.Event()

    def _announce(self, room: str, news: News, viewers: list[Viewer]) -> None:
        if room == "room":
            self.total = news.total
            self.changed.set()

    async def start(self) -> None:
        await self.bus.start()
        for room in ("room", "small"):
            self.bus.room_opened(room)

    def join(self, name: str, room: str = "room") -> None:
        self.service.join(Member(name), room, RULE, f"u:{name}", b'{"name":"Somebody"}')

    async def until(self, count: int) -> None:
        while self.total != count:
            self.changed.clear()
            await self.changed.wait()


async def other(url: str, count: int) -> None:
    """The second process: it joins its members, reports that, and waits for its end."""
    process = Process(url)
    await process.start()
    for number in range(count):
        process.join(f"other {number}")
    process.join("somebody", "small")
    print("ready", flush=True)
    await asyncio.Event().wait()


class Redis:
    """The broker and its figures."""

    def __init__(self, port: int) -> None:
        self.port = port

    def figures(self) -> dict[str, float]:
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"INFO everything\r\n")
            text = b""
            while b"# Keyspace" not in text:
                text += connection.recv(65536)
        lines = dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
        publish = lines.get("cmdstat_publish", "calls=0").partition("=")[2].partition(",")[0]
        return {
            "published": float(publish),
            "bytes": float(lines["total_net_input_bytes"]) + float(lines["total_net_output_bytes"]),
            "cpu_ms": 1000 * (float(lines["used_cpu_sys"]) + float(lines["used_cpu_user"])),
        }


@contextlib.contextmanager
def redis() -> Iterator[Redis]:
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is missing: apt-get install redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield Redis(port)
        finally:
            server.terminate()
            server.wait()


async def between(broker: Redis, seconds: float) -> dict[str, float]:
    before = await asyncio.to_thread(broker.figures)
    await asyncio.sleep(seconds)
    after = await asyncio.to_thread(broker.figures)
    return {name: round(after[name] - value, 1) for name, value in before.items()}


async def measure(count: int, seconds: float, joins: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with redis() as broker:
        url = f"redis://127.0.0.1:{broker.port}"
        here = Process(url)
        await here.start()
        for members in (0, count):
            command = [sys.executable, "-m", "benchmarks.presence", "--other", url, "--count", str(members // 2)]
            child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
            assert child.stdout is not None
            await child.stdout.readline()
            for number in range(members // 2):
                here.join(f"here {number}")
            if members:
                await here.until(members)
            await asyncio.sleep(7)  # after the versions were sent again
            found[f"{members} idle members"] = await between(broker, seconds)
            if members:
                here.join("first", "small")
                await asyncio.sleep(7)
                task = asyncio.create_task(between(broker, seconds))
                for number in range(joins):
                    here.join(f"late {number}", "small")
                    await asyncio.sleep((seconds - 7) / joins)
                found[f"{joins} joins into a room of two"] = await task
            killed = time.monotonic()
            child.send_signal(signal.SIGKILL)
            await child.wait()
            if members:
                await here.until(members // 2)
                found["gone after, s"] = round(time.monotonic() - killed, 1)
        await here.bus.stop()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="people, half of them in each process")
    parser.add_argument("--seconds", type=float, default=30.0, help="of idleness")
    parser.add_argument("--joins", type=int, default=100)
    parser.add_argument("--other", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.other:
        asyncio.run(other(options.other, options.count))
    else:
        print(json.dumps(asyncio.run(measure(options.count, options.seconds, options.joins)), indent=2))


if __name__ == "__main__":
    main()
