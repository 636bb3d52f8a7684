"""Presence in this process: handles its connections' changes and the other processes' messages."""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop, Future, wait_for
from collections.abc import Callable, Iterator
from typing import Final

from odac.jitter import RANDOM
from odac.presence.absences import Budget
from odac.presence.comparing import Comparing
from odac.presence.messages import Ask, Compare, Delta, Entry, Last, Page, Versions, decode, encode
from odac.presence.others import Others
from odac.presence.ports import SUBSYSTEM, Announce, Viewer
from odac.presence.questions import ShareQuestions, new_question
from odac.presence.room import FINAL_CODES, JITTER, Around, RoomPresence
from odac.presence.rules import Presence
from odac.presence.shares import Numbering
from odac.realtime.ports import Members, SubsystemSender

__all__ = ["PresenceService"]

PAGES_AT_ONCE: Final = 16
PAUSE: Final = 0.01
"""Seconds of a pause after a number of pages, so that other messages can be sent."""


class PresenceService:
    """The people in all rooms, as far as this process knows them.

    All methods are called on the event loop's thread.

    Args:
        loop: the event loop for timers.
        sender: sends to the other processes.
        announce: sends the changes of a room to its members.
        forgotten: called with each room that is no longer needed.
        wall: returns seconds since 1970.
        jitter: returns a random number from 0 to 1.

    Attributes:
        garbage: the number of messages from other processes that could not be decoded.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        sender: SubsystemSender,
        announce: Announce,
        *,
        forgotten: Callable[[str], None] = lambda room: None,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = RANDOM.random,
    ) -> None:
        self._loop = loop
        self._sender = sender
        self._forgotten = forgotten
        self._wall = wall
        self._jitter = jitter
        self._numbering = Numbering()
        self._budget = Budget()
        self._around = Around(
            loop, sender, announce, self._numbering, ShareQuestions(), self._budget, jitter, self._forget_if_unused
        )
        self._rooms: dict[str, RoomPresence] = {}
        self._comparing = Comparing(self._around, self._rooms)
        self._joined: dict[str, dict[str, None]] = {}  # rooms by connection
        self._others = Others(loop, self._drop)
        self._is_stopped = False
        self.garbage = 0

    # Connections

    def join(self, viewer: Viewer, room_name: str, rule: Presence, person: str, data: bytes) -> None:
        """A connection joins a room, or changes its person's data.

        Args:
            viewer: the connection.
            room_name: the room.
            rule: the room's rule.
            person: the person's id on all processes.
            data: a JSON text, see :func:`odac.presence.rules.encode_data`.
        """
        room = self._room(room_name, rule)
        before = room.share.entries.get(viewer.id)
        if before is not None and before.person == person and before.data == data:
            return
        self._joined.setdefault(viewer.id, {})[room_name] = None
        if viewer.speaks_odac:
            room.add_viewer(viewer)
        since = self._wall()
        changed = int(since * 1000)
        known = room.roster.known(person)
        if known is not None:
            # Later than every change that is known here, even if the clocks of two processes differ.
            since, changed = min(since, known[0]), max(changed, known[1] + 1)
        room.set(viewer.id, Entry(person, data, since, changed))
        room.absences.end(person)

    def identified(self, viewer: Viewer, person: str) -> None:
        """A connection's user has become known: it belongs to another person now in the rooms that it has joined."""
        for name in self._joined.get(viewer.id, ()):
            room = self._rooms[name]
            entry = room.share.entries[viewer.id]
            if entry.person != person:
                self.join(viewer, name, room.rule, person, entry.data)

    def leave(self, connection: str, room_name: str) -> None:
        """A connection leaves a room: without another one, its person has left."""
        rooms = self._joined.get(connection)
        if rooms is None or room_name not in rooms:
            return
        del rooms[room_name]
        if not rooms:
            del self._joined[connection]
        self._rooms[room_name].left(connection)

    def ended(self, connection: str, code: int, *, replaced: bool = False) -> None:
        """A connection has ended: its person stays for the room's grace, unless the close code says otherwise.

        Args:
            connection: its id.
            code: the close code.
            replaced: its client has connected again, so that its person has not left whatever the code is.
        """
        final = code in FINAL_CODES and not replaced
        for name in self._joined.pop(connection, ()):
            self._rooms[name].ended(connection, final=final)

    def _room(self, name: str, rule: Presence) -> RoomPresence:
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = RoomPresence(name, rule, self._around)
        return room

    def _forget_if_unused(self, name: str) -> None:
        room = self._rooms.get(name)
        if room is not None and not room.is_needed:
            room.stop()
            del self._rooms[name]
            self._comparing.ended(room)
            self._forgotten(name)

    # What the application asks for

    async def members(self, room_name: str, rule: Presence, timeout: float) -> Members:  # noqa: ASYNC109 - part of the contract
        """Who is in a room, on all processes.

        Args:
            room_name: the room.
            rule: of the room.
            timeout: seconds to wait for processes whose share is not known yet.
        """
        room = self._room(room_name, rule)
        missing = self._sender.origins - room.answered if room.is_watched else self._sender.origins
        try:
            complete = await self._gather(room, timeout) if missing else True
            users = room.roster.members()
        finally:
            if not room.is_watched:
                room.stop_copies()
            self._forget_if_unused(room_name)
        return Members(users, len(users), complete and self._sender.healthy and not self._others.any_silent)

    async def _gather(self, room: RoomPresence, timeout: float) -> bool:  # noqa: ASYNC109 - see members
        """Ask all processes for their shares; return whether all answered in time."""
        question = new_question()
        waiter: Future[None] = self._loop.create_future()
        room.waiters[question] = waiter
        self._sender.send_to_all(SUBSYSTEM, encode(Ask(room.name, question)))
        try:
            await wait_for(waiter, timeout)
        except TimeoutError:
            return False
        finally:
            del room.waiters[question]
        return True

    # What other processes say

    def received(self, origin: bytes, body: bytes) -> None:
        """Take what the presence of another process told."""
        try:
            item = decode(body)
        except ValueError:
            self.garbage += 1
            return
        if isinstance(item, Ask):
            self._send_pages(origin, iter(self._answer(self._rooms.get(item.room), item)))
        elif isinstance(item, Compare):
            self._comparing.tell(item, lambda part: self._sender.send_to(origin, SUBSYSTEM, part))
        elif isinstance(item, Versions):
            self._comparing.take(origin, item)
        elif isinstance(item, Last):
            self._comparing.heartbeat(origin, item.version)
        else:
            self._take(origin, item)

    def _take(self, origin: bytes, item: Delta | Page) -> None:
        if isinstance(item, Delta):
            self._comparing.arrived(origin, item.version)
        room = self._rooms.get(item.room)
        if room is None or not room.is_watched:
            return
        if origin not in self._sender.origins and origin not in self._others:
            self._others.unseen(origin)
        if isinstance(item, Delta):
            room.apply(origin, item)
        else:
            room.take(origin, item)

    def _answer(self, room: RoomPresence | None, ask: Ask) -> list[Page]:
        if room is None:
            return [Page(ask.room, ask.question, self._numbering.last)]
        room.tell_processes()
        if room.share.version:
            return room.share.pages(ask)
        return [Page(ask.room, ask.question, self._numbering.last)]

    def _send_pages(self, origin: bytes, pages: Iterator[Page]) -> None:
        for count, page in enumerate(pages, 1):
            self._sender.send_to(origin, SUBSYSTEM, encode(page))
            if count == PAGES_AT_ONCE:
                self._loop.call_later(PAUSE, self._send_pages, origin, pages)
                return

    # What the bus says of other processes

    def beat(self) -> bytes | None:
        """See :class:`odac.realtime.ports.Subsystem`."""
        return self._comparing.beat()

    def seen(self, origin: bytes) -> None:
        """A process sends heartbeats, for the first time or again: what it says of watched rooms may be new."""
        self._others.seen(origin)
        self._comparing.ask(origin)

    def silent(self, origin: bytes) -> None:
        """A process is silent: see :meth:`Others.silent`."""
        self._others.silent(origin)
        self._check_answers()

    def left(self, origin: bytes) -> None:
        """A process has left: its people stay for the grace, within which they may reconnect."""
        graces = {room.rule.grace for room in self._rooms.values() if origin in room.copies}
        self._others.left(origin, sorted(graces))
        self._comparing.forget(origin)
        self._check_answers()

    def up(self) -> None:
        """The broker is back, or something was lost: compare versions with all processes, in both directions."""
        self._loop.call_later(JITTER * self._jitter(), self._compare_all)

    def _compare_all(self) -> None:
        if self._is_stopped:
            return
        self._comparing.all_with_all()

    def _check_answers(self) -> None:
        for room in self._rooms.values():
            room.check_answers()

    def _drop(self, origin: bytes, passed: float) -> None:
        self._comparing.forget(origin)
        for room in self._rooms.values():
            if room.rule.grace <= passed:
                room.drop(origin)

    def figures(self) -> dict[str, int]:
        """What is counted: rooms with people, connections that are seen in them, people who may come back, garbage."""
        return {
            "presence_rooms": len(self._rooms),
            "presence_connections": len(self._joined),
            "presence_away": self._budget.used,
            "presence_garbage": self.garbage,
        }

    def stop(self) -> None:
        """Forget everything; the bus tells the other processes that this one stops."""
        self._is_stopped = True
        for room in self._rooms.values():
            room.stop()
        self._others.stop()
        self._rooms.clear()
        self._joined.clear()
