"""What processes tell each other about the people of a room: each its own share, which nobody else writes.

A share is what one process knows first hand: its connections in the room, and the person and data of each. Its version
grows with each change. The other processes keep a copy: a delta moves the copy from one version to the next, a page set
replaces it, and a higher version always wins, so that all copies are the same soon after the last fault, whatever was
lost, repeated or late in between.
"""

from __future__ import annotations

from typing import Final

from odac.presence.messages import MAX_PAGES, Ask, Delta, Entry, Page

__all__ = ["PAGE_BYTES", "Numbering", "Share"]

PAGE_BYTES: Final = 32 * 1024
"""Of one delta or page, roughly: below what every broker carries, and little enough for others to come in between."""
_ENTRY_BYTES: Final = 96


class Numbering:
    """Gives versions that only ever grow, over all rooms of a process: a share that ended and began again has a higher
    one.
    """

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = 0

    def next(self) -> int:
        """A version that was never given before."""
        self.last += 1
        return self.last


class Share:
    """This process's share of one room.

    Args:
        room: its name.
        numbering: of the process.
    """

    __slots__ = ("_changed", "_numbering", "_removed", "entries", "room", "version")

    def __init__(self, room: str, numbering: Numbering) -> None:
        self.room = room
        self.entries: dict[str, Entry] = {}
        self.version = 0
        self._numbering = numbering
        self._changed: dict[str, None] = {}
        self._removed: dict[str, None] = {}

    def set(self, connection: str, entry: Entry) -> None:
        """Set a connection's entry, replacing its previous one."""
        self.entries[connection] = entry
        self._changed[connection] = None
        self._removed.pop(connection, None)

    def remove(self, connection: str) -> None:
        """Remove a connection; one that is not there is no error."""
        if self.entries.pop(connection, None) is not None:
            self._changed.pop(connection, None)
            self._removed[connection] = None

    @property
    def has_changed(self) -> bool:
        """Whether there is something that :meth:`deltas` would give."""
        return bool(self._changed or self._removed)

    def deltas(self) -> list[Delta]:
        """What changed since this was called last, in parts that every broker carries."""
        found: list[Delta] = []
        part: dict[str, Entry] = {}
        removed: list[str] = []
        size = 0
        # What was removed comes last: a person whose connection was replaced is there in between.
        for connection in (*self._changed, *self._removed):
            entry = self.entries.get(connection)
            if entry is None:
                removed.append(connection)
                size += len(connection) + 4
            else:
                part[connection] = entry
                size += _size(connection, entry)
            if size > PAGE_BYTES:
                found.append(self._delta(part, removed))
                part, removed, size = {}, [], 0
        if part or removed:
            found.append(self._delta(part, removed))
        self._changed.clear()
        self._removed.clear()
        return found

    def _delta(self, changed: dict[str, Entry], removed: list[str]) -> Delta:
        base, self.version = self.version, self._numbering.next()
        return Delta(self.room, base, self.version, changed, removed)

    def repeat(self) -> Delta:
        """The version alone, so that a process that missed the last delta asks for the share."""
        return Delta(self.room, self.version, self.version)

    def pages(self, ask: Ask) -> list[Page]:
        """The whole share, without what :meth:`deltas` has not given yet."""
        if ask.known and ask.known == self.version:
            return [Page(ask.room, ask.question, self.version, 0, 0)]
        parts: list[dict[str, Entry]] = [{}]
        size = 0
        for connection, entry in self.entries.items():
            if size > PAGE_BYTES and len(parts) < MAX_PAGES:
                parts.append({})
                size = 0
            parts[-1][connection] = entry
            size += _size(connection, entry)
        return [Page(ask.room, ask.question, self.version, index, len(parts), part) for index, part in enumerate(parts)]


def _size(connection: str, entry: Entry) -> int:
    return len(connection) + len(entry.person) + len(entry.data) + _ENTRY_BYTES
