"""Up to which version everything that another process told has arrived here, or has been compared."""

from __future__ import annotations

from typing import Final

__all__ = ["EVERY", "UNDER_WAY", "Heard"]

UNDER_WAY: Final = 2.5
"""Seconds for which a version that a heartbeat names may still be under way: a little less than the interval between
two heartbeats."""
EVERY: Final = 11.0
"""Seconds, at least, between two comparisons with one process. A process whose rooms are not all watched here changes
without a word to this one, so that a busy one would otherwise be asked at each heartbeat."""
MOST_AHEAD: Final = 1024


class Heard:
    """What has arrived of another process, whose versions follow each other without a gap over all its rooms.

    Attributes:
        confirmed: no change up to this version is missing here in a room that was watched when it was made.
    """

    __slots__ = ("_ahead", "_due", "_next", "confirmed")

    def __init__(self) -> None:
        self.confirmed = 0
        self._ahead: set[int] = set()  # arrived, and one before them has not
        self._due = 0  # the version that an earlier heartbeat named
        self._next = 0.0

    def arrived(self, version: int) -> None:
        """A change of this version has arrived."""
        if version <= self.confirmed:
            return
        if version == self.confirmed + 1:
            self.confirmed = version
            self._close_gaps()
        elif len(self._ahead) < MOST_AHEAD:
            self._ahead.add(version)

    def confirm(self, version: int) -> None:
        """All rooms that are watched here were compared when the process had given this version."""
        if version > self.confirmed:
            self.confirmed = version
            self._ahead = {each for each in self._ahead if each > version}
            self._close_gaps()

    def _close_gaps(self) -> None:
        while self.confirmed + 1 in self._ahead:
            self.confirmed += 1
            self._ahead.remove(self.confirmed)

    def is_behind(self, last: int, now: float) -> bool:
        """Whether the process must be asked for its versions, because one of them has not arrived.

        Args:
            last: the last version that the process has given, as its heartbeat says.
            now: the loop's time.
        """
        if last <= self.confirmed or now < self._next:
            return False
        if self._due <= self.confirmed:
            self._due, self._next = last, now + UNDER_WAY
            return False
        self._next = now + EVERY
        return True
