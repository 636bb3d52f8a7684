"""Calls with ``retry`` through a network that cuts connections after any byte, to processes that are killed.

No call is executed twice, and every caller gets a result, which is true. ``ODAC_TEST_CALLS``
says how many calls there are; ``make calls-faults`` makes a million.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from odac import CallError, Disconnected
from odac.client import ClientConnection
from odac.client.clock import SystemClock
from tests.integration.cutting_proxy import CuttingProxy, after_any_byte

ROOT = Path(__file__).parents[2]
CALLS = int(os.environ.get("ODAC_TEST_CALLS", "1000"))
CLIENTS = 8
SHARE = CALLS // CLIENTS
KILLS = max(2, CALLS // 20_000)
DEADLINE = 60.0 + CALLS / 100


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """The app in processes of its own.

    Args:
        journal: the file that each execution of a call is a line of.
        workers: how many processes answer.
    """

    def __init__(self, journal: Path, workers: int = 1) -> None:
        self.port = free_port()
        self.journal = journal
        self._workers = workers
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = [sys.executable, "-m", "odac", "run", "tests.integration.calls_app:app", "--port", str(self.port)]
        environment = {**os.environ, "ODAC_SECRET": "s" * 32, "CALLS_JOURNAL": str(self.journal)}
        command += ["--log-level", "error"]
        if self._workers > 1:
            command += ["--workers", str(self._workers)]
        self._process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment)
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
        """End it as a crash does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()


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
    """Make all calls; return what their callers were told, and how many connections were cut."""
    proxy = CuttingProxy(service.port, after_any_byte(chance))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/pay"
    told: Counter[str] = Counter()
    outcomes: dict[str, str] = {}

    async def caller(number: int) -> None:
        client = ClientConnection(url, token=False, max_reconnect_attempts=None, clock=Impatient())
        client.on("error", lambda: None)  # each cut is one
        async with client:
            names = iter(range(SHARE))

            async def one_after_the_other() -> None:
                for each in names:
                    name = f"{number}-{each}"
                    outcomes[name] = await ask(client, name)
                    told[outcomes[name]] += 1

            await asyncio.gather(*[one_after_the_other() for _ in range(8)])

    async def kill_and_start() -> None:
        for part in range(1, kills + 1):
            while told.total() < CALLS * part / (kills + 1):
                await asyncio.sleep(0.01)
            await service.kill()
            await service.start()

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*[caller(number) for number in range(CLIENTS)], kill_and_start())
    server.close()
    check(service.journal, outcomes)
    assert told.total() == SHARE * CLIENTS, "every caller is told"
    return told, proxy.cuts


def check(journal: Path, outcomes: Mapping[str, str]) -> None:
    """Compare what was executed with what the callers were told."""
    executed = Counter(journal.read_text().split())
    assert {name: count for name, count in executed.items() if count > 1} == {}, "executed twice"
    assert set(executed) <= set(outcomes), "executed, and never asked for"
    wrong = [name for name, outcome in outcomes.items() if outcome == "answered" and name not in executed]
    assert wrong == [], "an answer of what was never executed"
    refused = [name for name, outcome in outcomes.items() if outcome == "busy" and name in executed]
    assert refused == [], "refused, and executed all the same"
    assert set(outcomes.values()) <= {"answered", "interrupted", "timeout", "busy"}


@pytest.mark.parametrize(
    ("kills", "workers"), [(0, 1), (KILLS, 1), (0, 2)], ids=["cut", "cut-and-killed", "cut-between-two-processes"]
)
def test_no_call_is_executed_twice_and_every_caller_gets_a_result(kills: int, workers: int, tmp_path: Path) -> None:
    seed = int(os.environ.get("ODAC_TEST_SEED", "7"))

    async def test() -> None:
        service = Service(tmp_path / "journal", workers)
        await service.start()
        began = time.monotonic()
        try:
            told, cuts = await run(service, random.Random(seed), kills)
        finally:
            await service.kill()
        took = time.monotonic() - began
        print(f"{CALLS} calls, {cuts} cuts, {kills} kills, {workers} processes, {took:.0f} s: {dict(told)}")
        assert cuts > CALLS / 200, "the network was too good"
        if kills == 0 and workers == 1:
            assert told["interrupted"] == 0, "the one process that there is knows what it did"
            assert told["answered"] > CALLS / 2
        else:
            assert told["answered"] > 0
            assert told["interrupted"] > 0, "another process does not know what was executed"

    asyncio.run(test())


@pytest.mark.slow
@pytest.mark.parametrize("way", [0, 1], ids=["to-the-app", "from-the-app"])
def test_a_connection_that_is_cut_after_each_byte_of_a_call(way: int, tmp_path: Path) -> None:
    """Wherever it breaks off, the next connection gets the answer, and the call was executed once."""

    async def test() -> None:
        service = Service(tmp_path / "journal")
        await service.start()
        plan: list[tuple[int | None, int | None]] = []
        proxy = CuttingProxy(service.port, lambda: plan.pop(0) if plan else (None, None))
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/pay"

        async def call(name: str) -> None:
            client = ClientConnection(url, token=False, max_reconnect_attempts=None, clock=Impatient())
            client.on("error", lambda: None)
            async with client:
                assert await ask(client, name) == "answered", name

        try:
            async with asyncio.timeout(300):
                await call("whole")
                total = proxy.passed[way]
                # What is in front of the call, the handshake and the hello, breaks off here and there.
                places = sorted({*range(0, total, 40), *range(total - 150, total + 1)})
                for place in places:
                    plan[:] = [(place, None) if way == 0 else (None, place)]
                    await call(f"{place}")
        finally:
            server.close()
            await service.kill()
        assert proxy.cuts > 150
        executed = Counter((tmp_path / "journal").read_text().split())
        assert executed == Counter(["whole", *map(str, places)])

    asyncio.run(test())
