"""The people of one room, made of the shares of all processes, and what has changed since the members were told."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from odac.presence.shares import Entry
from odac.realtime.ports import Member

__all__ = ["News", "Roster"]

_AGAIN: Final = 0.9
"""Of the limit: below it the members are told of each person again. Not at the limit itself, around which a room may stay."""


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

    __slots__ = ("_dirty", "_limit", "_lists", "_people", "_told", "_told_total")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._people: dict[str, dict[tuple[bytes, str], Entry]] = {}
        self._dirty: dict[str, None] = {}
        self._told: dict[str, bytes] = {}  # data by person, as the members know it
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

    def take_news(self) -> News | None:
        """What has changed for the members since this was called last; None where nothing has."""
        total = len(self._people)
        dirty, self._dirty = self._dirty, {}
        if self._lists and total > self._limit:
            self._lists = False
            self._told = {}
        elif not self._lists and total < _AGAIN * self._limit:
            self._lists = True
            self._told_total = total
            self._told = {person: _newest(entries).data for person, entries in self._people.items()}
            return News(list(self._told.items()), [], total, True)
        if not self._lists:
            if total == self._told_total:
                return None
            self._told_total = total
            return News(None, None, total, False)
        people: list[tuple[str, bytes]] = []
        left: list[str] = []
        for person in dirty:
            entries = self._people.get(person)
            if entries is None:
                if self._told.pop(person, None) is not None:
                    left.append(person)
                continue
            data = _newest(entries).data
            if self._told.get(person) != data:
                self._told[person] = data
                people.append((person, data))
        self._told_total = total
        return News(people, left, total, False) if people or left else None

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
