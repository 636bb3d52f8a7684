"""Whether one connection sends more than its rate limit lets in."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from time import monotonic
from typing import Final

from odac.config import RateLimit

__all__ = ["UNSTARTED", "RateMeter"]

_ENTRIES: Final = 512
"""Times that one connection remembers at most. Up to this limit each message is one; of a higher limit several are one.
"""

_SLICES: Final = 32
"""Parts of a window whose bytes are counted together."""


class RateMeter:
    """Counts the messages and bytes of one connection: whatever window is looked at, no more than the limit are in it.

    The times of the last messages are remembered, because a count that begins anew with each window lets nearly twice
    the limit pass around its beginning. Where several messages share an entry, they count until the last of them has
    left the window.

    Args:
        limit: of the route.

    Attributes:
        blocks: entries that a window has room for.
        bytes: counts the bytes, where the limit names any.
        prune_at: entries at which those that have left the window are dropped.
        step: messages of one entry.
        times: of the entries, oldest first.
        window: seconds.
    """

    __slots__ = ("_left", "blocks", "bytes", "limit", "prune_at", "step", "times", "window")

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.window = float(limit.window)
        self.step = -(-limit.max // _ENTRIES)
        self.blocks = limit.max // self.step
        self.times: list[float] = []
        self.prune_at = 8
        self.bytes = None if limit.bytes is None else _ByteMeter(limit.bytes, self.window)
        self._left = 0  # messages that the last entry has room for

    def is_exceeded(self, size: int) -> bool:
        """Count a message, and say whether it is one too many.

        Args:
            size: bytes of its payload, inflated.
        """
        now = monotonic()
        if self.bytes is not None and self.bytes.is_exceeded(size, now):
            return True
        times, blocks = self.times, self.blocks
        if self._left:
            self._left -= 1
            times[-1] = now
            return False
        count = len(times)
        if count >= blocks and now - times[count - blocks] < self.window:
            return True
        if count >= self.prune_at:
            del times[: bisect_right(times, now - self.window)]
            self.prune_at = max(8, 2 * len(times))
        times.append(now)
        self._left = self.step - 1
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
"""Stands for the meter of a connection that has a limit and has sent nothing; never counts. Idle connections share it.
"""
