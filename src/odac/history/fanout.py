"""The live delivery of one room's entries: one write for all members that get positions, one for the others."""

from __future__ import annotations

from collections.abc import Sequence

from odac.history.entries import Kept, Unreadable, name_of
from odac.history.owner import Owner
from odac.protocol import control
from odac.protocol.message import SEPARATOR, Verbatim
from odac.realtime.audience import follower_room
from odac.realtime.hub import Hub
from odac.realtime.internal_ports import Entry as LogEntry

__all__ = ["FanOut"]


class FanOut:
    """The live members of one room: two private rooms of the hub, for members with and without positions.

    Args:
        hub: the members' hub.
        owner: the owner of all feeds.
        room: the room's name.
        number: the room's number in messages to the members.
    """

    __slots__ = ("_hub", "_number", "_owner", "plain", "positioned")

    def __init__(self, hub: Hub, owner: Owner, room: str, number: int) -> None:
        self._hub = hub
        self._owner = owner
        self._number = number
        self.positioned = follower_room(room, positioned=True)
        self.plain = follower_room(room, positioned=False)

    @property
    def is_used(self) -> bool:
        """Whether there are live members."""
        return self._hub.is_open(self.positioned) or self._hub.is_open(self.plain)

    def header(self, offsets: Sequence[int]) -> Verbatim:
        """The message before the entries, which has their numbers."""
        return Verbatim(SEPARATOR + b'["at",%d,%s]' % (self._number, ",".join(map(str, offsets)).encode()))

    def write(self, entries: Sequence[Kept]) -> None:
        """Send entries to the live members."""
        if self._hub.is_open(self.positioned):
            self._write(entries, (self.positioned,), True)
        if self._hub.is_open(self.plain):
            self._write(entries, (self.plain,), False)

    def _write(self, entries: Sequence[Kept], rooms: tuple[str, ...], positioned: bool) -> None:
        run: list[Kept] = []
        for entry in entries:
            if entry.excluded or type(entry) is Unreadable:
                self._write_run(run, rooms, positioned)
                run = []
                if type(entry) is not Unreadable:
                    self._write_excluding(entry, rooms, positioned)
            else:
                run.append(entry)
        self._write_run(run, rooms, positioned)

    def _write_run(self, run: list[Kept], rooms: tuple[str, ...], positioned: bool) -> None:
        if not run:
            return
        add = self._hub.delivery.add
        if positioned:
            add(LogEntry(rooms, (), self.header([entry.offset for entry in run]), True))
        for entry in run:
            add(LogEntry(rooms, (), entry.message, True))

    def _write_excluding(self, entry: Kept, rooms: tuple[str, ...], positioned: bool) -> None:
        left_out = []
        for connection_id in entry.excluded:
            connection = self._hub.connections.get(connection_id) or self._owner.connection_of(name_of(connection_id))
            if connection is not None and rooms[0] in connection.memberships:
                left_out.append(connection)
        outboxes = [connection.outbox for connection in left_out]
        add = self._hub.delivery.add
        if positioned:
            add(LogEntry(rooms, (), self.header((entry.offset,)), True), outboxes)
        add(LogEntry(rooms, (), entry.message, True), outboxes)
        if positioned:
            for connection in left_out:
                connection.put(control.encode_control("past", self._number, entry.offset))
