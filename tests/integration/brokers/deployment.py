"""Servers as they are run in production, publishers and receivers, and the record of what was received."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.integration.brokers.peers import Changes
from tests.integration.running import Running

DEADLINE = 60.0
PACE = 0.004
"""Seconds between two messages of a publisher."""

APP = """
PRELUDE
import os
from odac import Odac

app = Odac()

@app.route.ws("/room", token=False, rate_limit=None)
def room(odac):
    odac.ws.join("room")
    odac.ws.send(["hello", os.getpid()])

@app.route.ws("/publish", token=False, rate_limit=None)
def publish(odac):
    odac.ws.on("message", lambda message: odac.ws.to("room").send(message))

@app.authenticate
def authenticate(request):
    return request.query.get("user")

@app.route.auth.ws("/user", token=False)
def user(odac):
    odac.ws.send("hello")

@app.route.ws("/ask", token=False)
async def ask(odac):
    async for question in odac.ws:
        if question == "counters":
            odac.ws.send(app._life.bus.counters.as_dict())
        elif question == "close":
            app.route.ws_server.user("u").close(4001, "enough")
            odac.ws.send(True)
        else:
            odac.ws.send(list(await app.route.ws_server.count("room")))
"""


class Checker(Changes):
    """Records what each receiver got from each publisher, and finds lost, duplicated and reordered messages."""

    def __init__(self) -> None:
        super().__init__()
        self.published: dict[str, int] = defaultdict(int)
        self.received: dict[tuple[str, str], list[int]] = defaultdict(list)

    def publish(self, publisher: str) -> int:
        self.published[publisher] += 1
        return self.published[publisher]

    def receive(self, receiver: str, publisher: str, sequence: int) -> None:
        self.received[receiver, publisher].append(sequence)
        self.change()

    def last(self, receiver: str, publisher: str) -> int:
        return (self.received[receiver, publisher] or [0])[-1]

    def missing(self, receiver: str, publisher: str) -> list[int]:
        """The messages between the first and the last received one that were not received."""
        got = self.received[receiver, publisher]
        return sorted(set(range(got[0], got[-1] + 1)) - set(got)) if got else []

    def in_order_and_once(self) -> None:
        for (receiver, publisher), got in self.received.items():
            faults = [(before, after) for before, after in pairwise(got) if after <= before]
            assert not faults, f"{receiver} got twice or out of order from {publisher}: {faults[:5]}"

    def nothing_missing(self, receiver: str, *publishers: str) -> None:
        for publisher in publishers:
            assert self.received[receiver, publisher], f"{receiver} got nothing from {publisher}"
            missing = self.missing(receiver, publisher)
            assert not missing, f"{receiver} misses {len(missing)} from {publisher}, the first {missing[:5]}"

    async def caught_up(self, *receivers: str) -> None:
        """Wait until the receivers get what every publisher publishes from now on."""
        goals = {publisher: count + 1 for publisher, count in self.published.items()}
        await self.until(
            lambda: all(
                self.last(receiver, publisher) >= goal for receiver in receivers for publisher, goal in goals.items()
            ),
            DEADLINE,
        )


class Node:
    """One server with one process, or several."""

    def __init__(self, running: Running) -> None:
        self.running = running

    def address(self, path: str) -> str:
        return f"ws{self.running.url.removeprefix('http')}{path}"

    def health(self) -> int:
        try:
            with urllib.request.urlopen(f"{self.running.url}/odac/health", timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:  # left open, it is a ResourceWarning on Python 3.14
                return error.code

    async def until_health(self, status: int, timeout: float = DEADLINE) -> None:
        async with asyncio.timeout(timeout):
            while await asyncio.to_thread(self.health) != status:
                await asyncio.sleep(0.05)

    async def ask(self, question: str) -> Any:
        async with connect(self.address("/ask")) as connection:
            await connection.send(question)
            return json.loads(await connection.recv())


class Deployment:
    """Nodes, publishers and receivers, and the record of their messages."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.checker = Checker()
        self._stack = contextlib.AsyncExitStack()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping: set[str] = set()

    async def node(self, broker: str, *arguments: str, prelude: str = "") -> Node:
        folder = Path(tempfile.mkdtemp(dir=self.directory))
        source = APP.replace("PRELUDE", prelude)
        environment = {"ODAC_BROKER": broker} if broker else {}
        running = await asyncio.to_thread(lambda: Running(folder, source, *arguments, environment=environment))
        self._stack.push_async_callback(asyncio.to_thread, running.__exit__, None, None, None)
        node = Node(running)
        await node.until_health(200)
        return node

    async def receiver(self, name: str, node: Node, wanted: Callable[[int], bool] = lambda pid: True) -> int:
        """Connect a receiver to one of the wanted processes; return that process's id."""
        while True:
            connection = await connect(node.address("/room"), max_queue=None, ping_interval=None, open_timeout=DEADLINE)
            _, pid = json.loads(await connection.recv())
            if wanted(pid):
                break
            await connection.close()
        self._stack.push_async_callback(connection.close)
        self._begin(name, self._receive(name, connection))
        return int(pid)

    async def connect(self, node: Node, path: str) -> ClientConnection:
        """Connect a client, and receive its first message."""
        connection = await connect(node.address(path), ping_interval=None, open_timeout=DEADLINE)
        self._stack.push_async_callback(connection.close)
        await connection.recv()
        return connection

    async def publisher(self, name: str, node: Node) -> None:
        connection = await connect(node.address("/publish"), ping_interval=None, open_timeout=DEADLINE)
        self._stack.push_async_callback(connection.close)
        self.checker.published.setdefault(name, 0)  # its task has not run yet, and caught_up() waits for it from now on
        self._begin(name, self._publish(name, connection))

    async def stop_publishing(self, *names: str) -> None:
        """Stop publishers between two messages, so that the record has all that was sent."""
        self._stopping.update(names)
        await asyncio.gather(*(self._tasks.pop(name) for name in names), return_exceptions=True)

    async def delivered(self, publishers: Iterable[str], receivers: Iterable[str]) -> None:
        """Wait until the receivers have the last message of the stopped publishers."""
        pairs = [(receiver, publisher) for receiver in receivers for publisher in publishers]
        await self.checker.until(
            lambda: all(self.checker.last(*pair) == self.checker.published[pair[1]] for pair in pairs), DEADLINE
        )

    async def settled(self, *receivers: str) -> None:
        """Stop publishing, and wait until every receiver has the last message."""
        await self.checker.caught_up(*receivers)
        publishers = list(self.checker.published)
        await self.stop_publishing(*publishers)
        await self.delivered(publishers, receivers)

    def running(self, name: str) -> bool:
        """Whether a publisher or receiver still has its connection."""
        return not self._tasks[name].done()

    def _begin(self, name: str, work: Any) -> None:
        self._tasks[name] = asyncio.create_task(work, name=name)

    async def _publish(self, name: str, connection: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while name not in self._stopping:
                await connection.send(json.dumps([name, self.checker.publish(name)]))
                await asyncio.sleep(PACE)

    async def _receive(self, name: str, connection: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                publisher, sequence = json.loads(message)
                self.checker.receive(name, publisher, sequence)

    async def aclose(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stack.aclose()
        for task in tasks:
            if not task.cancelled():
                task.result()
