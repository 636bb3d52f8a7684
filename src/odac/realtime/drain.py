"""Closing every connection of a process that stops, one after the other, so that clients come back without a rush.

A connection is used until its own turn has come, is told then to come back at once, and is closed. Closing all at once
and telling each to stay away for a while would cost every client that while, though another process serves already.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from math import ceil
from random import Random, shuffle
from typing import TYPE_CHECKING, Final

from odac.close_codes import CloseCode
from odac.protocol import control

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["PER_SECOND", "Drain"]

PER_SECOND: Final = 500
"""Connections closed per second: so many clients come back to the other processes, each with a handshake and perhaps a
request for a token, which together take a fraction of one core. More clients take longer, up to
``Limits.drain_timeout``.
"""

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
        alone: whether the app runs in this process only, so that coming back at once finds nobody. Over a broker,
            others are taken to run: one that has just started is not known yet.
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
        self._per_turn = 0
        self._spread = 0.0
        self._loop = loop
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
        count = len(self._waiting)
        self._spread = min(self._timeout, count / PER_SECOND)
        turns = max(1, int(self._spread / _TICK))
        self._per_turn = ceil(count / turns)
        if self._timer is None:
            self._turn()

    def _turn(self) -> None:
        self._timer = None
        for _ in range(min(self._per_turn, len(self._waiting))):
            self._close(self._waiting.popleft())
        if self._waiting:
            self._timer = self._loop.call_later(_TICK, self._turn)
        elif self._over is not None and not self._over.done():
            self._over.set_result(None)

    def _close(self, connection: Connection) -> None:
        if not connection.is_open:
            return
        if connection.speaks_odac:
            if connection.session_id is not None and self._issue_token is not None:
                # It lets the client come back even if no process answers it over HTTP.
                connection.put(control.encode_control("token", self._issue_token(connection.session_id)))
            delay = _ALONE + _random() * self._spread if self._alone else 0.0
            connection.put(control.encode_control("drain", int(delay * 1000)))
        connection.begin_close(CloseCode.GOING_AWAY, "the server is stopping")

    def cut_short(self) -> None:
        """Close all that are still waiting for their turn now."""
        if self._timer is not None:
            self._timer.cancel()
        self._per_turn = len(self._waiting)
        self._turn()

    async def over(self) -> None:
        """Wait until each has had its turn."""
        if self._waiting:
            self._over = self._over or self._loop.create_future()
            await self._over


_random = Random().random  # noqa: S311 - no secret
