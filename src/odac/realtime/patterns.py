"""Patterns of room names (``*`` stands for any text), each with a value for the rooms that match."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from odac.errors import ConfigurationError
from odac.realtime.audience import check_room

__all__ = ["Patterns", "matches"]

T = TypeVar("T")

MOST: Final = 1000
REMEMBERED: Final = 4096
"""Rooms whose values are cached. Bounded, because clients may be able to choose names."""


class Patterns(Generic[T]):
    """The values of the rooms: exact names win, then the first pattern that matches."""

    __slots__ = ("_exact", "_found", "_patterns")

    def __init__(self) -> None:
        self._exact: dict[str, T] = {}
        self._patterns: dict[str, T] = {}
        self._found: dict[str, T | None] = {}

    def __bool__(self) -> bool:
        return bool(self._exact or self._patterns)

    def add(self, pattern: str, value: T) -> None:
        """Set the value for the rooms that a pattern matches.

        Raises:
            TypeError: the pattern is not a str.
            ConfigurationError: it is no valid name, was added before, or there are 1,000 patterns.
        """
        try:
            check_room(pattern)
        except ValueError as error:
            raise ConfigurationError(f"rooms({pattern!r}): {error}") from None
        if pattern in self._exact or pattern in self._patterns:
            raise ConfigurationError(f"rooms({pattern!r}): there is a rule for this pattern already")
        if len(self._exact) + len(self._patterns) >= MOST:
            raise ConfigurationError(f"rooms({pattern!r}): more than {MOST} rules; use a pattern with *")
        (self._patterns if "*" in pattern else self._exact)[pattern] = value
        self._found.clear()

    def of(self, room: str) -> T | None:
        """The value for a room, or None."""
        try:
            return self._found[room]
        except KeyError:
            found = self._exact.get(room)
            if found is None:
                found = next((value for pattern, value in self._patterns.items() if matches(pattern, room)), None)
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            self._found[room] = found
            return found


def matches(pattern: str, name: str) -> bool:
    """Whether a name matches a pattern, in which ``*`` stands for any text, also none.

    Each piece between stars is searched for once, from the left; backtracking is never needed.
    """
    first, *pieces = pattern.split("*")
    if not pieces:
        return name == pattern
    if not name.startswith(first):
        return False
    at, last = len(first), pieces.pop()
    for piece in pieces:
        found = name.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(name) - at >= len(last) and name.endswith(last)
