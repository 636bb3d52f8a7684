"""A cache of one room's log in one process: its last entries, and one page of earlier ones for members that reconnect
together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from odac.history.entries import Kept
from odac.history.rules import History

__all__ = ["Ring"]


class Ring:
    """The cached entries.

    Args:
        history: bounds their number and age.
        grew: called with the change of the cached bytes: all caches of a process share one limit.
        now: seconds since 1970.

    Attributes:
        size: bytes of the last entries.
    """

    __slots__ = ("_grew", "_history", "_last", "_now", "_page", "size")

    def __init__(self, history: History, grew: Callable[[int], None], now: Callable[[], float]) -> None:
        self._history = history
        self._grew = grew
        self._now = now
        self._last: deque[Kept] = deque()
        self._page: Sequence[Kept] = ()
        self.size = 0

    def add(self, entries: Sequence[Kept]) -> None:
        """Keep entries that follow the last one."""
        last = self._last
        size = 0
        for entry in entries:
            last.append(entry)
            size += entry.size
        while len(last) > self._history.size:
            size -= last.popleft().size
        self.size += size
        self._grew(size)

    def shrink(self) -> None:
        """Drop half of the entries: all caches together have reached their limit."""
        size = 0
        for _ in range((len(self._last) + 1) // 2):
            size -= self._last.popleft().size
        self._page = ()
        self.size += size
        self._grew(size)

    def clear(self) -> None:
        """Drop everything."""
        size, self.size = self.size, 0
        self._last.clear()
        self._page = ()
        self._grew(-size)

    def turn_page(self, entries: Sequence[Kept]) -> None:
        """Replace the page of earlier entries."""
        self._page = entries

    def forget_page(self) -> None:
        """Drop the page: the members that reconnected together have been served."""
        self._page = ()

    def cached(self, after: int, limit: int, size: int) -> Sequence[Kept] | None:
        """Entries after ``after``, as many as are sent at once; None if they are not cached, or may be too old.

        Only the store decides which entries are too old, so those are read from it.
        """
        oldest = (self._now() - self._history.ttl) * 1000
        for held in (self._last, self._page):
            if held and held[0].offset <= after + 1 <= held[-1].offset:
                if held[after + 1 - held[0].offset].time <= oldest and held is self._last:
                    continue
                found: list[Kept] = []
                for entry in islice(held, after + 1 - held[0].offset, None):
                    found.append(entry)
                    size -= len(entry.message.frame)
                    if size < 0 or len(found) >= limit:
                        break
                return found
        return None
