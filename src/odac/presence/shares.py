"""What processes tell each other about the people of a room: each its own share, which nobody else writes.

A share is what one process knows first hand: its connections in the room, and the person and data of each. Its version
grows with each change. The other processes keep a copy: a delta moves the copy from one version to the next, a page set
replaces it, and a higher version always wins, so that all copies are the same soon after the last fault, whatever was
lost, repeated or late in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

__all__ = ["Ask", "Copy", "Delta", "Entry", "Page", "Share", "Versions", "decode", "encode"]

PAGE_BYTES: Final = 32 * 1024
"""Of one delta or page, roughly: below what every broker carries, and little enough for others to come in between."""
_ENTRY_BYTES: Final = 96
MAX_PAGES: Final = 4096
MAX_EARLY: Final = 64
"""Deltas kept while the pages before them are on their way."""

Name = Annotated[str, Meta(max_length=1024)]
Count = Annotated[int, Meta(ge=0, le=2**62)]


class Entry(NamedTuple):
    """What one connection says about its person.

    Args:
        person: what identifies the person on all processes.
        data: a JSON text.
        since: seconds since 1970 at which the connection joined, by the clock of its process.
        changed: milliseconds since 1970 of the last change of ``data``, by the same clock.
        away: the connection has ended; the person stays until the grace is over.
    """

    person: Name
    data: Annotated[bytes, Meta(max_length=1024)]
    since: float
    changed: Count
    away: bool = False


class Delta(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=0, gc=False):
    """What changed in a share. With ``base == version`` nothing did: the version is repeated.

    Args:
        room: the room's name.
        base: the version that the delta changes; 0 begins a share anew.
        version: the version afterwards.
        changed: entries by connection.
        removed: connections.
    """

    room: Name
    base: Count
    version: Count
    changed: dict[Name, Entry] = {}
    removed: list[Name] = []


class Ask(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1, gc=False):
    """Asks a process, or all of them, for their shares of a room.

    Args:
        room: the room's name.
        question: given back with each page, so that the answers to one question can be counted.
        known: the version that the asking process has of the share of the process that is asked; 0 with several.
    """

    room: Name
    question: Count
    known: Count = 0


class Page(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2, gc=False):
    """A part of a whole share, in answer to :class:`Ask`.

    Args:
        room: the room's name.
        question: of the :class:`Ask`.
        version: of the share. Where the process has none: the last that it gave to any, so that what it had before loses
            against the answer, and what it begins afterwards wins.
        index: of the page, from 0.
        pages: how many there are; 0 where the asking process has this version already.
        entries: by connection.
    """

    room: Name
    question: Count
    version: Count
    index: Annotated[int, Meta(ge=0, lt=MAX_PAGES)] = 0
    pages: Annotated[int, Meta(ge=0, le=MAX_PAGES)] = 1
    entries: dict[Name, Entry] = {}


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Delta | Ask | Page]] = msgspec.msgpack.Decoder(Delta | Ask | Page)


def encode(item: Delta | Ask | Page) -> bytes:
    """The bytes of what one process tells others."""
    return _encoder.encode(item)


def decode(body: bytes) -> Delta | Ask | Page:
    """What a process told.

    Raises:
        ValueError: nothing that a process of this version tells.
    """
    return _decoder.decode(body)


class Versions:
    """Versions that only ever grow, over all rooms of a process: a share that ended and began again has a higher one."""

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
        versions: of the process.
    """

    __slots__ = ("_changed", "_removed", "_versions", "entries", "room", "version")

    def __init__(self, room: str, versions: Versions) -> None:
        self.room = room
        self.entries: dict[str, Entry] = {}
        self.version = 0
        self._versions = versions
        self._changed: dict[str, None] = {}
        self._removed: dict[str, None] = {}

    def set(self, connection: str, entry: Entry) -> None:
        """Enter what a connection says, in place of what it said before."""
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
        removed = list(self._removed)
        part: dict[str, Entry] = {}
        size = sum(len(connection) + 4 for connection in removed)
        for connection in self._changed:
            entry = self.entries[connection]
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
        base, self.version = self.version, self._versions.next()
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


Enter = Callable[[str, Entry | None, Entry | None], None]
"""Takes a connection, and what its process said of it before and says now; None: it is not in the share."""


class Copy:
    """What this process knows of the share of another one.

    Args:
        enter: told of each entry that changes.
    """

    __slots__ = ("_early", "_enter", "_pages", "_question", "entries", "version")

    def __init__(self, enter: Enter) -> None:
        self.entries: dict[str, Entry] = {}
        self.version = 0
        self._enter = enter
        self._question = 0  # whose pages are being collected
        self._pages: dict[int, Page] = {}
        self._early: dict[int, Delta] = {}  # by base

    def apply(self, delta: Delta) -> bool:
        """Take a delta; return whether the copy is behind, so that its process must be asked for the share."""
        if delta.version <= self.version:
            return False
        if delta.base not in (0, self.version):
            if len(self._early) < MAX_EARLY and delta.base != delta.version:
                self._early[delta.base] = delta
            return True
        if delta.base == 0:  # the share begins anew: what was there before is over
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
        """Take a page of the whole share; the last one of a set replaces the copy.

        Returns:
            Whether the copy is now as new as the page: it was the last of its set, or told nothing new.
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
        """The process is gone, and its share with it."""
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
        """Take the deltas that came before their time and fit now."""
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
