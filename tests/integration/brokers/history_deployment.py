"""Processes, pages and publishers of a room with history, and a record of what they did, which is checked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import tempfile
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException
from websockets.typing import Subprotocol

from odac.client.recovery import Positions
from odac.protocol.control import decode_control, is_control
from tests.integration.running import Running

SETTLED = 60.0

APP = """
import asyncio
from odac import BrokerError, History, Limits, Odac

app = Odac("the same secret in every process!", limits=Limits(rate_limit=None, recovery_entries=100_000))
app.rooms("room", history=History(size=10_000, max_bytes=64 * 1024 * 1024))

@app.route.ws("/room", token=False)
async def room(odac):
    odac.ws.join("room")
    async for message in odac.ws:
        pass

@app.route.ws("/publish", token=False)
async def publish(odac):
    async def confirmed(message):
        try:
            await odac.ws.to("room").send(message)
        except BrokerError:
            odac.ws.send(["failed", message])
        else:
            odac.ws.send(["stored", message])
    async for message in odac.ws:
        odac.create_task(confirmed(message))
"""

Sent = tuple[str, int]


class Record:
    """The confirmed messages, and what each page received.

    The check uses no offsets, epochs or tickets: only the promises of the documentation.
    """

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.confirmed: set[Sent] = set()
        self.pages: dict[str, list[Sent | bool]] = {}

    def check(self) -> None:
        """Raise an AssertionError that names the first promise that was broken."""
        for name, record in self.pages.items():
            for segment in self.segments(record):
                self._once_and_in_order(name, segment)
                self._nothing_missing(name, segment)
        self._one_order()

    @staticmethod
    def segments(record: list[Sent | bool]) -> list[list[Sent]]:
        """The messages between two notices that some may be missing."""
        segments: list[list[Sent]] = [[]]
        for each in record:
            if each is False:
                segments.append([])
            elif not isinstance(each, bool):
                segments[-1].append(each)
        return segments

    @staticmethod
    def _once_and_in_order(page: str, segment: list[Sent]) -> None:
        last: dict[str, int] = {}
        for publisher, number in segment:
            assert number > last.get(publisher, 0), f"{page} got {publisher} {number} behind {last[publisher]}"
            last[publisher] = number

    def _nothing_missing(self, page: str, segment: list[Sent]) -> None:
        got = set(segment)
        for publisher in {publisher for publisher, _ in segment}:
            numbers = [number for each, number in segment if each == publisher]
            missing = [
                number
                for number in range(numbers[0], numbers[-1])
                if (publisher, number) in self.confirmed and (publisher, number) not in got
            ]
            assert not missing, f"{page} got no notice, and misses {len(missing)} of {publisher}: {missing[:5]}"

    def _one_order(self) -> None:
        """Messages that two pages got came to both in the same order."""
        records = [
            (name, [each for each in record if not isinstance(each, bool)]) for name, record in self.pages.items()
        ]
        for (one, first), (two, second) in pairwise(records):
            place = {each: index for index, each in enumerate(first)}
            common = [place[each] for each in dict.fromkeys(second) if each in place]
            assert common == sorted(common), f"{one} and {two} saw another order"


class Deployment:
    """Processes, pages and publishers.

    Args:
        broker: the URL.
        directory: where processes may write.
        seed: of the random numbers.
    """

    def __init__(self, broker: str, directory: Path, seed: int) -> None:
        self.broker = broker
        self.directory = directory
        self.random = random.Random(seed)
        self.record = Record()
        self.processes: list[Running] = []
        self.connections: dict[str, ClientConnection] = {}
        self._stack = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._publishing = True

    async def process(self) -> Running:
        """Start a process."""
        folder = Path(tempfile.mkdtemp(dir=self.directory))
        running = await asyncio.to_thread(lambda: Running(folder, APP, environment={"ODAC_BROKER": self.broker}))
        self._stack.push_async_callback(asyncio.to_thread, running.__exit__, None, None, None)
        self.processes.append(running)
        return running

    def kill(self) -> None:
        """Kill a process with SIGKILL."""
        self.processes.pop(self.random.randrange(len(self.processes))).process.kill()

    def address(self, path: str) -> str:
        return f"ws{self.random.choice(self.processes).url.removeprefix('http')}{path}"

    def page(self, name: str) -> None:
        """Open a page, which reconnects to any process when its connection is lost."""
        self.record.pages[name] = []
        self._tasks.append(asyncio.create_task(self._page(name), name=name))

    def publisher(self, name: str) -> None:
        """Start a publisher, which publishes through any process."""
        self._tasks.append(asyncio.create_task(self._publish(name), name=name))

    def cut(self) -> None:
        """Abort the connection of a page."""
        if self.connections:
            self.random.choice(list(self.connections.values())).transport.abort()

    async def _page(self, name: str) -> None:
        positions = Positions()
        record = self.record.pages[name]
        while True:
            resume = positions.resume()
            offered = [Subprotocol("odac.v1"), *([Subprotocol("odac.resume")] if resume is not None else [])]
            try:
                async with connect(
                    self.address("/room"), subprotocols=offered, ping_interval=None, open_timeout=5, max_queue=None
                ) as connection:
                    positions.opened()
                    if resume is not None:
                        await connection.send(resume.payload.decode())
                    self.connections[name] = connection
                    async for message in connection:
                        self._take(positions, record, message)
            except (OSError, TimeoutError, WebSocketException, InvalidHandshake):
                pass
            finally:
                self.connections.pop(name, None)
            positions.closed(1006)
            await asyncio.sleep(self.random.uniform(0, 0.1))

    @staticmethod
    def _take(positions: Positions, record: list[Sent | bool], message: str | bytes) -> None:
        assert isinstance(message, str)
        payload = message.encode()
        if is_control(payload):
            decoded = decode_control(payload)
            assert decoded is not None
            recovery = positions.control(*decoded)
            if recovery is not None:
                record.append(recovery.recovered)
        else:
            positions.arrived()
            publisher, number = json.loads(message)
            record.append((publisher, number))

    async def _publish(self, name: str) -> None:
        number = 0
        while self._publishing:
            with contextlib.suppress(OSError, TimeoutError, WebSocketException, InvalidHandshake):
                async with connect(self.address("/publish"), ping_interval=None, open_timeout=5) as connection:
                    listening = asyncio.create_task(self._confirmations(connection))
                    try:
                        while self._publishing:
                            number += 1
                            self.record.sent.append((name, number))
                            await connection.send(json.dumps([name, number]))
                            await asyncio.sleep(0.004)
                    finally:
                        await asyncio.sleep(0.2)
                        listening.cancel()
                        await asyncio.gather(listening, return_exceptions=True)
            await asyncio.sleep(0.05)

    async def _confirmations(self, connection: ClientConnection) -> None:
        async for message in connection:
            what, (publisher, number) = json.loads(message)
            if what == "stored":
                self.record.confirmed.add((publisher, number))

    async def settle(self) -> None:
        """Stop publishing, send one more message, and wait until every page has it."""
        self._publishing = False
        await asyncio.sleep(1.5)
        last = ("the last", 1)
        deadline = asyncio.get_running_loop().time() + SETTLED
        while last not in self.record.confirmed:
            assert asyncio.get_running_loop().time() < deadline, "no process stores anything"
            with contextlib.suppress(OSError, TimeoutError, WebSocketException, InvalidHandshake, asyncio.TimeoutError):
                async with connect(self.address("/publish"), ping_interval=None, open_timeout=5) as connection:
                    await connection.send(json.dumps(last))
                    async with asyncio.timeout(15):
                        what, message = json.loads(await connection.recv())
                    if what == "stored":
                        self.record.confirmed.add((message[0], message[1]))
                    last = last if what == "stored" else ("the last", last[1] + 1)
        while late := [name for name, record in self.record.pages.items() if last not in record]:
            assert asyncio.get_running_loop().time() < deadline, f"{late} did not get the last message"
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()


@contextlib.asynccontextmanager
async def deploying(
    broker: str, directory: Path, seed: int, processes: int = 2, pages: int = 6
) -> AsyncIterator[Deployment]:
    """Some processes, pages and publishers at work."""
    deployment = Deployment(broker, directory, seed)
    try:
        for _ in range(processes):
            await deployment.process()
        for number in range(pages):
            deployment.page(f"page {number}")
        for number in range(3):
            deployment.publisher(f"publisher {number}")
        await asyncio.sleep(0.5)
        yield deployment
    finally:
        await deployment.close()


def gaps_reported(record: list[Any]) -> int:
    """How often a page got the notice that some messages may be missing."""
    return sum(each is False for each in record)
