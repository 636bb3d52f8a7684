"""Joining and leaving a room with history."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from odac.history.cursor import Cursor
from odac.history.feeds import Feeds
from odac.history.returning import Returning
from odac.history.rules import RuleBook
from odac.history.store import HistoryStore
from odac.realtime.audience import is_follower_room
from odac.realtime.receipts import Joined, Joining, Recovery

if TYPE_CHECKING:
    from odac.realtime.connection import Connection
    from odac.realtime.hub import Hub

__all__ = ["HistoryMembers"]


class Rooms(Protocol):
    """:class:`odac.history.rooms.HistoryRooms`, as :class:`HistoryMembers` uses it."""

    book: RuleBook
    feeds: Feeds

    @property
    def store(self) -> HistoryStore:
        """The store of the logs; raises RuntimeError if the app is not running."""
        ...

    def behind(self, rooms: tuple[str, ...], call: Callable[[], object]) -> bool:
        """Make a call after this process's unconfirmed sends to any of these rooms."""
        ...


class HistoryMembers:
    """Joins connections to rooms with history and removes them, in order with this process's own sends.

    Args:
        hub: this process's connections.
        rooms: the rules and the feeds.
        returning: the clients of this process.
    """

    def __init__(self, hub: Hub, rooms: Rooms, returning: Returning) -> None:
        self._hub = hub
        self._rooms = rooms
        self._returning = returning
        # The leaves and joins of a connection that wait behind unconfirmed sends, in their order; None is a leave.
        self._queued: dict[tuple[Connection, str], list[Joining | None]] = {}

    def join(self, connection: Connection, room: str, replay: int) -> Joined:
        """A connection has joined a room with history: it gets the entries that it missed, and then new ones."""
        queued = self._queued.get((connection, room))
        if queued is not None and queued[-1] is not None:
            return queued[-1]
        joining = Joining(self._hub.delivery.loop)
        if queued is None:
            self._begin(connection, room, replay, joining)
        else:
            queued.append(joining)
            self._rooms.behind((room,), lambda: self._join_again(connection, room, replay, joining))
        return joining

    def _join_again(self, connection: Connection, room: str, replay: int, joining: Joining) -> None:
        self._dequeue(connection, room)
        if connection.is_open:
            self._hub.enter(connection, room)
        self._begin(connection, room, replay, joining)

    def _begin(self, connection: Connection, room: str, replay: int, joining: Joining) -> None:
        history = self._rooms.book.of(room)
        assert history is not None
        _ = self._rooms.store  # raises if the app is not running
        if not connection.is_open:
            # It ended while its user was looked up or its join was queued, or an order to close was for the room too.
            # A closed connection enters no room, so nothing would remove it from the feed.
            joining.arrived(Recovery(None, 0))
            return
        feed = self._rooms.feeds.follow(room, history)
        client, position = self._returning.place_of(connection, room)
        cursor = Cursor(connection, feed, joining, replay, client, position)
        feed.cursors[connection] = cursor
        feed.run(cursor)

    def is_leaving(self, connection: Connection, room: str) -> bool:
        """See :class:`odac.realtime.history.RoomHistory`."""
        return (connection, room) in self._queued

    def leaves(self, connection: Connection, room: str, leave: Callable[[], None]) -> bool:
        """A connection leaves a room with history, after this process's unconfirmed sends to it.

        Returns:
            whether it leaves later, because there are unconfirmed sends.
        """
        queued = self._queued.get((connection, room))
        if queued is not None and queued[-1] is None:
            return True

        def leave_now() -> None:
            self._dequeue(connection, room)
            leave()

        if self._rooms.behind((room,), leave_now):
            self._queued.setdefault((connection, room), []).append(None)
            return True
        return False

    def _dequeue(self, connection: Connection, room: str) -> None:
        """The first leave or join in the queue is carried out."""
        queued = self._queued[connection, room]
        del queued[0]
        if not queued:
            del self._queued[connection, room]

    def stop(self) -> None:
        """The app stops: leaves and joins that still wait behind unconfirmed sends are not carried out."""
        for queued in self._queued.values():
            for joining in queued:
                if joining is not None:
                    joining.arrived(Recovery(None, 0))
        self._queued.clear()

    def congested(self, connection: Connection) -> None:
        """A connection's reader does not keep up: it gets the entries of its rooms at its own pace."""
        if any(map(is_follower_room, connection.memberships)):
            self._hub.delivery.loop.call_soon(self._fall_back, connection)

    def _fall_back(self, connection: Connection) -> None:
        if connection.is_open and connection.outbox.backlog is not None:
            connection.outbox.take_share()
            self._rooms.feeds.fall_back(connection)
