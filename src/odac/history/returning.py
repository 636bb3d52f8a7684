"""Clients that reconnect: their names, what they may recover, and the end of their older connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from odac.close_codes import SUPERSEDED, CloseCode
from odac.history.cursor import HistoryCounters
from odac.history.entries import name_of
from odac.history.position import Client, Identity, Position, Tickets, parse_resume
from odac.history.visits import Visits, next_client
from odac.realtime.audience import is_user_room
from odac.realtime.offered_messages import POSITIONS

if TYPE_CHECKING:
    from odac.realtime.connection import Connection
    from odac.realtime.hub import Hub

__all__ = ["SUBSYSTEM", "Returning"]

SUBSYSTEM: Final = "history"
TOLD_AT_ONCE: Final = 1000

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[tuple[str, int]]).decode


class Returning:
    """The clients of this process. Implements :class:`odac.realtime.ports.Subsystem`, except for the feeds.

    Args:
        hub: this process's connections.
        tickets: signs names and tickets.
        counters: the counters of all feeds.
    """

    def __init__(self, hub: Hub, tickets: Tickets, counters: HistoryCounters) -> None:
        self._hub = hub
        self._tickets = tickets
        self._counters = counters
        self.visits = Visits(hub.limits)
        self._came_back: list[tuple[str, int]] = []

    async def resume(self, connection: Connection, session_id: str | None, user_id: str | None) -> None:
        """Wait for the ``resume`` of a client that has offered ``odac.resume``; the connection then has its name."""
        limits = self._hub.limits
        values = await self._hub.offered.receive(connection, POSITIONS, limits.resume_timeout)
        sent = None if values is None else parse_resume(values, limits.recovery_rooms)
        if sent is None or not connection.is_open:
            return
        identity = Identity(session_id, user_id)
        name, positions = sent
        known = self._tickets.read_client(name, identity)
        if known is None:
            return
        client = next_client(known)
        self._hub.rename(connection, client.id)
        older = self.visits.enter(connection, client, identity, positions)
        if older is not None:
            self._supersede(older)
        if not self._came_back:
            self._hub.delivery.loop.call_soon(self._tell_who_came_back)
        self._came_back.append((client.name, client.generation))

    def greet(self, connection: Connection, session_id: str | None, user_id: str | None) -> str:
        """Return the signed name for the connection's ``hello``."""
        identity = Identity(session_id, user_id)
        visit = self.visits.of(connection)
        if visit is None:
            self.visits.enter(connection, Client(name_of(connection.id)), identity, [])
            visit = self.visits.of(connection)
            assert visit is not None
        visit.identity = identity
        return self._tickets.sign_client(visit.client, identity)

    def recognized(self, connection: Connection, user_id: str) -> None:
        """A connection's user has become known."""
        visit = self.visits.of(connection)
        if visit is not None:
            known = visit.identity.user_id
            if known is not None and known != user_id:
                visit.positions.clear()
            visit.identity = visit.identity._replace(user_id=user_id)

    def ended(self, connection: Connection) -> None:
        """A connection has ended, or was refused at a gate."""
        self.visits.leave(connection)

    # Called by the feeds

    def place_of(self, connection: Connection, room: str) -> tuple[str | None, Position | None]:
        """The name of a connection's client, and the position that it sent for a room, which is valid for one join."""
        visit = self.visits.of(connection)
        if visit is None:
            return None, None
        return visit.client.name, visit.positions.pop(None if is_user_room(room) else room, None)

    def client_of(self, connection: Connection) -> str | None:
        """See :class:`odac.history.owner.Owner`."""
        visit = self.visits.of(connection)
        return None if visit is None else visit.client.name

    def user_of(self, connection: Connection) -> str | None:
        """See :class:`odac.history.owner.Owner`."""
        visit = self.visits.of(connection)
        return None if visit is None else visit.identity.user_id

    def may_recover(self, connection: Connection, entries: int) -> bool:
        """See :class:`odac.history.owner.Owner`."""
        visit = self.visits.of(connection)
        if visit is None:
            return False
        session = visit.identity.session_id or visit.client.name
        if entries > visit.left or not self.visits.budgets.take(session, entries, self._hub.delivery.loop.time()):
            self._counters.over_budget += 1
            return False
        visit.left -= entries
        return True

    # Messages between processes: the clients that have reconnected, so that their older connections are closed

    def _tell_who_came_back(self) -> None:
        while self._came_back:
            self._hub.bus.subsystems.send_to_all(SUBSYSTEM, _encode(self._came_back[:TOLD_AT_ONCE]))
            del self._came_back[:TOLD_AT_ONCE]

    def received(self, body: bytes) -> None:
        """Clients have reconnected to another process."""
        try:
            came_back = _decode(body)
        except msgspec.DecodeError:
            return  # a message of another version
        for name, generation in came_back:
            connection = self.visits.connection_of(name)
            visit = None if connection is None else self.visits.of(connection)
            if connection is not None and visit is not None and visit.client.generation < generation:
                self._supersede(connection)

    def _supersede(self, connection: Connection) -> None:
        connection.begin_close(CloseCode.NORMAL, SUPERSEDED)
