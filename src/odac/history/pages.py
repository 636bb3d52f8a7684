"""Reads of a room's log for members that are further behind than what their process holds."""

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
        feed: of the room.
        owner: of all feeds.
        hub: owns the task.

    Attributes:
        waiting: members that wait for the feed, or for a page.
    """

    __slots__ = ("_feed", "_hub", "_owner", "_task", "waiting")

    def __init__(self, feed: FeedPort, owner: Owner, hub: Hub) -> None:
        self._feed = feed
        self._owner = owner
        self._hub = hub
        self._task: asyncio.Task[None] | None = None
        self.waiting: list[Cursor] = []

    def fetch(self, cursor: Cursor) -> None:
        """Read what a member needs and is not in this process; those who come meanwhile are served by the same read."""
        self.waiting.append(cursor)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._fetch(), name="odac: history page")
            self._hub.keep(self._task)

    def run_waiting(self) -> None:
        """The feed is in step with the store: the members that wait go on."""
        waiting, self.waiting = self.waiting, []
        for cursor in waiting:
            self._feed.run(cursor)

    def close(self) -> None:
        """Nobody waits any more."""
        if self._task is not None:
            self._task.cancel()

    async def _fetch(self) -> None:
        feed = self._feed
        try:
            await asyncio.sleep(0)  # members that return in the same moment wait by then
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
        waiting, self.waiting = self.waiting, []
        if found.epoch == feed.epoch:
            feed.ring.turn_page([prepare(entry) for entry in found.entries])
        for cursor in waiting:
            if found.epoch != feed.epoch:
                self.waiting.append(cursor)  # the feed is told, and reports it
                feed.sync(prove=False)
            elif cursor.at < found.base:
                self._lost_behind(cursor, found.base)
            elif (
                feed.ring.cached(cursor.at, 1, 1) is None
                and cursor.at < feed.top
                and cursor.at >= after + len(found.entries)
            ):
                self.waiting.append(cursor)  # the next page
            else:
                feed.run(cursor)

    def _lost_behind(self, cursor: Cursor, base: int) -> None:
        """The entry that a member needs next is no longer kept."""
        feed = self._feed
        if cursor.joining is not None and not cursor.recovered:
            cursor.at = base  # it asked for the last ones, of which there are fewer
        elif cursor.joining is not None and not cursor.count:
            cursor.recovered = False
            feed.counters.not_recovered += 1
            cursor.at = max(base, feed.top - cursor.replay)
            feed.tell_gap(cursor.connection, cursor.at)
        else:
            cursor.give_up()
        feed.run(cursor)
