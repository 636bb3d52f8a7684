"""One timer for many deadlines of the same length."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final, Protocol

__all__ = ["Deadlines", "Expiring"]

_GRANULARITY: Final = 0.1
"""Deadlines that end within this many seconds of each other are handled together."""


class Expiring(Protocol):
    """Something with a deadline."""

    def expire(self) -> None:
        """The deadline has passed."""
        ...


class Deadlines:
    """Calls ``expire`` on each added object after a fixed time, unless the object is discarded before.

    All deadlines have the same length, so they pass in the order of adding, and one timer, for the first, is enough.

    Args:
        loop: runs the timer.
        seconds: until expiry.
    """

    __slots__ = ("_seconds", "_timer", "_waiting", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.loop = loop
        self._seconds = seconds
        # Not a dict: after deletions, finding its first key would scan all deleted entries at its start.
        self._waiting: OrderedDict[Expiring, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, expiring: Expiring) -> None:
        """Start a deadline; adding an object twice changes nothing."""
        if expiring not in self._waiting:
            self._waiting[expiring] = self.loop.time() + self._seconds
            if self._timer is None:
                self._timer = self.loop.call_later(self._seconds, self._expire_due)

    def discard(self, expiring: Expiring) -> None:
        """Cancel the deadline, if there is one."""
        self._waiting.pop(expiring, None)

    def __len__(self) -> int:
        return len(self._waiting)

    def _expire_due(self) -> None:
        self._timer = None
        now = self.loop.time()
        while self._waiting:
            expiring, due = next(iter(self._waiting.items()))
            if due > now:
                self._timer = self.loop.call_at(max(due, now + _GRANULARITY), self._expire_due)
                return
            del self._waiting[expiring]
            expiring.expire()
