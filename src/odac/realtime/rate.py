"""Measures whether one connection sends more than its rate limit allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final

from odac.config import RateLimit
from odac.speedups import compiled_meter

__all__ = ["UNSTARTED", "RateMeter", "new_meter"]

_ENTRIES: Final = 512
"""The most times that one connection stores. Up to this limit, each message has an entry; above, several share one.
"""

_FEW: Final = 8
"""Entries of a new ring; it is never smaller, unless the limit is."""

_SLICES: Final = 32
"""Parts of a window whose bytes are counted together."""


class RateMeter:
    """Counts the messages and bytes of one connection: no window, whenever it begins, has more than the limit.

    The times of the last messages are stored, because a count that starts again with each window allows nearly twice
    the limit around its beginning. They are stored in a ring: if the oldest has left the window, the next message
    replaces it. Else the ring grows, and when it is as large as the limit, the message exceeds the limit. If several
    messages share an entry, they count until the last of them has left the window.

    Args:
        limit: the route's rate limit.
        clock: seconds that never go back; :func:`time.monotonic` by default.

    Attributes:
        limit: as given.
    """

    __slots__ = ("_blocks", "_bytes", "_clock", "_left", "_position", "_step", "_times", "_window", "limit")

    def __init__(self, limit: RateLimit, clock: Callable[[], float] | None = None) -> None:
        self.limit = limit
        self._clock = clock
        self._window = float(limit.window)
        self._step = -(-limit.max // _ENTRIES)  # messages of one entry
        self._blocks = limit.max // self._step  # entries that a window has room for
        self._times = [-inf] * min(_FEW, self._blocks)
        self._position = 0  # of the oldest entry
        self._bytes = None if limit.bytes is None else _ByteMeter(limit.bytes, self._window)
        self._left = 0  # messages that the last entry has room for

    @property
    def entries(self) -> int:
        """The number of times in the ring."""
        return len(self._times)

    def is_exceeded(self, size: int) -> bool:
        """Count a message; return whether it exceeds the limit.

        Args:
            size: bytes of its payload, inflated.
        """
        now = monotonic() if self._clock is None else self._clock()
        if self._bytes is not None and self._bytes.is_exceeded(size, now):
            return True
        times, position = self._times, self._position
        if self._left:
            self._left -= 1
            times[position - 1] = now
            return False
        if now - times[position] < self._window:
            more = min(len(times), self._blocks - len(times))
            if not more:
                return True
            times = self._times = [-inf] * more + times[position:] + times[:position]
            position = 0
        times[position] = now
        position += 1
        if position == len(times):
            half = position // 2
            if position > _FEW and now - times[half - 1] >= self._window:
                del times[:half]  # a burst is long past
            position = 0
        self._position = position
        self._left = self._step - 1
        return False


class _ByteMeter:
    """The same for bytes: those of one part of the window count until the last of them has left the window."""

    __slots__ = ("_begun", "_entries", "_limit", "_sum", "_window")

    def __init__(self, limit: int, window: float) -> None:
        self._limit = limit
        self._window = window
        self._entries: deque[tuple[float, int]] = deque()  # the time of the last message of each part, and its bytes
        self._begun = 0.0  # when the last part began
        self._sum = 0

    def is_exceeded(self, size: int, now: float) -> bool:
        entries = self._entries
        while entries and now - entries[0][0] >= self._window:
            self._sum -= entries.popleft()[1]
        if self._sum + size > self._limit:
            return True
        self._sum += size
        if entries and now - self._begun < self._window / _SLICES:
            entries[-1] = (now, entries[-1][1] + size)
        else:
            self._begun = now
            entries.append((now, size))
        return False


UNSTARTED: Final = RateMeter(RateLimit(1))
"""The placeholder of a connection that has a limit and has sent nothing; it never counts. Idle connections share it.
"""


def new_meter(limit: RateLimit, clock: Callable[[], float] | None = None) -> RateMeter:
    """Return a meter for one connection: the compiled one if it is available.

    The compiled one reads the kernel's coarse clock on Linux, in a seventh of the time. The inaccuracy of that clock,
    a few milliseconds, is counted against the sender.

    Args:
        limit: the route's rate limit.
        clock: seconds that never go back, if not the machine's.
    """
    if clock is not None:
        return RateMeter(limit, clock)
    bytes_meter = None if limit.bytes is None else _ByteMeter(limit.bytes, float(limit.window))
    return _compiled(limit, limit.max, float(limit.window), bytes_meter)


def _reference(limit: RateLimit, _most: int, _window: float, _bytes: _ByteMeter | None) -> RateMeter:
    return RateMeter(limit)


_compiled = compiled_meter(_reference, monotonic)
