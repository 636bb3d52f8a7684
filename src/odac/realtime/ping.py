"""Pings that the application sends, and their pongs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from os import urandom
from typing import TYPE_CHECKING, Any, Final, Protocol

from odac.errors import Disconnected
from odac.protocol import control
from odac.protocol.message import Prepared
from odac.wire.frames import PING

if TYPE_CHECKING:
    from odac.realtime.ports import Lane
    from odac.realtime.sent import Sent

__all__ = ["Ping", "Pings"]

_MOST: Final = 100
"""Pending pings of one connection; further ones share the last, so that a peer that never answers costs no memory."""


class PingOwner(Protocol):
    """The attributes of a connection that its pings use."""

    speaks_odac: bool

    @property
    def lane(self) -> Lane:
        """The lane of the connection."""
        ...

    def put(self, message: Prepared) -> Sent:
        """Send a ping frame or a control message."""
        ...


class Ping(Awaitable[float]):
    """A ping that was sent; awaiting it gives the round trip in seconds."""

    __slots__ = ("_failure", "_loop", "_sent_at", "_trip", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sent_at: Final = loop.time()
        self._trip: float | None = None
        self._failure: tuple[int, str] | None = None
        self._waiter: asyncio.Future[None] | None = None

    def succeed(self) -> None:
        """The pong has arrived."""
        self._trip = self._loop.time() - self._sent_at
        self._wake()

    def fail(self, code: int, reason: str) -> None:
        """The connection has ended before the pong."""
        self._failure = (code, reason)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.set_result(None)
            self._waiter = None

    def __await__(self) -> Generator[Any, None, float]:
        while self._trip is None:
            if self._failure is not None:
                raise Disconnected(*self._failure)
            if self._waiter is None:
                self._waiter = self._loop.create_future()
            # Not the future itself: a cancelled caller would cancel it for the others that share this ping.
            yield from asyncio.wait((self._waiter,)).__await__()
        return self._trip


class Pings:
    """The pings of one connection that have no pong yet, by their payloads, the oldest first.

    Args:
        loop: the connection's event loop.
    """

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[bytes, Ping] = {}

    def send(self, connection: PingOwner) -> Ping:
        """Send a ping: a ping frame, or over plain ASGI a control message to a peer with ``odac.v1``.

        To another peer over plain ASGI nothing is sent, and all such pings are the same one.
        """
        has_frames = connection.lane.pings
        if not has_frames and not connection.speaks_odac:
            return self._waiting.setdefault(b"", Ping(self._loop))
        if len(self._waiting) >= _MOST:
            return self._waiting[next(reversed(self._waiting))]
        payload = urandom(4)
        ping = self._waiting[payload] = Ping(self._loop)
        connection.put(Prepared(PING, payload) if has_frames else control.PING)
        return ping

    @property
    def oldest(self) -> bytes:
        """The payload that was sent first."""
        return next(iter(self._waiting), b"")

    def receive(self, payload: bytes) -> None:
        """A pong has arrived. It answers the pings before its own as well.

        A peer may leave out all pongs but the last (RFC 6455 section 5.5.3).
        """
        if payload in self._waiting:
            for sent in list(self._waiting):
                self._waiting.pop(sent).succeed()
                if sent == payload:
                    break

    def fail(self, code: int, reason: str) -> None:
        """The connection has ended."""
        for ping in self._waiting.values():
            ping.fail(code, reason)
