"""How many messages one connection has sent within the current window of its rate limit."""

from __future__ import annotations

from time import monotonic
from typing import Final

from odac.config import RateLimit

__all__ = ["UNSTARTED", "RateMeter"]


class RateMeter:
    """Counts the messages of one connection. Only the first of a window, and those past the limit, look at the clock.

    Args:
        limit: of the route.
    """

    __slots__ = ("_start", "count", "limit")

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.count = 0
        self._start = 0.0

    def is_exceeded(self) -> bool:
        """Count a message, and say whether it is one too many."""
        self.count += 1
        if 1 < self.count <= self.limit.max:
            return False
        now = monotonic()
        if now - self._start >= self.limit.window:
            self._start = now
            self.count = 1
            return False
        return self.count > self.limit.max


UNSTARTED: Final = RateMeter(RateLimit(1))
"""Stands for the meter of a connection that has a limit and has sent nothing; never counts. Idle connections share it."""
