"""Compares the versions of all shares of two processes at once: after an outage few rooms differ, if any."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from odac.presence.messages import MAX_PAGES, Versions

__all__ = ["Collection", "parts_of"]

ROOMS_A_PART: Final = 250
"""With the longest names 60 KB, and a few KB with usual ones."""


def parts_of(question: int, versions: dict[str, int]) -> list[Versions]:
    """What to tell of the versions of this process's shares.

    Args:
        question: what this answers, or a new number.
        versions: by room.
    """
    items = list(versions.items())
    size = max(ROOMS_A_PART, -(-len(items) // MAX_PAGES))
    parts = [dict(items[first : first + size]) for first in range(0, len(items), size)] or [{}]
    return [Versions(question, index, len(parts), part) for index, part in enumerate(parts)]


class Collection:
    """Puts together what one process told of its versions."""

    __slots__ = ("_parts", "_question")

    def __init__(self) -> None:
        self._question = 0
        self._parts: dict[int, Iterable[str]] = {}

    def add(self, part: Versions) -> set[str] | None:
        """Take a part; return all rooms in which the process has a share when this was the last one, else None."""
        if part.question != self._question:
            self._question = part.question
            self._parts.clear()
        self._parts[part.index] = part.versions.keys()
        if len(self._parts) < part.pages:
            return None
        rooms = {room for each in self._parts.values() for room in each}
        self._parts.clear()
        return rooms
