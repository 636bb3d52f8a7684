"""A cache of one room's log in one process: its last entries, and one page further back for members that return
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
        history: bounds how many there are, and how old.
        grew: told how many bytes more, or fewer, the ring holds: all rings of a process share one cap.
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
        """Give back half: all rings together have met their cap."""
        size = 0
        for _ in range((len(self._last) + 1) // 2):
            size -= self._last.popleft().size
        self._page = ()
        self.size += size
        self._grew(size)

    def clear(self) -> None:
        """Give back everything."""
        size, self.size = self.size, 0
        self._last.clear()
        self._page = ()
        self._grew(-size)

    def turn_page(self, entries: Sequence[Kept]) -> None:
        """Hold entries from further back, in place of the page before."""
        self._page = entries

    def forget_page(self) -> None:
        """The members that returned together have been served."""
        self._page = ()

    def cached(self, after: int, limit: int, size: int) -> Sequence[Kept] | None:
        """Entries behind ``after``, as many as one piece takes; None where they are not in this process, or too old.

        Only the store says what is too old; what may be is asked of it.
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
