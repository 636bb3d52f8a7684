"""A copy of another process's share of a room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from odac.presence.messages import Delta, Entry, Page

__all__ = ["Copy", "Enter"]

MAX_EARLY: Final = 64
"""Deltas kept until the pages before them have arrived."""

Enter = Callable[[str, Entry | None, Entry | None], None]
"""Called with a connection, and its former and its new entry; None: it is not in the share."""


class Copy:
    """A copy of another process's share.

    Args:
        enter: called for each entry that changes.
    """

    __slots__ = ("_early", "_enter", "_pages", "_question", "entries", "version")

    def __init__(self, enter: Enter) -> None:
        self.entries: dict[str, Entry] = {}
        self.version = 0
        self._enter = enter
        self._question = 0  # the question whose pages are being collected
        self._pages: dict[int, Page] = {}
        self._early: dict[int, Delta] = {}  # by base

    def apply(self, delta: Delta) -> bool:
        """Apply a delta; return whether the copy is out of date, so that the share must be requested."""
        if delta.version <= self.version:
            return False
        if delta.base not in (0, self.version):
            if len(self._early) < MAX_EARLY and delta.base != delta.version:
                self._early[delta.base] = delta
            return True
        if delta.base == 0:  # the share starts again: drop the earlier one
            self._replace(delta.changed)
        else:
            for connection in delta.removed:
                self._set(connection, None)
            for connection, entry in delta.changed.items():
                self._set(connection, entry)
        self.version = delta.version
        self._apply_early()
        return False

    def take(self, page: Page) -> bool:
        """Add a page of the whole share; the last one of a set replaces the copy.

        Returns:
            Whether the copy is now up to date with the page: it was the last of its set, or contained nothing new.
        """
        if page.pages == 0 or page.version < self.version:
            return True
        if page.question != self._question or any(each.version != page.version for each in self._pages.values()):
            self._question = page.question
            self._pages.clear()
        self._pages[page.index] = page
        if len(self._pages) < page.pages:
            return False
        entries: dict[str, Entry] = {}
        for each in self._pages.values():
            entries |= each.entries
        self._pages.clear()
        self._replace(entries)
        self.version = page.version
        self._apply_early()
        return True

    def clear(self) -> None:
        """The process has gone, and its share with it."""
        self._replace({})

    def _replace(self, entries: dict[str, Entry]) -> None:
        for connection in [each for each in self.entries if each not in entries]:
            self._set(connection, None)
        for connection, entry in entries.items():
            self._set(connection, entry)

    def _set(self, connection: str, entry: Entry | None) -> None:
        before = self.entries.get(connection)
        if before == entry:
            return
        if entry is None:
            del self.entries[connection]
        else:
            self.entries[connection] = entry
        self._enter(connection, before, entry)

    def _apply_early(self) -> None:
        """Apply the early deltas that follow the present version."""
        early = self._early
        while early:
            for base in [base for base, delta in early.items() if delta.version <= self.version]:
                del early[base]
            following = early.pop(self.version, None)
            if following is None:
                return
            for connection in following.removed:
                self._set(connection, None)
            for connection, entry in following.changed.items():
                self._set(connection, entry)
            self.version = following.version
