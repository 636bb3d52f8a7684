"""Stand-ins for time, chance, the token endpoint and the network, and a client that is built on them."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from odac.client import ClientConnection
from odac.client.address import Address
from odac.client.fetch import Response
from odac.client.socket import StoreCookies
from odac.errors import Disconnected
from odac.protocol.control import encode_control
from odac.protocol.message import Prepared

T = TypeVar("T")

DEADLINE = 30.0
"""Seconds after which a test that waits for something has failed; none of them waits for time to pass."""


def run(test: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(DEADLINE):
            return await test

    return asyncio.run(bounded())


async def until(condition: Any) -> None:
    """Let everything that is ready run, until the condition holds; the test's deadline bounds it."""
    while not condition():
        await asyncio.sleep(0)


async def idle() -> None:
    """Let everything that is ready run. Nothing here waits for a socket or a thread, so a fixed number of turns is
    enough.
    """
    for _ in range(50):
        await asyncio.sleep(0)


class FakeClock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self.time + seconds, woken)
        self.sleepers.append(entry)
        try:
            await woken
        finally:
            self.sleepers.remove(entry)

    async def advance(self, seconds: float) -> None:
        """Move on, waking whoever sleeps in the order of the alarms."""
        end = self.time + seconds
        await idle()
        while due := sorted((entry for entry in self.sleepers if entry[0] <= end), key=lambda entry: entry[0]):
            self.time = max(self.time, due[0][0])
            due[0][1].set_result(None)
            await idle()
        self.time = end
        await idle()


class FakeSocket:
    """A connection whose server is the test."""

    def __init__(self, clock: FakeClock, subprotocol: str | None) -> None:
        self.subprotocol = subprotocol
        self.last_received = clock.time
        self.written: list[str | bytes] = []
        self.probes = 0
        self.closed_with: tuple[int, str] | None = None
        self.aborted = False
        self.room = asyncio.Event()
        self.room.set()
        self._clock = clock
        self._incoming: deque[str | bytes] = deque()
        self._end: tuple[int, str] | None = None
        self._changed = asyncio.Event()

    # the server's side

    def say(self, message: str | bytes) -> None:
        self.last_received = self._clock.time
        self._incoming.append(message)
        self._changed.set()

    def control(self, kind: str, *values: object) -> None:
        self.say(encode_control(kind, *values).payload.decode())

    def hello(self, **facts: object) -> None:
        self.control("hello", {"id": "c-1", "ping": 25, "version": 1} | facts)

    def end(self, code: int, reason: str = "") -> None:
        self._end = (code, reason)
        self._changed.set()

    @property
    def unread(self) -> int:
        return len(self._incoming)

    # the client's side

    async def receive(self) -> str | bytes:
        while not self._incoming:
            if self._end is not None:
                raise Disconnected(*self._end)
            self._changed.clear()
            await self._changed.wait()
        return self._incoming.popleft()

    def write(self, message: Prepared) -> bool:
        if self._end is not None or self.closed_with is not None:
            return False
        self.written.append(message.payload.decode() if message.is_text else message.payload)
        return True

    async def writable(self) -> None:
        await self.room.wait()

    def probe(self) -> None:
        self.probes += 1

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed_with = (code, reason)
        self.end(code, reason)

    def abort(self) -> None:
        self.aborted = True
        if self._end is None:
            self.end(1006)


class FakeNetwork:
    """Answers every attempt: with what ``plan`` holds, and else with an open connection."""

    def __init__(self, *, subprotocol: str | None = "odac.v1", greet: bool = True) -> None:
        self.clock = FakeClock()
        self.sockets: list[FakeSocket] = []
        self.offers: list[tuple[str, ...]] = []
        self.headers: list[dict[str, str]] = []
        self.plan: deque[BaseException | tuple[int, str] | None] = deque()
        self.set_cookie: list[str] = []
        self.token_answers: deque[Response | OSError] = deque()
        self.token_requests: list[tuple[str, dict[str, str]]] = []
        self.subprotocol = subprotocol
        self.greet = greet
        self.hang = False

    async def dial(
        self,
        address: Address,
        subprotocols: Sequence[str],
        headers: Sequence[tuple[str, str]],
        store_cookies: StoreCookies,
    ) -> FakeSocket:
        self.offers.append(tuple(subprotocols))
        self.headers.append(dict(headers))
        await asyncio.sleep(0)
        if self.hang:
            await asyncio.get_running_loop().create_future()
        planned = self.plan.popleft() if self.plan else None
        if isinstance(planned, BaseException):
            raise planned
        store_cookies(self.set_cookie)
        socket = FakeSocket(self.clock, self.subprotocol)
        self.sockets.append(socket)
        if planned is not None:
            socket.end(*planned)
        elif self.greet and self.subprotocol == "odac.v1":
            socket.hello(id=f"c-{len(self.sockets)}")
        return socket

    async def get(self, address: Address, target: str, headers: Iterable[tuple[str, str]], ssl: object) -> Response:
        self.token_requests.append((target, dict(headers)))
        await asyncio.sleep(0)
        if self.token_answers:
            answer = self.token_answers.popleft()
            if isinstance(answer, OSError):
                raise answer
            return answer
        return token_answer(f"token-{len(self.token_requests)}")

    @property
    def socket(self) -> FakeSocket:
        return self.sockets[-1]

    def client(self, url: str = "ws://example.test/chat", **options: Any) -> ClientConnection:
        return ClientConnection(url, clock=self.clock, random=lambda: 1.0, dial=self.dial, get=self.get, **options)


def token_answer(token: object, set_cookie: str = "") -> Response:
    headers = (("content-type", "application/json"), *([("set-cookie", set_cookie)] if set_cookie else []))
    return Response(200, headers, json.dumps({"token": token}).encode())


class Log:
    """Writes down every event of a client."""

    def __init__(self, client: ClientConnection) -> None:
        self.events: list[tuple[object, ...]] = []
        client.on("open", lambda: self.events.append(("open",)))
        client.on("message", lambda data: self.events.append(("message", data)))
        client.on("close", lambda code, reason: self.events.append(("close", code, reason)))
        client.on("error", lambda error: self.events.append(("error", type(error).__name__)))
        client.on("reconnecting", lambda attempt, wait: self.events.append(("reconnecting", attempt, wait)))

    def of(self, kind: str) -> list[tuple[object, ...]]:
        return [event[1:] for event in self.events if event[0] == kind]
