"""Closing every connection of a process that stops, one after the other, so that clients come back without a rush.

The pace follows the peers: a turn closes no more than :data:`PER_SECOND` allows, and not while :data:`IN_FLIGHT` others
are still in their closing handshake; but never so few that ``Limits.drain_timeout`` would pass before the last.

A connection is used until its own turn has come, is told then to come back at once, and is closed. Closing all at once
and telling each to stay away for a while would cost every client that while, though another process serves already.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from math import ceil
from random import random, shuffle
from typing import TYPE_CHECKING, Final

from odac.close_codes import CloseCode
from odac.protocol import control
from odac.realtime.phase import CLOSED

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["IN_FLIGHT", "PATIENCE", "PER_SECOND", "Drain"]

PER_SECOND: Final = 500
"""The most connections closed per second: so many clients come back to the other processes, each with a handshake and
perhaps a request for a token."""

IN_FLIGHT: Final = 32
"""The most connections whose closing handshake is unfinished.

Where clients, proxy and servers share a busy machine, their close frames come late, and closing more at once would only
make everyone wait longer for the next connection. A round trip of 60 ms still allows :data:`PER_SECOND`.
"""

PATIENCE: Final = 1.0
"""Seconds after which a closing connection is not counted as in flight any more: the peer may be gone."""

_TICK: Final = 0.02
"""Seconds between two turns."""

_ALONE: Final = 1.0
"""Seconds after which clients come back where no other process serves: about what a restart takes."""


class Drain:
    """The closing of one process's connections.

    Args:
        loop: of the connections.
        timeout: seconds that closing all of them may take.
        issue_token: returns a token for a session's id, which the client comes back with; None if there are no tokens.
        alone: whether the app runs in this process only, so that a client that returns at once finds no server. Over a
            broker, others are taken to run: one that has just started is not known yet.
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
        self._loop = loop
        self._end = loop.time() + timeout
        self._last_turn = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._over: asyncio.Future[None] | None = None

    def add(self, connections: Iterable[Connection]) -> None:
        """Close these, each in its turn; those that are waiting for theirs already keep it."""
        found = [each for each in connections if each.id not in self._known]
        if not found:
            return
        self._known.update(each.id for each in found)
        shuffle(found)
        self._waiting.extend(found)
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
        elif self._over is not None and not self._over.done():
            self._over.set_result(None)

    def _due(self, now: float) -> int:
        """How many connections to close in the turn at this time."""
        waiting, left = len(self._waiting), self._end - now
        if left <= _TICK:
            return waiting
        self._in_flight = [(each, until) for each, until in self._in_flight if each.phase < CLOSED and now < until]
        at_least = ceil(waiting * min(1.0, (now - self._last_turn) / left))
        at_most = ceil(PER_SECOND * _TICK)
        return min(waiting, max(at_least, min(at_most, IN_FLIGHT - len(self._in_flight))))

    def _close(self, connection: Connection, now: float) -> None:
        if not connection.is_open:
            return
        if connection.speaks_odac:
            if connection.session_id is not None and self._issue_token is not None:
                # It lets the client come back even if no process answers it over HTTP.
                connection.put(control.encode_control("token", self._issue_token(connection.session_id)))
            delay = _ALONE + random() * self._spread if self._alone else 0.0  # noqa: S311 - not a secret
            connection.put(control.encode_control("drain", int(delay * 1000)))
        connection.begin_close(CloseCode.GOING_AWAY, "the server is stopping")
        self._in_flight.append((connection, now + PATIENCE))

    async def over(self) -> None:
        """Wait until each has had its turn."""
        if self._waiting:
            self._over = self._over or self._loop.create_future()
            await self._over
