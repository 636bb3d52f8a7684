"""Closing every connection of a process that stops, gradually, so that clients do not all reconnect at once.

A turn closes no more connections than :data:`PER_SECOND` allows, and waits while :data:`IN_FLIGHT` others are still in
their closing handshake; but it closes enough of them that all are closed within ``Limits.drain_timeout``.

A connection stays in use until its turn. Then the client is sent a ``drain`` message, after which it reconnects at
once, and the connection is closed. The alternative, closing all at once and having each client wait before it
reconnects, would disconnect every client for that time, although other processes could serve them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from math import ceil
from random import Random
from typing import TYPE_CHECKING, Final

from odac.close_codes import CloseCode
from odac.protocol import control
from odac.realtime.phase import CLOSED

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["IN_FLIGHT", "PATIENCE", "PER_SECOND", "Drain"]

PER_SECOND: Final = 500
"""The most connections closed per second: so many clients reconnect to the other processes, each with a handshake and
perhaps a request for a token."""

IN_FLIGHT: Final = 32
"""The most connections whose closing handshake is unfinished.

If clients, proxy and servers share a busy machine, the clients' close frames arrive late, and closing more connections
at once would only delay their reconnects. A round trip of 60 ms still allows :data:`PER_SECOND`.
"""

PATIENCE: Final = 1.0
"""Seconds after which a closing connection no longer counts as in flight: its peer may never answer."""

_TICK: Final = 0.02
"""Seconds between two turns."""

_ALONE: Final = 1.0
"""Seconds after which clients reconnect if no other process serves them: about the time of a restart."""


class Drain:
    """The closing of one process's connections.

    Args:
        loop: the event loop of the connections.
        timeout: seconds that closing all of them may take.
        issue_token: returns a token for a session's id, with which the client reconnects; None if there are no tokens.
        alone: whether the app runs in this process only, so that a client that reconnects at once finds no server. With
            a broker, other processes are assumed to run: one that has just started is not known yet.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        issue_token: Callable[[str], str] | None,
        *,
        alone: bool,
    ) -> None:
        self._timeout = timeout
        self._issue_token = issue_token
        self._alone = alone
        self._waiting: deque[Connection] = deque()
        self._known: set[str] = set()
        self._in_flight: list[tuple[Connection, float]] = []  # each with the time until which it counts
        self._spread = 0.0
        self._random = Random()  # noqa: S311 - not a secret
        self._loop = loop
        self._end = loop.time() + timeout
        self._last_turn = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._done: asyncio.Future[None] | None = None

    def add(self, connections: Iterable[Connection]) -> None:
        """Close these connections, each in its turn; a connection that has a turn already keeps it."""
        added = [connection for connection in connections if connection.id not in self._known]
        if not added:
            return
        self._known.update(connection.id for connection in added)
        self._random.shuffle(added)
        self._waiting.extend(added)
        self._spread = min(self._timeout, len(self._waiting) / PER_SECOND)
        if self._timer is None:
            self._last_turn = self._loop.time() - _TICK
            self._turn()

    def _turn(self) -> None:
        self._timer = None
        now = self._loop.time()
        for _ in range(self._due(now)):
            self._close(self._waiting.popleft(), now)
        self._last_turn = now
        if self._waiting:
            self._timer = self._loop.call_later(_TICK, self._turn)
        elif self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _due(self, now: float) -> int:
        """How many connections to close in the turn at this time."""
        waiting, left = len(self._waiting), self._end - now
        if left <= _TICK:
            return waiting
        self._in_flight = [
            (connection, until) for connection, until in self._in_flight if connection.phase < CLOSED and now < until
        ]
        at_least = ceil(waiting * min(1.0, (now - self._last_turn) / left))
        at_most = ceil(PER_SECOND * _TICK)
        return min(waiting, max(at_least, min(at_most, IN_FLIGHT - len(self._in_flight))))

    def _close(self, connection: Connection, now: float) -> None:
        if not connection.is_open:
            return
        if connection.speaks_odac:
            if connection.session_id is not None and self._issue_token is not None:
                # With this token the client can reconnect even if no process answers its HTTP request for one.
                connection.put(control.encode_control("token", self._issue_token(connection.session_id)))
            delay = _ALONE + self._random.random() * self._spread if self._alone else 0.0
            connection.put(control.encode_control("drain", int(delay * 1000)))
        connection.begin_close(CloseCode.GOING_AWAY, "the server is stopping")
        self._in_flight.append((connection, now + PATIENCE))

    async def wait(self) -> None:
        """Wait until each connection has had its turn."""
        if self._waiting:
            self._done = self._done or self._loop.create_future()
            await self._done
