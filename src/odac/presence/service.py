"""Presence in this process: takes what its connections and the other processes say."""

from __future__ import annotations

import random
import time
from asyncio import AbstractEventLoop, Future, TimerHandle, wait_for
from collections.abc import Callable, Iterator
from typing import Final

from odac.presence.ports import PART, Announce, Viewer
from odac.presence.room import JITTER, Around, RoomPresence, new_question
from odac.presence.rules import Presence
from odac.presence.shares import Ask, Delta, Entry, Page, Versions, decode, encode
from odac.realtime.ports import Members, PartLine

__all__ = ["GONE", "PresenceService"]

GONE: Final = 19.5
"""Seconds after which a process that is suspect counts as gone: 30 after its last sign of life."""
UNSEEN: Final = 30.0
"""Seconds after which a process counts as gone that told of its people and never gave a sign of life."""
LATE: Final = 5.0
"""Seconds. A timer that fires this late stood still with its process: the others' silence meanwhile does not count."""
PAGES_AT_ONCE: Final = 16
PAUSE: Final = 0.01


class PresenceService:
    """Who is in which room, as far as this process knows, and what it tells.

    All methods are called on the event loop's thread.

    Args:
        loop: for timers.
        line: the way to the other processes.
        announce: sends members of a room what they are to be told.
        forgotten: called with each room that is of no use any more.
        wall: seconds since 1970.
        jitter: a random number from 0 to 1.

    Attributes:
        garbage: what came from other processes and could not be read.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        line: PartLine,
        announce: Announce,
        *,
        forgotten: Callable[[str], None] = lambda room: None,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._loop = loop
        self._line = line
        self._forgotten = forgotten
        self._wall = wall
        self._jitter = jitter
        self._versions = Versions()
        self._around = Around(loop, line, announce, self._versions, jitter, self._forget_if_unused)
        self._rooms: dict[str, RoomPresence] = {}
        self._joined: dict[str, dict[str, None]] = {}  # rooms by connection
        self._leaving: dict[bytes, TimerHandle] = {}  # processes that said goodbye or are silent
        self._suspects: set[bytes] = set()
        self._changed = 0
        self.garbage = 0

    # What connections do

    def join(self, viewer: Viewer, room_name: str, rule: Presence, person: str, data: bytes) -> None:
        """A connection joins a room, or says something else about its person.

        Args:
            viewer: the connection.
            room_name: the room.
            rule: of the room.
            person: what identifies the person on all processes.
            data: a JSON text, see :func:`odac.presence.rules.encode_data`.
        """
        room = self._room(room_name, rule)
        before = room.share.entries.get(viewer.id)
        if before is not None and before.person == person and before.data == data:
            return
        self._joined.setdefault(viewer.id, {})[room_name] = None
        if viewer.speaks_odac:
            room.add_viewer(viewer)
        since = self._wall() if before is None else before.since
        room.set(viewer.id, Entry(person, data, since, self._next_changed()))

    def leave(self, connection: str, room_name: str) -> None:
        """A connection leaves a room: without another one, its person has left."""
        rooms = self._joined.get(connection)
        if rooms is None or room_name not in rooms:
            return
        del rooms[room_name]
        if not rooms:
            del self._joined[connection]
        room = self._rooms[room_name]
        room.remove_viewer(connection)
        room.set(connection, None)

    def ended(self, connection: str, code: int) -> None:
        """A connection has ended: its person stays for the room's grace, unless the close code says otherwise."""
        for name in self._joined.pop(connection, ()):
            self._rooms[name].ended(connection, code)

    def _next_changed(self) -> int:
        # Each change is later than the one before, also within a millisecond and when the clock is set back.
        self._changed = max(self._changed + 1, int(self._wall() * 1000))
        return self._changed

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
        missing = self._line.origins - room.answered if room.is_watched else self._line.origins
        complete = await self._gather(room, timeout) if missing else True
        users = room.roster.members()
        if not room.is_watched:
            room.stop_copies()
        self._forget_if_unused(room_name)
        return Members(users, len(users), complete and self._line.healthy and not self._suspects)

    async def _gather(self, room: RoomPresence, timeout: float) -> bool:  # noqa: ASYNC109 - see members
        """Ask all processes for their shares; return whether all answered in time."""
        question = new_question()
        waiter: Future[None] = self._loop.create_future()
        room.waiters[question] = waiter
        self._line.tell_all(PART, encode(Ask(room.name, question)))
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
        room = self._rooms.get(item.room)
        if isinstance(item, Ask):
            self._send_pages(origin, iter(self._answer(room, item)))
        elif room is not None and room.is_watched:
            if origin not in self._line.origins and origin not in self._leaving:
                self._drop_later(origin, UNSEEN)  # it may have ended before its first sign of life
            if isinstance(item, Delta):
                room.apply(origin, item)
            else:
                room.take(origin, item)

    def _answer(self, room: RoomPresence | None, ask: Ask) -> list[Page]:
        if room is not None:
            room.tell_processes()
            if room.share.entries:
                return room.share.pages(ask)
        return [Page(ask.room, ask.question, self._versions.last)]

    def _send_pages(self, origin: bytes, pages: Iterator[Page]) -> None:
        for count, page in enumerate(pages, 1):
            self._line.tell(origin, PART, encode(page))
            if count == PAGES_AT_ONCE:
                self._loop.call_later(PAUSE, self._send_pages, origin, pages)
                return

    # What the bus says of other processes

    def seen(self, origin: bytes) -> None:
        """A process gives signs of life, for the first time or again: what it says of watched rooms may be new."""
        self._suspects.discard(origin)
        timer = self._leaving.pop(origin, None)
        if timer is not None:
            timer.cancel()
        for room in self._rooms.values():
            if room.is_watched:
                room.ask_soon(origin)

    def silent(self, origin: bytes) -> None:
        """A process gives no sign of life: it is suspect, and gone when that goes on."""
        self._suspects.add(origin)
        self._drop_later(origin, GONE)

    def left(self, origin: bytes) -> None:
        """A process stopped in good order: its people stay for their rooms' grace, in which they come back elsewhere."""
        self._suspects.discard(origin)
        grace = max([room.rule.grace for room in self._rooms.values() if origin in room.copies], default=0.0)
        self._drop_later(origin, grace)

    def up(self) -> None:
        """The broker is back: ask once for each watched room, and tell this process's versions once more."""
        for room in self._rooms.values():
            if room.is_watched:
                self._loop.call_later(JITTER * self._jitter(), self._ask_all, room)
            if room.share.version:
                room.repeat_later(JITTER * self._jitter())

    def _ask_all(self, room: RoomPresence) -> None:
        if room.is_watched:
            self._line.tell_all(PART, encode(Ask(room.name, new_question())))

    def _drop_later(self, origin: bytes, seconds: float) -> None:
        timer = self._leaving.pop(origin, None)
        if timer is not None:
            timer.cancel()
        self._leaving[origin] = self._loop.call_later(seconds, self._drop, origin, self._loop.time() + seconds)

    def _drop(self, origin: bytes, due: float) -> None:
        if self._loop.time() - due > LATE:
            self._drop_later(origin, GONE)
            return
        del self._leaving[origin]
        self._suspects.discard(origin)
        for room in self._rooms.values():
            room.drop(origin)

    def stop(self) -> None:
        """Forget everything; the bus tells the other processes that this one stops."""
        for room in self._rooms.values():
            room.stop()
        for timer in self._leaving.values():
            timer.cancel()
        self._rooms.clear()
        self._joined.clear()
        self._leaving.clear()
