"""One timer for many deadlines of the same length."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final, Protocol

__all__ = ["Deadlines", "Expiring"]

_TOGETHER: Final = 0.1
"""Seconds within which deadlines are met together."""


class Expiring(Protocol):
    """What has a deadline."""

    def expire(self) -> None:
        """The deadline is over."""
        ...


class Deadlines:
    """Whoever is added expires after so many seconds, unless discarded before.

    Because all wait equally long, they expire in the order of their adding, and only the first needs a timer.

    Args:
        loop: runs the timer.
        seconds: until expiry.
    """

    __slots__ = ("_seconds", "_timer", "_waiting", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.loop = loop
        self._seconds = seconds
        # A dict would search its whole front for the first key, where keys have been deleted.
        self._waiting: OrderedDict[Expiring, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, who: Expiring) -> None:
        """Begin the deadline; one that has begun goes on."""
        if who not in self._waiting:
            self._waiting[who] = self.loop.time() + self._seconds
            if self._timer is None:
                self._timer = self.loop.call_later(self._seconds, self._look)

    def discard(self, who: Expiring) -> None:
        """Forget the deadline, if there is one."""
        self._waiting.pop(who, None)

    def __len__(self) -> int:
        return len(self._waiting)

    def _look(self) -> None:
        self._timer = None
        now = self.loop.time()
        while self._waiting:
            who, due = next(iter(self._waiting.items()))
            if due > now:
                self._timer = self.loop.call_at(max(due, now + _TOGETHER), self._look)
                return
            del self._waiting[who]
            who.expire()
