"""The questions for shares that other processes have not answered yet. A question or its answer may be lost."""

from __future__ import annotations

from secrets import randbits
from typing import Final

__all__ = ["AT_OPENING", "PATIENCE", "ShareQuestions", "new_question"]

PATIENCE: Final = 2.5
"""Seconds without an answer, or another page of it, after which the process is asked again at its next heartbeat."""
AT_OPENING: Final = 0
"""The number for the question to all processes when a room is opened: every answer counts."""


def new_question() -> int:
    """Return a number that the answers to one question carry."""
    return randbits(62)


class ShareQuestions:
    """By process and room, the last question and when it was sent, or a page of its answer arrived."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[bytes, dict[str, tuple[int, float]]] = {}

    def asked(self, origin: bytes, room: str, question: int, now: float) -> None:
        """A process was asked for its share of a room; the question replaces an earlier one."""
        self._open.setdefault(origin, {})[room] = (question, now)

    def answered(self, origin: bytes, room: str, question: int, now: float, *, whole: bool) -> None:
        """A page of an answer has arrived.

        Args:
            origin: the process.
            room: the room's name.
            question: that the page answers.
            now: the loop's time.
            whole: the share is complete now.
        """
        found = self._open.get(origin, {}).get(room)
        if found is None:
            return
        if not whole:
            self.asked(origin, room, found[0], now)
        elif found[0] in (AT_OPENING, question):
            del self._open[origin][room]

    def overdue(self, origin: bytes, now: float) -> list[str]:
        """The rooms for which a process must be asked again."""
        return [room for room, (_, sent) in self._open.get(origin, {}).items() if now - sent >= PATIENCE]

    def forget(self, origin: bytes) -> None:
        """A process has left or is gone."""
        self._open.pop(origin, None)

    def forget_room(self, room: str) -> None:
        """The shares of a room are no longer followed."""
        for rooms in self._open.values():
            rooms.pop(room, None)
