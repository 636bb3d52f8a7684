"""Closes connections when their login expires, so that their clients reconnect and authenticate again."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from math import ceil
from time import time
from typing import Any, Final

from odac.close_codes import CloseCode

__all__ = ["EXPIRED", "Expiries"]

EXPIRED: Final = "the login has expired: connect again"

_LONGEST_WAIT: Final = 3600.0
"""The most seconds that one timer waits: the clock of the expiry times may be set meanwhile."""


class Expiries:
    """Closes each connection with 1012 at its time; clients reconnect by themselves after that code.

    Args:
        loop: runs the one timer.
        now: returns seconds since 1970.
    """

    __slots__ = ("_by_second", "_loop", "_now", "_second_of", "_seconds", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Callable[[], float] = time) -> None:
        self._loop = loop
        self._now = now
        self._by_second: dict[int, set[Any]] = {}
        self._second_of: dict[Any, int] = {}
        self._seconds: list[int] = []  # a heap of the keys of _by_second
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._second_of)

    def add(self, connection: Any, when: float) -> None:
        """Close a connection at a time, in seconds since 1970; an earlier time that was set before stays."""
        # Times far in the future are rounded down to a minute. A client that is closed up to a minute early reconnects,
        # and its login is valid for the rest of that minute.
        second = ceil(when) if when - self._now() < _LONGEST_WAIT else int(when // 60) * 60
        before = self._second_of.get(connection)
        if before is not None:
            if before <= second:
                return
            self.discard(connection)
        if second not in self._by_second:
            self._by_second[second] = set()
            heapq.heappush(self._seconds, second)
        self._by_second[second].add(connection)
        self._second_of[connection] = second
        if self._seconds[0] == second:
            self._set_timer()

    def discard(self, connection: Any) -> None:
        """A connection has ended."""
        second = self._second_of.pop(connection, None)
        if second is not None:
            self._by_second[second].discard(connection)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._seconds:
            delay = min(max(self._seconds[0] - self._now(), 0.0), _LONGEST_WAIT)
            self._timer = self._loop.call_later(delay, self._close_due)

    def _close_due(self) -> None:
        self._timer = None
        now = self._now()
        while self._seconds and self._seconds[0] <= now:
            for connection in self._by_second.pop(heapq.heappop(self._seconds)):
                del self._second_of[connection]
                connection.begin_close(CloseCode.SERVICE_RESTART, EXPIRED)
        while self._seconds and not self._by_second[self._seconds[0]]:
            del self._by_second[heapq.heappop(self._seconds)]
        self._set_timer()
