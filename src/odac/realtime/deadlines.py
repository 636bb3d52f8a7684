"""One timer for many waits of the same length."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

__all__ = ["Deadline", "Deadlines"]


class Deadline:
    """One wait; :meth:`met` ends it."""

    __slots__ = ("at", "missed")

    def __init__(self, at: float, missed: Callable[[], object]) -> None:
        self.at = at
        self.missed: Callable[[], object] | None = missed

    def met(self) -> None:
        """What was waited for has happened."""
        self.missed = None


class Deadlines:
    """Waits that all last as long stand in one line in the order of their ends, so that one timer serves them all.

    Args:
        loop: the event loop.
        seconds: how long each wait lasts.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.loop = loop
        self._seconds = seconds
        self._line: deque[Deadline] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, missed: Callable[[], object]) -> Deadline:
        """Begin a wait; ``missed`` is called if it is not :meth:`Deadline.met` in time."""
        deadline = Deadline(self.loop.time() + self._seconds, missed)
        self._line.append(deadline)
        if self._timer is None:
            self._timer = self.loop.call_at(deadline.at, self._fire)
        return deadline

    def _fire(self) -> None:
        now, line = self.loop.time(), self._line
        while line and (line[0].missed is None or line[0].at <= now):
            deadline = line.popleft()
            missed, deadline.missed = deadline.missed, None
            if missed is not None:
                missed()
        self._timer = self.loop.call_at(line[0].at, self._fire) if line else None
