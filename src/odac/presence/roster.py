"""The people of one room, made of the shares of all processes, and what has changed since the members were told."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from odac.presence.messages import Entry
from odac.realtime.ports import Member

__all__ = ["MAX_LIST_BYTES", "News", "Roster"]

_AGAIN: Final = 0.9
"""Of the limit: below it the members are told of each person again. Not at the limit itself, around which a room may
stay.
"""

MAX_LIST_BYTES: Final = 256 * 1024
"""Of all people's data together. Every new member gets it in one message, which must fit into
``Limits.outgoing_buffer`` beside other messages; a room with more is told the total alone, as one over its limit."""


class News(NamedTuple):
    """What the members of a room are to be told.

    Args:
        people: person and JSON text of those who are new or have other data; None in a room over its limit.
        left: persons who have left; None in a room over its limit.
        total: how many people there are.
        whole: ``people`` is everybody, in place of what was told before.
    """

    people: list[tuple[str, bytes]] | None
    left: list[str] | None
    total: int
    whole: bool


class Roster:
    """Persons and their connections, as all shares together say.

    Args:
        limit: people above which the members are told the total alone.
    """

    __slots__ = ("_dirty", "_limit", "_lists", "_people", "_told", "_told_bytes", "_told_total")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._people: dict[str, dict[tuple[bytes, str], Entry]] = {}
        self._dirty: dict[str, None] = {}
        self._told: dict[str, bytes] = {}  # data by person, as the members know it
        self._told_bytes = 0
        self._told_total = 0
        self._lists = True

    def __len__(self) -> int:
        return len(self._people)

    def update(self, origin: bytes, connection: str, before: Entry | None, after: Entry | None) -> None:
        """Enter one connection of a share: what it said before, and what it says now; None: it is not there."""
        key = (origin, connection)
        if before is not None and (after is None or before.person != after.person):
            entries = self._people[before.person]
            del entries[key]
            if not entries:
                del self._people[before.person]
            self._dirty[before.person] = None
        if after is not None:
            self._people.setdefault(after.person, {})[key] = after
            self._dirty[after.person] = None

    @property
    def has_news(self) -> bool:
        """Whether :meth:`take_news` may give something."""
        return bool(self._dirty)

    def known(self, person: str) -> tuple[float, int] | None:
        """Since when a person has been there, and when their data changed last; None for a new person."""
        entries = self._people.get(person)
        if entries is None:
            return None
        return min(each.since for each in entries.values()), max(each.changed for each in entries.values())

    def take_news(self) -> News | None:
        """What has changed for the members since this was called last; None where nothing has."""
        total = len(self._people)
        dirty, self._dirty = self._dirty, {}
        if self._lists and total > self._limit:
            self._list_nobody()
        elif not self._lists and total < _AGAIN * self._limit:
            people = {person: _newest(entries).data for person, entries in self._people.items()}
            size = sum(map(len, people.values()))
            if size <= _AGAIN * MAX_LIST_BYTES:
                self._lists = True
                self._told, self._told_bytes, self._told_total = people, size, total
                return News(list(people.items()), [], total, True)
        news = self._changes(dirty) if self._lists else None
        if self._told_bytes > MAX_LIST_BYTES:
            self._list_nobody()
        if not self._lists:
            news = News(None, None, total, False) if total != self._told_total else None
        self._told_total = total
        return news

    def _list_nobody(self) -> None:
        self._lists = False
        self._told = {}
        self._told_bytes = 0
        self._told_total = -1  # the members are told in any case, so that they forget the list

    def _changes(self, dirty: dict[str, None]) -> News | None:
        people: list[tuple[str, bytes]] = []
        left: list[str] = []
        told = self._told
        for person in dirty:
            entries = self._people.get(person)
            before = told.get(person)
            if entries is None:
                if before is not None:
                    del told[person]
                    self._told_bytes -= len(before)
                    left.append(person)
                continue
            data = _newest(entries).data
            if before != data:
                told[person] = data
                self._told_bytes += len(data) - len(before or b"")
                people.append((person, data))
        return News(people, left, len(self._people), False) if people or left else None

    def everybody(self) -> News:
        """What a new member is told: all that the others were told so far."""
        if self._lists:
            return News(list(self._told.items()), [], self._told_total, True)
        return News(None, None, self._told_total, True)

    def members(self) -> dict[str, Member]:
        """Everybody, by person."""
        return {
            person: Member(
                msgspec.json.decode(_newest(entries).data),
                sum(not entry.away for entry in entries.values()),
                min(entry.since for entry in entries.values()),
            )
            for person, entries in self._people.items()
        }


def _newest(entries: dict[tuple[bytes, str], Entry]) -> Entry:
    """The entry whose data is the person's: all processes choose the same one, whatever their clocks say."""
    if len(entries) == 1:
        return next(iter(entries.values()))
    # Of two changes in one millisecond, the ids of the connections decide: they are the same in every process's view.
    return max(entries.items(), key=lambda item: (item[1].changed, item[0][1]))[1]
