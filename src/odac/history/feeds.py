"""The feeds of a process: one for each room with history that has members in it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from odac.history.cursor import HistoryCounters
from odac.history.feed import Feed
from odac.history.memory_store import MemoryStore
from odac.history.position import Tickets
from odac.history.returning import Returning
from odac.history.rules import History, RuleBook
from odac.history.store import HistoryStore
from odac.history.turns import Turns

if TYPE_CHECKING:
    from odac.realtime.connection import Connection
    from odac.realtime.hub import Hub

__all__ = ["Feeds"]

FEED_LINGERS: Final = 5.0
"""Seconds that a feed without members is kept: a page that is reloaded reconnects before that."""
SHRUNK_AT_ONCE: Final = 8


class Feeds:
    """Creates feeds, finds them and closes them. Implements :class:`odac.history.owner.Owner`.

    Args:
        hub: this process's connections.
        tickets: signs the positions from which members may recover.
        origin: this process's random id.
        channel_of: returns the broker's channel of a room.
        counters: the counters of all feeds.
        returning: the clients of this process.

    Attributes:
        store: keeps the logs.
        instant: the same where it is in this process alone, so that all is done at once.
        ring_bytes: of all rings together.
        book: the rules that are in force.
        agreed: set once the eras of the rules are known.
    """

    def __init__(
        self,
        hub: Hub,
        tickets: Tickets,
        origin: bytes,
        channel_of: Callable[[str], str],
        counters: HistoryCounters,
        returning: Returning,
    ) -> None:
        self.origin = origin
        self.limits = hub.limits
        self.ring_bytes = 0
        self.store: HistoryStore | None = None
        self.instant: MemoryStore | None = None
        self.book = RuleBook()
        self.agreed = asyncio.Event()
        self.client_of = returning.client_of
        self.user_of = returning.user_of
        self.may_recover = returning.may_recover
        self.connection_of = returning.visits.connection_of
        self._hub = hub
        self._tickets = tickets
        self._channel_of = channel_of
        self._counters = counters
        self._turns = Turns(hub)
        self.step_soon = self._turns.add
        self._rooms: dict[str, Feed] = {}
        self._channels: dict[str, Feed] = {}
        self._numbers = 0
        self._reading = asyncio.Semaphore(self.limits.history_reads)
        self._reads = 0

    def __len__(self) -> int:
        return len(self._rooms)

    def start(self, store: HistoryStore, instant: MemoryStore | None) -> None:
        """Start without feeds, with a store."""
        self.store, self.instant = store, instant
        if instant is not None:
            instant.rings.on_lost = self._lost
        self.agreed = asyncio.Event()
        self._reading = asyncio.Semaphore(self.limits.history_reads)
        self._rooms.clear()
        self._channels.clear()

    def stop(self) -> None:
        """Close all feeds."""
        for feed in self._rooms.values():
            feed.close()
        self._rooms.clear()
        self._channels.clear()
        self.store = None

    def of(self, room: str) -> Feed | None:
        """The feed of a room, if there is one."""
        return self._rooms.get(room)

    def of_channel(self, channel: str) -> Feed | None:
        """The feed of a room, by its channel."""
        return self._channels.get(channel)

    def follow(self, room: str, history: History) -> Feed:
        """The feed of a room that a member joins; a new one if there is none."""
        feed = self._rooms.get(room)
        is_new = feed is None
        if feed is None:
            assert self.store is not None
            self._numbers += 1
            channel = self._channel_of(room)
            feed = Feed(
                self, self._hub, self.store, self._tickets, room, channel, history, self._numbers, self._counters
            )
            self._rooms[room] = self._channels[channel] = feed
        if self.instant is not None:
            if is_new:
                self._read_now(feed, self.instant)
        elif is_new or not feed.is_used:
            # There was no member, so the subscription may have ended meanwhile.
            feed.sync(prove=True)
        return feed

    def read_again(self, room: str) -> Feed | None:
        """A log in this process has changed, not by an append: read it. Other stores notify the feeds themselves."""
        feed = self._rooms.get(room)
        if self.instant is None or feed is None:
            return None
        self._read_now(feed, self.instant)
        return feed

    @staticmethod
    def _read_now(feed: Feed, store: MemoryStore) -> None:
        history = feed.history
        feed.start_at(store.read_now(feed.channel, history, -history.size, history.size))

    def _lost(self, channel: str) -> None:
        feed = self._channels.get(channel)
        if feed is not None:
            feed.lost()

    def sync(self) -> None:
        """The broker is connected again: read the entries that were appended meanwhile."""
        for feed in self._rooms.values():
            if feed.is_used:
                feed.sync(prove=True)

    def close_unused(self, now: float) -> None:
        """Close the feeds that have had no members for a while; to be called regularly."""
        for room, feed in tuple(self._rooms.items()):
            feed.ring.forget_page()
            if feed.is_used:
                feed.idle_since = None
            elif feed.idle_since is None:
                feed.idle_since = now
            elif now - feed.idle_since >= FEED_LINGERS:
                feed.close()
                del self._rooms[room]
                del self._channels[feed.channel]

    def departed(self, connection: Connection, room: str) -> None:
        """A connection has left a room."""
        feed = self._rooms.get(room)
        if feed is not None:
            feed.leave(connection)

    def ended(self, connection: Connection) -> None:
        """A connection has ended: it no longer catches up."""
        for room in connection.memberships:
            feed = self._rooms.get(room)
            if feed is not None and (cursor := feed.cursors.get(connection)) is not None:
                cursor.abandon()

    def fall_back(self, connection: Connection) -> None:
        """A connection's reader does not keep up: it gets the entries of its rooms at its own pace."""
        for room in tuple(connection.memberships):
            feed = self._rooms.get(room)
            if feed is not None:
                feed.fall_back(connection)

    def figures(self) -> dict[str, int]:
        """The numbers and sizes of the feeds."""
        return {
            "history_rooms": len(self._rooms),
            "history_catching_up": sum(len(feed.cursors) for feed in self._rooms.values()),
            "history_cache_bytes": self.ring_bytes,
            "history_reading": self._reads,
        }

    def rules_changed(self, book: RuleBook) -> None:
        """Other rules are in force: where the era of a room is another one, its members get a new ticket."""
        before, self.book = self.book, book
        for room, feed in self._rooms.items():
            if feed.is_ready and before.era_of(room) != book.era_of(room):
                feed.renew_tickets()

    # Owner, for the feeds

    def era_of(self, room: str) -> bytes:
        """See :class:`odac.history.owner.Owner`."""
        return self.book.era_of(room)

    def now(self) -> float:
        """See :class:`odac.history.owner.Owner`."""
        return time.time() if self.instant is None else self.instant.rings.now()

    def ring_grew(self, size: int) -> None:
        """See :class:`odac.history.owner.Owner`."""
        self.ring_bytes += size
        if self.ring_bytes > self.limits.history_cache_bytes and size > 0:
            for feed in sorted(self._rooms.values(), key=lambda feed: -feed.ring.size)[:SHRUNK_AT_ONCE]:
                feed.ring.shrink()

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """See :class:`odac.history.owner.Owner`."""
        async with self._reading:
            self._reads += 1
            try:
                yield
            finally:
                self._reads -= 1
