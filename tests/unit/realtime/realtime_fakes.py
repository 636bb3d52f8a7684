"""A loop that turns when it is told to, and a lane whose kernel takes as much as the test says."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, TypeVar, cast
from unittest.mock import patch

from odac.close_codes import CloseCode
from odac.config import Limits
from odac.protocol.message import Prepared
from odac.realtime import delivery, heartbeat, outbox, writing
from odac.realtime.audience import Audience
from odac.realtime.connection import Connection
from odac.realtime.hub import Hub
from odac.realtime.no_bus import NoBus
from odac.realtime.policy import Policy
from odac.realtime.ports import Count
from odac.realtime.targets import Target
from odac.wire.frames import CLOSE, EMPTY_CLOSE, encode_close, fit_reason

T = TypeVar("T")
Frame = tuple[int, bytes]

DEADLINE = 30.0
"""Seconds after which a test that waits for something has failed; none of them waits for time to pass."""


class ManualTimer:
    def __init__(self, when: float, call: Callable[[], object]) -> None:
        self.when = when
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self.call = None


class ManualLoop:
    """As much of an event loop as the realtime core needs without tasks; nothing runs before :meth:`turn`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._ready: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._timers: list[tuple[float, int, ManualTimer]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    def call_soon(self, call: Callable[..., object], *arguments: object) -> None:
        self._ready.append((call, arguments))

    call_soon_threadsafe = call_soon

    def call_at(self, when: float, call: Callable[..., object], *arguments: object) -> ManualTimer:
        timer = ManualTimer(when, lambda: call(*arguments))
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def call_later(self, delay: float, call: Callable[..., object], *arguments: object) -> ManualTimer:
        return self.call_at(self.now + delay, call, *arguments)

    def turn(self) -> None:
        """One iteration: what is ready now runs, what it schedules waits for the next."""
        for _ in range(len(self._ready)):
            call, arguments = self._ready.popleft()
            call(*arguments)

    def run(self) -> None:
        """Turn until nothing is ready."""
        while self._ready:
            self.turn()

    def advance(self, seconds: float) -> None:
        """Let time pass, timers and all."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            if timer.call is not None:
                timer.call()
            self.run()
        self.now = end


class Kernel:
    """The far end of bare writes: ``os.write`` for the hot paths."""

    def __init__(self) -> None:
        self.lanes: dict[int, FakeLane] = {}
        self._numbers = itertools.count(1_000_000)

    def plug(self, lane: FakeLane) -> int:
        number = next(self._numbers)
        self.lanes[number] = lane
        return number

    def write(self, fd: int, data: bytes | memoryview) -> int:
        lane = self.lanes[fd]
        assert not lane.held, "a bare write past what the transport holds"
        assert lane.connection.is_open, "a bare write behind the close frame"
        assert lane.connection.outbox.pending is None, "a bare write past what is pending"
        if lane.gone:
            raise BrokenPipeError
        return lane.take(data)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        with (
            patch.object(writing, "os", SimpleNamespace(write=self.write)),
            patch.object(delivery, "write_to_all", writing.reference_write_to_all),
            patch.object(heartbeat, "write_to_all", writing.reference_write_to_all),
            patch.object(outbox, "write", writing.reference_write),
        ):
            yield


class FakeLane:
    """A lane as the direct one is, over a kernel with ``room`` bytes left (None: any number)."""

    pings = True

    def __init__(self, kernel: Kernel, *, bare: bool = True) -> None:
        self.wire = bytearray()
        self.held = bytearray()
        self.room: int | None = None
        self.gone = False
        self.ending: tuple[int, str] | None = None
        self.expects_end = False
        self.cuts: list[tuple[int, str]] = []
        self.aborted = False
        self.reading = True
        self.connection: Connection = cast("Connection", None)
        self._own_fd = kernel.plug(self) if bare else -1
        self.fd = self._own_fd

    def take(self, data: bytes | memoryview) -> int:
        """What the kernel takes of ``data``; it raises when that is nothing, as a socket does."""
        count = len(data) if self.room is None else min(self.room, len(data))
        if count == 0:
            raise BlockingIOError
        if self.room is not None:
            self.room -= count
        self.wire += data[:count]
        return count

    def _push(self, data: bytes | memoryview) -> None:
        if self.gone:
            return
        if not self.held:
            try:
                data = data[self.take(data) :]
            except BlockingIOError:
                pass
        if data:
            self.held += data
            self.fd = -1
            self.connection.outbox.pause_writing()

    def grant(self, room: int | None) -> None:
        """The peer has read: the kernel has room again, and the transport goes on."""
        self.room = None if room is None else (self.room or 0) + room
        if self.held and not self.gone:
            try:
                del self.held[: self.take(bytes(self.held))]
            except BlockingIOError:
                return
            if not self.held:
                if self.ending is None:
                    self.fd = self._own_fd
                self.connection.outbox.resume_writing()

    def write(self, messages: list[Prepared]) -> None:
        assert self.ending is None, "a message behind the close frame"
        self._push(b"".join([message.frame for message in messages]))

    def write_rest(self, data: memoryview) -> None:
        self._push(data)

    @property
    def buffered(self) -> int:
        return len(self.held)

    def close(self, code: int, reason: str) -> None:
        assert self.ending is None
        self.ending = (code, reason)
        self.fd = -1
        self._push(EMPTY_CLOSE if code == CloseCode.NO_STATUS else encode_close(code, fit_reason(reason)))

    def expect_end(self) -> None:
        self.expects_end = True

    def cut(self, code: int, reason: str) -> None:
        self.cuts.append((code, reason))
        self.abort()

    def abort(self) -> None:
        self.aborted = True
        self.lose()

    def lose(self) -> None:
        """The transport is gone."""
        self.gone = True
        self.fd = -1
        self.held.clear()
        self.connection.lost(*(self.ending or (CloseCode.ABNORMAL, "")))

    def limit_messages(self, size: int) -> None: ...

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    @property
    def frames(self) -> list[Frame]:
        """What the peer has got, the last frame only if it is whole."""
        return parse_frames(bytes(self.wire))


def parse_frames(data: bytes) -> list[Frame]:
    """Whole unmasked frames, as (opcode, payload)."""
    frames = []
    position = 0
    while len(data) >= position + 2:
        opcode, length = data[position] & 0x0F, data[position + 1]
        position += 2
        if length == 126:
            length = int.from_bytes(data[position : position + 2], "big")
            position += 2
        elif length == 127:
            length = int.from_bytes(data[position : position + 8], "big")
            position += 8
        if len(data) < position + length:
            break
        frames.append((opcode, data[position : position + length]))
        position += length
    return frames


def close_code(frame: Frame) -> int:
    """The code in a close frame."""
    assert frame[0] == CLOSE
    return int.from_bytes(frame[1][:2], "big")


class FakeBus:
    """Writes down what it is told."""

    healthy = True

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.unkept: list[bool] = []
        self.subsystems = NoBus.subsystems

    def publish(self, audience: Audience, message: Prepared, *, unkept: bool = False) -> None:
        self.told.append(("publish", audience, message.payload))
        self.unkept.append(unkept)

    def close(self, audience: Audience, code: int, reason: str, given: float) -> None:
        self.told.append(("close", audience, code, reason))

    def move(self, audience: Audience, room: str, *, joins: bool) -> None:
        self.told.append(("move", audience, room, joins))

    async def count_others(self, audience: Audience, timeout: float) -> Count:
        return Count(6, 1, 2)

    def room_opened(self, room: str) -> None:
        self.told.append(("opened", room))

    def room_closed(self, room: str) -> None:
        self.told.append(("closed", room))


class Room:
    """A hub, and whoever connects to it.

    Args:
        limits: of the hub and of every connection.
        loop: the running event loop, for what needs tasks; by default one of the test's own.
        callbacks: of the hub.
    """

    def __init__(
        self, limits: Limits | None = None, loop: asyncio.AbstractEventLoop | None = None, **callbacks: Any
    ) -> None:
        self.loop = ManualLoop()
        self.kernel = Kernel()
        self.limits = limits or Limits()
        self.hub = Hub(self.limits, **callbacks)
        self.hub.start(loop or cast(Any, self.loop))

    def to(self, *rooms: str) -> Target:
        return Target(self.hub, Audience.of(*rooms))

    def connect(
        self, *, speaks_odac: bool = False, bare: bool = True, admitted: bool = True, **policy: Any
    ) -> Connection:
        lane = FakeLane(self.kernel, bare=bare)
        connection = Carried(self.hub, lane, Policy("/test", self.limits, **policy), speaks_odac=speaks_odac)
        lane.connection = connection
        connection.carrier = lane
        self.hub.population += 1
        if admitted:
            self.hub.add(connection)
        return connection


def run(test: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on an event loop, bounded."""

    async def bounded() -> T:
        async with asyncio.timeout(DEADLINE):
            return await test

    return asyncio.run(bounded())


async def idle() -> None:
    """Let everything that is ready run. Nothing here waits for a socket or a thread, so a fixed number of turns is
    enough.
    """
    for _ in range(20):
        await asyncio.sleep(0)


class Carried(Connection):
    """A connection whose lane a test can look at after the end, when the connection has let go of it."""

    __slots__ = ("carrier",)

    carrier: FakeLane


def lane_of(connection: Connection) -> FakeLane:
    """The fake lane that a connection of :class:`Room` has, or had."""
    return cast(FakeLane, getattr(connection, "carrier", connection.lane))
