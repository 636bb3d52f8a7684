"""The people of one room whose connection here has ended, and who may return within the grace period."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from typing import Final

__all__ = ["MOST_ABSENT", "Absences", "Budget"]

MOST_ABSENT: Final = 65_536
"""The most absent people in all rooms of a process. Above it, the person of a room who has been absent longest leaves
early."""
_ACCURACY: Final = 1e-3
"""Seconds: a timer may fire a little before its time."""


class Budget:
    """The number of absent people in all rooms of the process.

    Attributes:
        used: the present number.
    """

    __slots__ = ("used",)

    def __init__(self) -> None:
        self.used = 0


class Absences:
    """Keeps one ended connection for each person, the last one, until the grace period is over.

    Args:
        loop: the event loop for the timer.
        grace: seconds.
        budget: the number of absent people, shared by all rooms.
        remove: called with the connection when the grace period of its person is over.
    """

    __slots__ = ("_budget", "_by_person", "_deadlines", "_grace", "_loop", "_remove", "_timer")

    def __init__(self, loop: AbstractEventLoop, grace: float, budget: Budget, remove: Callable[[str], None]) -> None:
        self._loop = loop
        self._grace = grace
        self._budget = budget
        self._remove = remove
        self._by_person: dict[str, str] = {}
        self._deadlines: dict[str, tuple[float, str]] = {}  # deadline and person, by connection; ordered by deadline
        self._timer: TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def begin(self, person: str, connection: str) -> None:
        """A person's connection has ended: keep it, in place of an earlier one of the same person."""
        self.end(person)
        while self._budget.used >= MOST_ABSENT:
            if not self._deadlines:
                self._remove(connection)
                return
            self._forget_first()
        self._budget.used += 1
        self._by_person[person] = connection
        self._deadlines[connection] = (self._loop.time() + self._grace, person)
        if self._timer is None:
            self._timer = self._loop.call_later(self._grace, self._expire)

    def end(self, person: str) -> None:
        """Drop the kept connection of a person, if there is one: another one has newer data."""
        connection = self._by_person.pop(person, None)
        if connection is not None:
            del self._deadlines[connection]
            self._budget.used -= 1
            self._remove(connection)

    def _forget_first(self) -> None:
        self.end(next(iter(self._deadlines.values()))[1])

    def _expire(self) -> None:
        self._timer = None
        while self._deadlines:
            wait = next(iter(self._deadlines.values()))[0] - self._loop.time()
            if wait > _ACCURACY:
                self._timer = self._loop.call_later(wait, self._expire)
                return
            self._forget_first()

    def stop(self) -> None:
        """Forget all, without an announcement."""
        if self._timer is not None:
            self._timer.cancel()
        self._budget.used -= len(self._deadlines)
        self._deadlines.clear()
        self._by_person.clear()
