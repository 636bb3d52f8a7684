"""A member that catches up with a room: a position in the log that advances as the member's buffer drains.

The member is not in the room's fan-out (the delivery to live members), so nothing is buffered for it: the entries that
it misses are in the log. When it reaches the top, it joins the fan-out in the same turn of the event loop; so nothing
has to be merged, and no entry is sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from odac.config import Limits
from odac.history.entries import Kept
from odac.history.position import Position
from odac.protocol import control
from odac.protocol.message import Prepared
from odac.realtime.receipts import Joining, Recovery

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["HistoryCounters", "Cursor"]


class HistoryCounters:
    """Counters of the rooms with history of this process since its start."""

    __slots__ = (
        "failed",
        "gaps",
        "not_recovered",
        "over_budget",
        "reads",
        "recovered",
        "replayed",
        "rereads",
        "sent",
    )

    def __init__(self) -> None:
        self.sent = self.failed = self.reads = self.rereads = self.replayed = 0
        self.recovered = self.not_recovered = self.over_budget = self.gaps = 0

    def as_dict(self) -> dict[str, int]:
        """The counters by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class Log(Protocol):
    """A room's feed (:class:`odac.history.feed.Feed`), as a cursor uses it."""

    number: int
    top: int
    counters: HistoryCounters
    cursors: dict[Connection, Cursor]

    @property
    def limits(self) -> Limits:
        """The app's limits."""
        ...

    def cached(self, after: int, limit: int, size: int) -> Sequence[Kept] | None:
        """Entries after ``after``; None if they are not in this process."""
        ...

    def fetch(self, cursor: Cursor) -> None:
        """Read the entries that the cursor needs, and then continue it."""
        ...

    def run(self, cursor: Cursor) -> None:
        """Continue the cursor."""
        ...

    def drop(self, cursor: Cursor) -> None:
        """The member no longer catches up."""
        ...

    def follow(self, connection: Connection) -> None:
        """The member has caught up."""
        ...

    def header(self, offsets: Sequence[int]) -> Prepared:
        """The message before the entries, which has their numbers."""
        ...

    def tell_gap(self, connection: Connection, offset: int) -> None:
        """Tell the member that some messages are missing."""
        ...


class Cursor:
    """One member's position in one room's log.

    Args:
        connection: the member.
        feed: the room's feed.
        joining: the result of its ``join``; None for a member that was live and has fallen behind.
        replay: the number of last entries that it gets if nothing can be recovered.
        client: the name of the client, if it has one.
        position: the position that it has sent, if it has sent one.

    Attributes:
        at: the number of the last entry that it has.
        recovered: as in :class:`Recovery`.
        count: the number of entries that were sent to it.
        admitted: whether its position was sent to it.
        sync_awaited: the number of the feed's sync that it waits for before it is admitted; 0 if none.
    """

    __slots__ = (
        "_bytes",
        "admitted",
        "at",
        "client",
        "connection",
        "count",
        "feed",
        "joining",
        "position",
        "recovered",
        "replay",
        "sync_awaited",
    )

    def __init__(
        self,
        connection: Connection,
        feed: Log,
        joining: Joining | None,
        replay: int = 0,
        client: str | None = None,
        position: Position | None = None,
    ) -> None:
        self.connection = connection
        self.feed = feed
        self.joining = joining
        self.replay = replay
        self.client = client
        self.position = position
        self.at = 0
        self.recovered: bool | None = None
        self.count = 0
        self.admitted = False
        self.sync_awaited = 0
        self._bytes = 0

    def step(self) -> bool:
        """Send as many entries as fit in one turn.

        Returns:
            whether there is more to do at once. False: the member is live, waits for its reader or for the store, or
            has gone.
        """
        connection = self.connection
        if not connection.is_open:
            self.abandon()
            return False
        if self.at < self.feed.top and connection.outbox.backlog is None:
            limits = self.feed.limits
            entries = self.feed.cached(self.at, limits.catch_up_entries, limits.catch_up_bytes)
            if entries is None:
                self.feed.fetch(self)
                return False
            self._write(entries)
            if self.at < self.feed.top and connection.outbox.backlog is None:
                return True
        if connection.outbox.backlog is not None:
            # Even at the top: the fan-out is for readers that keep up.
            connection.outbox.backlog.drained().add_done_callback(self._drained)
            return False
        self._arrive()
        return False

    def abandon(self) -> None:
        """Stop catching up: the connection has ended or left the room."""
        self.feed.drop(self)
        if self.joining is not None:
            self.joining.arrived(Recovery(self.recovered, self.count))

    def _drained(self, _: asyncio.Future[None]) -> None:
        if self.feed.cursors.get(self.connection) is self:
            self.feed.run(self)

    def _write(self, entries: Sequence[Kept]) -> None:
        connection, feed = self.connection, self.feed
        mine = [entry for entry in entries if entry.is_for(connection.id)]
        self.at = entries[-1].offset
        if mine:
            if connection.speaks_odac:
                connection.put(feed.header([entry.offset for entry in mine]))
            for entry in mine:
                connection.send_prepared(entry.message)
            self.count += len(mine)
            feed.counters.replayed += len(mine)
        if connection.speaks_odac and (not mine or mine[-1].offset != self.at):
            connection.put(control.encode_control("past", feed.number, self.at))
        if self.joining is not None and self.recovered:
            self._bytes += sum([len(entry.message.payload) for entry in mine])
            if self._bytes > feed.limits.recovery_bytes:
                feed.counters.over_budget += 1
                self.give_up()

    def give_up(self) -> None:
        """The missing entries cannot be read: notify the member, and continue at the top."""
        self.recovered = False
        self.at = self.feed.top
        self.feed.counters.not_recovered += 1
        self.feed.tell_gap(self.connection, self.at)

    def _arrive(self) -> None:
        connection, feed = self.connection, self.feed
        feed.follow(connection)
        if self.joining is not None:
            if connection.speaks_odac:
                connection.put(control.encode_control("live", feed.number, self.count))
            if self.recovered:
                feed.counters.recovered += 1
            self.joining.arrived(Recovery(self.recovered, self.count))
