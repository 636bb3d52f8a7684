"""Messages lost when a client's connection is cut, and whether the client is told: ``python -m benchmarks.recovery``.

One TCP proxy stands between a client and each server in turn, and cuts the connection in the same ways while numbered
messages are sent to a room: five times in a burst, for 1 s, for 10 s, and by SIGKILL of the server's process, which is
started again. It counts the messages that the server accepted and the client did not get, and those that it got twice,
and says whether the client was told. The peers are installed below ``.build`` (pip and npm). All of them share one Redis
where they can use one; each client is the server's own, with its own defaults, over WebSocket alone. It ends by itself,
after 6 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import logging
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

from websockets.asyncio.client import connect as connect_plain
from websockets.exceptions import WebSocketException

import odac

ROOT: Final = Path(__file__).parents[1]
PEERS: Final = ROOT / "benchmarks" / "peers"
BUILD: Final = ROOT / ".build" / "recovery"
PYTHON_PACKAGES: Final = ("python-socketio", "aiohttp", "redis", "uvicorn", "websockets", "channels", "channels_redis")
NODE_PACKAGES: Final = ("socket.io", "socket.io-client", "@socket.io/redis-streams-adapter", "redis")
MESSAGES: Final = 400
LONGEST: Final = 120.0
"""Seconds of one scenario, at most."""


class Proxy:
    """A proxy that forwards bytes until it cuts all connections; it may refuse new ones for a while."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.refuses = False
        self.port = 0

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Abort all connections, without close frames."""
        for writer in self._writers:
            writer.transport.abort()

    async def stop(self) -> None:
        """End."""
        assert self._server is not None
        self._server.close()
        self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.refuses:
                return
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(far_writer)
            try:
                ways = [
                    asyncio.create_task(_pass(reader, far_writer)),
                    asyncio.create_task(_pass(far_reader, writer)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
            finally:
                self._writers.discard(far_writer)
                far_writer.transport.abort()
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


class Record:
    """The messages and notifications that one client got."""

    def __init__(self) -> None:
        self.got: Counter[int] = Counter()
        self.connects = 0
        self.told = 0

    def line(self, line: str) -> None:
        """A line of a client in a process of its own."""
        what, _, value = line.partition(" ")
        if what == "message":
            self.got[int(value)] += 1
        elif what == "connect":
            self.connects += 1
            self.told += self.connects > 1 and value == "false"


class Peer:
    """A server and its client.

    Args:
        name: in the table.
        command: of the server, for a port and the URL of Redis.
        follow: runs a client of a port until it is cancelled.
        tells: whether its client can be told that messages are missing.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[int, str], list[str]],
        follow: Callable[[int, Record], object],
        tells: bool = True,
    ) -> None:
        self.name = name
        self.command = command
        self.follow = follow
        self.tells = tells


async def _follow_odac(port: int, record: Record) -> None:
    async with odac.connect(f"ws://127.0.0.1:{port}/room", token=False) as client:

        def connected() -> None:
            record.connects += 1

        def got(number: int) -> None:
            record.got[number] += 1

        def recovered(told: odac.client.Recover) -> None:
            record.told += not told.recovered

        record.connects += 1
        client.on("open", connected)
        client.on("message", got)
        client.on("recover", recovered)
        await asyncio.Event().wait()


async def _follow_plain(port: int, record: Record) -> None:
    while True:
        with contextlib.suppress(OSError, WebSocketException, TimeoutError):
            async with connect_plain(f"ws://127.0.0.1:{port}/", open_timeout=5) as client:
                record.connects += 1
                async for message in client:
                    record.got[int(message)] += 1
        await asyncio.sleep(1)


def _follower(*command: str) -> Callable[[int, Record], object]:
    async def follow(port: int, record: Record) -> None:
        process = await asyncio.create_subprocess_exec(
            *command, f"http://127.0.0.1:{port}", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=BUILD
        )
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                record.line(line.decode().strip())
        finally:
            process.kill()
            await process.wait()

    return follow


VENV: Final = str(BUILD / "venv" / "bin" / "python")
SOCKETIO_JS: Final = str(BUILD / "recovery_socketio.js")


def peers() -> list[Peer]:
    """All of them."""
    node_client = _follower("node", SOCKETIO_JS, "follow")
    return [
        Peer(
            "Odac, room with history, Redis",
            lambda port, redis: [
                *(sys.executable, "-m", "odac", "run", "recovery_odac:app", "--port", str(port), "--broker", redis)
            ],
            _follow_odac,
        ),
        Peer(
            "Socket.IO (Node), connection state recovery in the process",
            lambda port, redis: ["node", SOCKETIO_JS, "serve", str(port), "memory"],
            node_client,
        ),
        Peer(
            "Socket.IO (Node), the same with the Redis streams adapter",
            lambda port, redis: ["node", SOCKETIO_JS, "serve", str(port), redis],
            node_client,
        ),
        Peer(
            "python-socketio, Redis manager",
            lambda port, redis: [VENV, str(PEERS / "recovery_socketio.py"), str(port), redis],
            _follower(VENV, str(PEERS / "recovery_socketio_client.py")),
            tells=False,
        ),
        Peer(
            "Channels, Redis layer",
            lambda port, redis: [VENV, str(PEERS / "recovery_channels.py"), str(port), redis],
            _follow_plain,
            tells=False,
        ),
    ]


class Server:
    """One server process, which can be killed and started again."""

    def __init__(self, peer: Peer, redis: str) -> None:
        self.port = _free_port()
        self._command = peer.command(self.port, redis)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it listens."""
        self._process = subprocess.Popen(self._command, cwd=PEERS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self._process.poll() is not None:
                raise SystemExit(f"it ended at once: {self._command}")
            time.sleep(0.05)
        raise SystemExit(f"it does not listen: {self._command}")

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Publisher:
    """Sends numbers over HTTP, one at a time, and retries if the server was killed before it answered."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None
        self.accepted: list[int] = []
        self.repeated: set[int] = set()

    async def say(self, number: int) -> None:
        """Send it until it is accepted."""
        while not await asyncio.to_thread(self._try, number):
            self.repeated.add(number)
            await asyncio.sleep(0.05)
        self.accepted.append(number)

    def _try(self, number: int) -> bool:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
            self._connection.request("GET", f"/say/{number}")
            return self._connection.getresponse().read() == b"ok"
        except (OSError, http.client.HTTPException):
            self._connection = None
            return False


def _cuts(times: int) -> frozenset[int]:
    return frozenset(MESSAGES * (turn + 1) // (times + 1) for turn in range(times))


async def _scenario(what: str, peer: Peer, server: Server, proxy: Proxy) -> tuple[Record, Publisher]:
    record, publisher = Record(), Publisher(server.port)
    following = asyncio.ensure_future(peer.follow(proxy.port, record))  # type: ignore[call-overload]
    try:
        warm = 1_000_000
        while not record.got:  # the client is in the room
            await publisher.say(warm)
            warm += 1
            await asyncio.sleep(0.2)
        publisher.accepted.clear()
        at = _cuts(5 if what == "5 cuts in a burst" else 1)
        later: list[asyncio.Task[None]] = []
        pause = {"for 10 s": 0.03, "for 1 s": 0.005}.get(what, 0.002)
        for number in range(MESSAGES):
            if number in at:
                if what == "SIGKILL of the server":
                    server.kill()
                    later.append(asyncio.create_task(asyncio.to_thread(server.start)))
                else:
                    proxy.refuses = what.startswith("for ")
                    proxy.cut()
                    later.append(asyncio.create_task(_heal(proxy, {"for 1 s": 1.0, "for 10 s": 10.0}.get(what, 0))))
            await publisher.say(number)
            await asyncio.sleep(pause)
        await asyncio.gather(*later)
        mark = 2_000_000
        while not any(number >= 2_000_000 for number in record.got):  # until it is back
            await publisher.say(mark)
            mark += 1
            await asyncio.sleep(0.3)
        await asyncio.sleep(1)
        return record, publisher
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def _heal(proxy: Proxy, seconds: float) -> None:
    await asyncio.sleep(seconds)
    proxy.refuses = False


SCENARIOS: Final = ("5 cuts in a burst", "for 1 s", "for 10 s", "SIGKILL of the server")


async def _measure(peer: Peer, redis: str) -> AsyncIterator[tuple[str, str]]:
    for what in SCENARIOS:
        server = Server(peer, redis)
        await asyncio.to_thread(server.start)
        proxy = Proxy(server.port)
        await proxy.start()
        try:
            async with asyncio.timeout(LONGEST):
                record, publisher = await _scenario(what, peer, server, proxy)
            numbers = {number for number in publisher.accepted if number < MESSAGES}
            lost = len(numbers - set(record.got))
            twice = sum(record.got[number] > 1 for number in numbers - publisher.repeated)
            told = "yes" if record.told else "no"
            yield what, f"{lost} lost, {twice} twice" + (f", told: {told}" if lost or record.told else "")
        except TimeoutError:
            yield what, f"not back within {LONGEST:g} s"
        finally:
            await proxy.stop()
            await asyncio.to_thread(server.kill)


@contextlib.contextmanager
def _redis() -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is missing: apt-get install redis-server")
    port = _free_port()
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(BUILD)],
        stdout=subprocess.DEVNULL,
    )
    try:
        time.sleep(0.5)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def install() -> None:
    """Install the packages of the peers below ``.build``, unless they are installed."""
    BUILD.mkdir(parents=True, exist_ok=True)
    if not Path(VENV).exists():
        subprocess.run([sys.executable, "-m", "venv", str(BUILD / "venv")], check=True)
        subprocess.run([VENV, "-m", "pip", "install", "--quiet", *PYTHON_PACKAGES], check=True)
    if not (BUILD / "node_modules" / "@socket.io" / "redis-streams-adapter").exists():
        subprocess.run(["npm", "install", "--silent", "--no-package-lock", *NODE_PACKAGES], cwd=BUILD, check=True)
    shutil.copy(PEERS / "recovery_socketio.js", BUILD)


async def _main(wanted: str) -> None:
    with _redis() as redis:
        print(f"| server and its client | {' | '.join(SCENARIOS)} |")
        print("|---|" + "---|" * len(SCENARIOS), flush=True)
        for peer in peers():
            if wanted in peer.name:
                cells = [cell async for _, cell in _measure(peer, redis)]
                print(f"| {peer.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a part of a server's name")
    arguments = parser.parse_args()
    logging.getLogger("odac").setLevel(logging.ERROR)  # of each attempt that the proxy refuses
    install()
    asyncio.run(_main(arguments.only))
