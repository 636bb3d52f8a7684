"""Calls with ``retry`` through a network that cuts connections after any byte, and to a process that is killed.

Whatever happens, none is executed twice, every caller is told, and what the caller is told is true. ``ODAC_TEST_CALLS`` says how
many calls there are; ``make calls-faults`` makes a million.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from collections import Counter
from pathlib import Path

import pytest

from odac import CallError, Disconnected
from odac.client import ClientConnection
from odac.client.clock import SystemClock

ROOT = Path(__file__).parents[2]
CALLS = int(os.environ.get("ODAC_TEST_CALLS", "1000"))
CLIENTS = 8
DEADLINE = 60.0 + CALLS / 500


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """The app in a process of its own."""

    def __init__(self, journal: Path) -> None:
        self.port = free_port()
        self._journal = journal
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = [sys.executable, "-m", "odac", "run", "tests.integration.calls_app:app", "--port", str(self.port)]
        environment = {**os.environ, "ODAC_SECRET": "s" * 32, "CALLS_JOURNAL": str(self._journal)}
        self._process = await asyncio.create_subprocess_exec(
            *command, "--log-level", "error", cwd=ROOT, env=environment
        )
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                assert self._process.returncode is None, "the server ended by itself"
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return

    async def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()


class Cutter:
    """A way to the app that cuts each connection after some number of bytes, in either direction.

    Args:
        port: of the app.
        chance: gives the numbers.
    """

    def __init__(self, port: int, chance: random.Random) -> None:
        self._port = port
        self._chance = chance
        self._tasks: set[asyncio.Task[None]] = set()
        self.cuts = 0
        self.cutting = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_app, from_app = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        # The handshake passes most of the time: what follows is looked for.
        left = [self._chance.choice([self._chance.randint(0, 700), self._chance.randint(700, 6_000)]) for _ in range(2)]
        ways = [(reader, from_app, 0), (to_app, writer, 1)]
        pumps = [asyncio.ensure_future(self._pump(source, sink, left, way)) for source, sink, way in ways]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        for sink in (writer, from_app):
            sink.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, left: list[int], way: int) -> None:
        while data := await source.read(4096):
            if self.cutting and len(data) >= left[way]:
                sink.write(data[: left[way]])
                self.cuts += 1
                await sink.drain()
                return
            left[way] -= len(data)
            sink.write(data)


class Impatient(SystemClock):
    """Comes back at once: with its real delays a client would mostly wait, because no connection is a good one here."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0.01))


async def ask(client: ClientConnection, name: str) -> str:
    try:
        answer = await client.call("pay", name, timeout=30, retry=True)
    except CallError as error:
        return error.code
    except Disconnected:
        return "disconnected"
    assert answer == name
    return "answered"


async def run(service: Service, chance: random.Random, kills: int) -> tuple[Counter[str], int]:
    cutter = Cutter(service.port, chance)
    server = await asyncio.start_server(cutter.serve, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/pay"
    told: Counter[str] = Counter()
    outcomes: dict[str, str] = {}

    async def caller(number: int) -> None:
        client = ClientConnection(url, token=False, max_reconnect_attempts=None, clock=Impatient())
        client.on("error", lambda: None)  # each cut is one
        async with client:
            names = iter(range(CALLS // CLIENTS))

            async def one_after_the_other() -> None:
                for each in names:
                    name = f"{number}-{each}"
                    outcomes[name] = await ask(client, name)
                    told[outcomes[name]] += 1

            await asyncio.gather(*[one_after_the_other() for _ in range(8)])

    async def kill_and_start() -> None:
        for share in range(1, kills + 1):
            while told.total() < CALLS * share / (kills + 1):
                await asyncio.sleep(0.01)
            await service.kill()
            await service.start()

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*[caller(number) for number in range(CLIENTS)], kill_and_start())
    server.close()
    executed = Counter(service._journal.read_text().split())
    twice = {name: count for name, count in executed.items() if count > 1}
    assert twice == {}, "executed twice"
    assert told.total() == CALLS // CLIENTS * CLIENTS, "every caller is told"
    wrong = [name for name, outcome in outcomes.items() if outcome == "answered" and name not in executed]
    assert wrong == [], "an answer of what was never executed"
    refused = [name for name, outcome in outcomes.items() if outcome == "busy" and name in executed]
    assert refused == [], "refused, and executed all the same"
    assert set(told) <= {"answered", "interrupted", "timeout", "busy"}
    return told, cutter.cuts


@pytest.mark.parametrize("kills", [0, 2], ids=["cut", "cut-and-killed"])
def test_none_is_executed_twice_and_every_caller_is_told(kills: int, tmp_path: Path) -> None:
    seed = int(os.environ.get("ODAC_TEST_SEED", "7"))

    async def test() -> None:
        service = Service(tmp_path / "journal")
        await service.start()
        try:
            told, cuts = await run(service, random.Random(seed), kills)
        finally:
            await service.kill()
        print(f"{CALLS} calls, {cuts} cuts, {kills} kills: {dict(told)}")
        assert cuts > CALLS / 200, "the network was too good"
        assert told["answered"] > CALLS / 2
        if kills:
            assert told["interrupted"] > 0, "a process that is gone has forgotten what it did"

    asyncio.run(test())
