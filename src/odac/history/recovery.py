"""Decides which entries a member of a room recovers, and sends it its position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from odac.history.cursor import Cursor
from odac.history.feed_port import FeedPort
from odac.history.owner import Owner
from odac.history.position import Position, Tickets, epoch_text, user_hash
from odac.protocol import control
from odac.realtime.audience import is_private

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["FIRST_TIME", "NAMED", "NOT_RECOVERABLE", "RECOVERING", "Recoveries"]

FIRST_TIME, RECOVERING, NOT_RECOVERABLE, NAMED = 0, 1, 2, 3
"""The status in the control message ``room``; NAMED: the log of a room that was empty has got its epoch."""


class Recoveries:
    """Decides for the members of one room, and notifies them.

    Args:
        feed: the room's feed.
        owner: the owner of all feeds.
        tickets: signs the positions from which members may recover.

    Attributes:
        revoked: how often users were revoked in the room, by a hash of their id.
    """

    __slots__ = ("_feed", "_owner", "_tickets", "revoked")

    def __init__(self, feed: FeedPort, owner: Owner, tickets: Tickets) -> None:
        self._feed = feed
        self._owner = owner
        self._tickets = tickets
        self.revoked: Mapping[str, int] = {}

    def decide_recovery(self, cursor: Cursor) -> bool | None:
        """Whether a member may recover the entries that it missed; None if it sent no position, so that it missed none.

        True if its position is in the present log, a ticket proves that it may see the entries after it, and its
        budgets allow that many entries, which are then deducted. Whether all of them are still kept is found only when
        they are read: see :mod:`odac.history.pages`.
        """
        feed, position = self._feed, cursor.position
        if position is None or cursor.client is None:
            return None
        return (
            position.epoch == feed.epoch
            and position.offset <= feed.top
            and self._has_ticket(cursor, cursor.client, position)
            and self._owner.may_recover(cursor.connection, feed.top - position.offset)
        )

    def is_ahead(self, cursor: Cursor) -> bool:
        """Whether a member has a valid position that this process has not received from the log yet.

        Another process may have received the last entries, or the first ones of a new log, sooner than this one.
        """
        feed, position = self._feed, cursor.position
        if position is None or position.epoch is None or cursor.client is None:
            return False
        is_known = position.epoch == feed.epoch and position.offset <= feed.top
        return not is_known and self._has_ticket(cursor, cursor.client, position)

    def _has_ticket(self, cursor: Cursor, client: str, position: Position) -> bool:
        """Whether a ticket proves that a client may see the entries after its position."""
        feed = self._feed
        revocations = self._revocations(cursor.connection)
        return self._tickets.check(client, feed.room, position, revocations, self._owner.era_of(feed.room))

    def admit(self, cursor: Cursor) -> None:
        """Decide which entries a member gets, set its cursor, and send it its position."""
        feed, connection, position = self._feed, cursor.connection, cursor.position
        cursor.admitted = True
        cursor.at = max(0, feed.top - cursor.replay)
        cursor.recovered = self.decide_recovery(cursor)
        # A ticket covers the room from the first message that its client was allowed to see.
        status, lowest = FIRST_TIME, cursor.at + 1
        if cursor.recovered and position is not None:
            status, lowest = RECOVERING, self._tickets.lowest(position)
            cursor.at = position.offset
        elif cursor.recovered is False:
            status = NOT_RECOVERABLE
            feed.counters.not_recovered += 1
        if connection.speaks_odac:
            self.tell_place(connection, cursor.client, lowest, cursor.at, status)

    def tell_place(self, connection: Connection, client: str | None, lowest: int, offset: int, status: int) -> None:
        """Send a member its position in the room: the control message ``room``."""
        feed = self._feed
        name = None if is_private(feed.room) else feed.room
        ticket = self._ticket(connection, client, lowest)
        connection.put(
            control.encode_control("room", feed.number, name, epoch_text(feed.epoch), offset, ticket, status)
        )

    def tell_gap(self, connection: Connection, offset: int) -> None:
        """Tell a member that some messages are missing, and its new position."""
        if connection.speaks_odac:
            feed = self._feed
            ticket = self._ticket(connection, self._owner.client_of(connection), offset + 1)
            connection.put(control.encode_control("gap", feed.number, epoch_text(feed.epoch), offset, ticket))

    def _ticket(self, connection: Connection, client: str | None, lowest: int) -> str:
        if client is None:
            return ""
        feed = self._feed
        revocations, era = self._revocations(connection), self._owner.era_of(feed.room)
        return self._tickets.ticket(client, feed.room, feed.epoch, lowest, revocations, era)

    def _revocations(self, connection: Connection) -> int:
        """How often the connection's user was revoked in this room."""
        if not self.revoked:
            return 0
        user = self._owner.user_of(connection)
        return 0 if user is None else self.revoked.get(user_hash(user), 0)
