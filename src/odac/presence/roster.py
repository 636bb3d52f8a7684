"""The people of one room, combined from the shares of all processes, and the changes not sent to members yet."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from odac.presence.messages import Entry
from odac.realtime.ports import Member

__all__ = ["MAX_LIST_BYTES", "News", "Roster"]

_AGAIN: Final = 0.9
"""The fraction of the limit below which members get the list of people again. It is below the limit so that a room
whose size varies around the limit does not switch all the time.
"""

MAX_LIST_BYTES: Final = 256 * 1024
"""Bytes of all people's data together. Every new member gets it in one message, which must fit into
``Limits.outgoing_buffer`` with other messages; in a room with more, members get only the total, as over the limit."""


class News(NamedTuple):
    """The changes of a room for its members.

    Args:
        people: person and JSON text of those who are new or have other data; None in a room over its limit.
        left: persons who have left; None in a room over its limit.
        total: the number of people.
        whole: ``people`` is the whole list, which replaces the earlier one.
    """

    people: list[tuple[str, bytes]] | None
    left: list[str] | None
    total: int
    whole: bool


class Roster:
    """Persons and their connections, from all shares.

    Args:
        limit: the number of people above which the members get only the total.
    """

    __slots__ = ("_dirty", "_limit", "_lists", "_people", "_told", "_told_bytes", "_told_total")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._people: dict[str, dict[tuple[bytes, str], Entry]] = {}
        self._dirty: dict[str, None] = {}
        self._told: dict[str, bytes] = {}  # data by person, as last sent to the members
        self._told_bytes = 0
        self._told_total = 0
        self._lists = True

    def __len__(self) -> int:
        return len(self._people)

    def update(self, origin: bytes, connection: str, before: Entry | None, after: Entry | None) -> None:
        """Update one connection of a share, with its former and its new entry; None: it is not in the share."""
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
        """Whether :meth:`take_news` may return changes."""
        return bool(self._dirty)

    def known(self, person: str) -> tuple[float, int] | None:
        """When a person joined, and when their data last changed; None for a new person."""
        entries = self._people.get(person)
        if entries is None:
            return None
        return min(each.since for each in entries.values()), max(each.changed for each in entries.values())

    def take_news(self) -> News | None:
        """The changes since the last call; None if there are none."""
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
        self._told_total = -1  # the total is sent in any case, so that clients drop the list

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
        """The list for a new member: the same that was sent to the others so far."""
        if self._lists:
            return News(list(self._told.items()), [], self._told_total, True)
        return News(None, None, self._told_total, True)

    def members(self) -> dict[str, Member]:
        """All members, by person."""
        return {
            person: Member(
                msgspec.json.decode(_newest(entries).data),
                sum(not entry.away for entry in entries.values()),
                min(entry.since for entry in entries.values()),
            )
            for person, entries in self._people.items()
        }


def _newest(entries: dict[tuple[bytes, str], Entry]) -> Entry:
    """The entry whose data counts for the person: all processes choose the same one, whatever their clocks show."""
    if len(entries) == 1:
        return next(iter(entries.values()))
    # For two changes in one millisecond, the connection ids decide: they are the same for every process.
    return max(entries.items(), key=lambda item: (item[1].changed, item[0][1]))[1]
