"""A ping of the application's, from its sending to its pong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any, Final

from odac.errors import Disconnected

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["Ping"]


class Ping(Awaitable[float]):
    """A ping under way."""

    __slots__ = ("_connection", "_failure", "_payload", "_sent_at", "_trip", "_waiter")

    def __init__(self, connection: Connection, payload: bytes) -> None:
        self._connection = connection
        self._payload = payload
        self._sent_at: Final = connection.delivery.loop.time()
        self._trip: float | None = None
        self._failure: tuple[int, str] | None = None
        self._waiter: asyncio.Future[None] | None = None

    def succeed(self) -> None:
        """The pong is here."""
        self._trip = self._connection.delivery.loop.time() - self._sent_at
        self._wake()

    def fail(self, code: int, reason: str) -> None:
        """The connection has ended first."""
        self._failure = (code, reason)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __await__(self) -> Generator[Any, None, float]:
        while self._trip is None:
            if self._failure is not None:
                raise Disconnected(*self._failure)
            self._waiter = self._connection.delivery.loop.create_future()
            yield from self._waiter
        return self._trip
