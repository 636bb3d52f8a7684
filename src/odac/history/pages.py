"""Reads of a room's log for members that need entries from before the cache of their process."""

from __future__ import annotations

import asyncio

from odac.history.cursor import Cursor
from odac.history.entries import prepare
from odac.history.feed_port import FeedPort
from odac.history.owner import Owner
from odac.history.store import Slice
from odac.realtime.hub import Hub

__all__ = ["Pages"]


class Pages:
    """Reads page by page; members that wait at the same time are served by the same read.

    Args:
        feed: the room's feed.
        owner: the owner of all feeds.
        hub: owns the task.

    Attributes:
        waiting: members that wait for the feed, or for a page, the first to come first. One that leaves is removed.
    """

    __slots__ = ("_feed", "_hub", "_owner", "_task", "waiting")

    def __init__(self, feed: FeedPort, owner: Owner, hub: Hub) -> None:
        self._feed = feed
        self._owner = owner
        self._hub = hub
        self._task: asyncio.Task[None] | None = None
        self.waiting: dict[Cursor, None] = {}

    def fetch(self, cursor: Cursor) -> None:
        """Read the entries that a member needs and that are not cached; later requests may share the read."""
        self.waiting[cursor] = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._fetch(), name="odac: history page")
            self._hub.keep(self._task)

    def run_waiting(self) -> None:
        """The feed is up to date with the store: continue the waiting members."""
        waiting, self.waiting = self.waiting, {}
        for cursor in waiting:
            self._feed.run(cursor)

    def close(self) -> None:
        """No member waits any more."""
        if self._task is not None:
            self._task.cancel()

    async def _fetch(self) -> None:
        feed = self._feed
        try:
            await asyncio.sleep(0)  # so that members that reconnect at the same moment share the read
            while self.waiting and feed.is_ready:
                waiting = [cursor for cursor in self.waiting if cursor.connection.is_open]
                after = min((cursor.at for cursor in waiting), default=feed.top)
                found = await feed.store.read(after, self._owner.limits.history_page)
                self._turn_page(found, after)
        finally:
            self._task = None

    def _turn_page(self, found: Slice, after: int) -> None:
        feed = self._feed
        if not feed.is_ready:
            return
        waiting, self.waiting = self.waiting, {}
        if found.epoch == feed.epoch:
            feed.ring.turn_page([prepare(entry) for entry in found.entries])
        for cursor in waiting:
            if found.epoch != feed.epoch:
                self.waiting[cursor] = None  # the feed reports it
                feed.sync(prove=False)
            elif cursor.at < found.base:
                self._lost_behind(cursor, found.base)
            elif (
                feed.ring.cached(cursor.at, 1, 1) is None
                and cursor.at < feed.top
                and cursor.at >= after + len(found.entries)
            ):
                self.waiting[cursor] = None  # the next page
            else:
                feed.run(cursor)

    def _lost_behind(self, cursor: Cursor, base: int) -> None:
        """The entry that a member needs next is no longer kept."""
        feed = self._feed
        if cursor.joining is not None and not cursor.recovered:
            cursor.at = base  # it asked for the last entries, and there are fewer
        elif cursor.joining is not None and not cursor.count:
            cursor.recovered = False
            feed.counters.not_recovered += 1
            cursor.at = max(base, feed.top - cursor.replay)
            feed.tell_gap(cursor.connection, cursor.at)
        else:
            cursor.give_up()
        feed.run(cursor)
