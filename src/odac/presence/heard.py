"""Tracks the version up to which all changes of another process have arrived here, or have been compared."""

from __future__ import annotations

from typing import Final

__all__ = ["EVERY", "UNDER_WAY", "Heard"]

UNDER_WAY: Final = 2.5
"""Seconds for which a version in a heartbeat may still be in transit: a little less than the interval between two
heartbeats."""
EVERY: Final = 11.0
"""The least seconds between two comparisons with one process. Changes in rooms that are not watched here are not sent
to this process, so that it would otherwise ask a busy process at each heartbeat."""
MOST_AHEAD: Final = 1024


class Heard:
    """The versions that have arrived of another process, which are consecutive over all its rooms.

    Attributes:
        confirmed: no change up to this version is missing here in a room that was watched when it was made.
    """

    __slots__ = ("_ahead", "_due", "_next", "confirmed")

    def __init__(self) -> None:
        self.confirmed = 0
        self._ahead: set[int] = set()  # versions that have arrived after a missing one
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
        """All rooms that are watched here have been compared with the process's state at this version."""
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
            last: the last version that the process has assigned, from its heartbeat.
            now: the loop's time.
        """
        if last <= self.confirmed or now < self._next:
            return False
        if self._due <= self.confirmed:
            self._due, self._next = last, now + UNDER_WAY
            return False
        self._next = now + EVERY
        return True
