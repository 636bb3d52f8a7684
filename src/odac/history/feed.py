"""A feed: a room with history in one process, which delivers the room's entries to the members, in order, each once.

Its parts: the :mod:`follower <odac.history.follower>` receives what the store publishes, and reads what is missing; the
:mod:`fan-out <odac.history.fanout>` writes to the live members; :mod:`cursors <odac.history.cursor>` are the members
that catch up, from the cache (:mod:`odac.history.ring`) or by reads (:mod:`odac.history.pages`);
:mod:`odac.history.recovery` decides which entries a member may recover.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from odac.close_codes import CloseCode
from odac.history.cursor import Cursor, HistoryCounters
from odac.history.entries import Kept
from odac.history.fanout import FanOut
from odac.history.follower import Follower
from odac.history.log_reader import LogReader
from odac.history.owner import Owner
from odac.history.pages import Pages
from odac.history.recovery import NAMED, Recoveries
from odac.history.ring import Ring
from odac.history.rules import History
from odac.history.store import HistoryStore
from odac.protocol import control

if TYPE_CHECKING:
    from odac.history.position import Tickets
    from odac.realtime.connection import Connection
    from odac.realtime.hub import Hub

__all__ = ["Feed"]

_log = logging.getLogger("odac")


class Feed:
    """One room with history in this process.

    Args:
        owner: the owner of all feeds.
        hub: the members' hub.
        store: keeps the log.
        tickets: signs the positions from which members may recover.
        room: the room's name.
        channel: the room's channel in the store and the broker.
        history: the room's rule.
        number: the room's number in messages to the members, the same for all members in this process.
        counters: the counters of all feeds.

    Attributes:
        epoch: the log's epoch; None if the log is empty.
        top: the number of the last entry that was delivered to the members.
        is_ready: whether it has read the log up to the store's top.
        cursors: the members that catch up.
        idle_since: when it was first seen without members.
    """

    def __init__(
        self,
        owner: Owner,
        hub: Hub,
        store: HistoryStore,
        tickets: Tickets,
        room: str,
        channel: str,
        history: History,
        number: int,
        counters: HistoryCounters,
    ) -> None:
        self.owner = owner
        self.limits = owner.limits
        self.room = room
        self.channel = channel
        self.history = history
        self.number = number
        self.counters = counters
        self.epoch: bytes | None = None
        self.top = 0
        self.cursors: dict[Connection, Cursor] = {}
        self.is_ready = False
        self.idle_since: float | None = None
        self._hub = hub
        self._reached: list[tuple[int, asyncio.Future[None]]] = []
        self.store = LogReader(owner, store, channel, history, counters)
        self.ring = Ring(history, owner.ring_grew, owner.now)
        self.recoveries = Recoveries(self, owner, tickets)
        self.pages = Pages(self, owner, hub)
        self.follower = Follower(self, owner, hub, self.recoveries, self.pages)
        self.fanout = FanOut(hub, owner, room, number)
        self.take = self.follower.take
        self.sync = self.follower.sync
        self.start_at = self.follower.start_at
        self.tell_gap = self.recoveries.tell_gap
        self.header = self.fanout.header
        self.cached = self.ring.cached
        self.fetch = self.pages.fetch

    # Members

    def run(self, cursor: Cursor) -> None:
        """Let a member catch up: its first entries now, the rest in turn with the others."""
        delivery = self._hub.delivery
        if self.cursors.get(cursor.connection) is not cursor:
            return  # it has left the room since this call was scheduled
        if delivery.is_writing:
            delivery.later(self.run, cursor)
        elif not self.is_ready:
            self.pages.waiting[cursor] = None
        elif not cursor.connection.is_open:
            cursor.abandon()
        elif not cursor.admitted and self._must_sync_first(cursor):
            cursor.at = self.top
            self.pages.waiting[cursor] = None
        else:
            try:
                if not cursor.admitted:
                    self.recoveries.admit(cursor)
                if cursor.step():
                    self.owner.step_soon(cursor)
            except Exception:
                # Raised further, it would end the turns of all members that catch up. This one comes back and goes on.
                _log.exception("%s: sending a member what it missed failed; its connection is closed", self.room)
                cursor.abandon()
                cursor.connection.begin_close(CloseCode.INTERNAL_ERROR, "internal error")

    def _must_sync_first(self, cursor: Cursor) -> bool:
        """Whether the log must be read before a member is admitted, because its position is ahead of the feed.

        The member waits for one read that begins after its join, and for no other: the log itself may have been lost.
        """
        follower = self.follower
        if follower.is_instant or not self.recoveries.is_ahead(cursor):
            return False
        if not cursor.sync_awaited:
            cursor.sync_awaited = follower.next_sync
        if follower.synced >= cursor.sync_awaited:
            return False
        if not follower.is_syncing:
            self.sync(prove=False)
        return True

    def follow(self, connection: Connection) -> None:
        """A member has caught up: it is live from now on."""
        self.cursors.pop(connection, None)
        self._hub.follow(connection, self.fanout.positioned if connection.speaks_odac else self.fanout.plain)

    def fall_back(self, connection: Connection) -> None:
        """Let a member that reads more slowly than messages are sent catch up at its own pace."""
        room = self.fanout.positioned if connection.speaks_odac else self.fanout.plain
        if room in connection.memberships:
            self._hub.unfollow(connection, room)
            cursor = Cursor(connection, self, None)
            cursor.at = self.top
            cursor.admitted = True
            self.cursors[connection] = cursor
            self.run(cursor)

    def leave(self, connection: Connection) -> None:
        """A connection is no longer a member."""
        cursor = self.cursors.get(connection)
        if cursor is not None:
            cursor.abandon()
        for room in (self.fanout.positioned, self.fanout.plain):
            if room in connection.memberships:
                self._hub.unfollow(connection, room)
        if connection.speaks_odac and connection.is_open:
            connection.put(control.encode_control("left", self.number))

    def drop(self, cursor: Cursor) -> None:
        """A member no longer catches up."""
        if self.cursors.get(cursor.connection) is cursor:
            del self.cursors[cursor.connection]
        self.pages.waiting.pop(cursor, None)

    @property
    def is_used(self) -> bool:
        """Whether it has members."""
        return bool(self.cursors) or self.fanout.is_used

    def tell_gap_to_all(self) -> None:
        """Tell every member that some messages are missing."""
        self.counters.gaps += 1
        for connection in self._hub.members_of(self.fanout.positioned):
            self.tell_gap(connection, self.top)
        for cursor in tuple(self.cursors.values()):
            if cursor.admitted:
                cursor.give_up()

    # Entries

    def emit(self, entries: Sequence[Kept]) -> None:
        """Deliver the entries that follow the top to the members."""
        delivery = self._hub.delivery
        if delivery.is_writing:
            delivery.later(self.emit, entries)
            return
        self.ring.add(entries)
        self.top = entries[-1].offset
        self.fanout.write(entries)
        if self._reached:
            self._tell_reached()

    def appended(self, epoch: bytes, entries: Sequence[Kept]) -> None:
        """Deliver entries that a store in this process has appended."""
        delivery = self._hub.delivery
        if delivery.is_writing:
            delivery.later(self.appended, epoch, entries)
            return
        self.begin(epoch)
        self.emit(entries)

    def lost(self) -> None:
        """A store in this process has dropped the log, because it was full or nothing was sent for long.

        The live members have missed nothing, and are notified of the next log when it begins.
        """
        delivery = self._hub.delivery
        if delivery.is_writing:
            delivery.later(self.lost)
            return
        before, self.epoch, self.top = self.top, None, 0
        self.ring.clear()
        for cursor in tuple(self.cursors.values()):
            if cursor.admitted and cursor.at < before:
                cursor.give_up()
            cursor.at = 0

    def begin(self, epoch: bytes) -> None:
        """An empty room gets its first entry: notify the members of the log's epoch."""
        if epoch != self.epoch:
            self.epoch = epoch
            behind = [each.connection for each in self.cursors.values() if each.admitted]
            for connection in (*self._hub.members_of(self.fanout.positioned), *behind):
                self.recoveries.tell_place(connection, self.owner.client_of(connection), 1, 0, NAMED)

    def renew_tickets(self) -> None:
        """Tell the live members where they stand, with a ticket that is good from here on."""
        for connection in self._hub.members_of(self.fanout.positioned):
            self.recoveries.tell_place(connection, self.owner.client_of(connection), self.top + 1, self.top, NAMED)

    async def reached(self, offset: int) -> None:
        """Wait until an entry was delivered to the members."""
        if self.top < offset:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._reached.append((offset, future))
            await future

    def _tell_reached(self) -> None:
        rest = []
        for offset, future in self._reached:
            if offset > self.top:
                rest.append((offset, future))
            elif not future.done():
                future.set_result(None)
        self._reached = rest

    def close(self) -> None:
        """It has no members left."""
        self.ring.clear()
        self.follower.close()
        self.pages.close()
