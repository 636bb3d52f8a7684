"""All connections of one process, and the rooms that they are in."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from odac.protocol.message import Prepared
from odac.realtime.audience import Audience, is_private
from odac.realtime.delivery import Delivery
from odac.realtime.drain import Drain
from odac.realtime.expiries import Expiries
from odac.realtime.heartbeat import Heartbeat
from odac.realtime.idle_cuts import IdleCuts
from odac.realtime.internal_ports import Entry
from odac.realtime.kept_sends import send_where_kept
from odac.realtime.no_bus import NoBus
from odac.realtime.offered_messages import OfferedMessages
from odac.realtime.orders import Orders
from odac.realtime.phase import ADMITTED, CLOSING, Phase
from odac.realtime.sent import SENT, Sent

if TYPE_CHECKING:
    from odac.config import Limits
    from odac.realtime.connection import Connection
    from odac.realtime.history import RoomHistory
    from odac.realtime.ports import Bus, CallsPort, ControlHandler, Observer, PresencePort

__all__ = ["Hub"]

_NO_BUS: Final = NoBus()


class Hub:
    """Holds every open connection and every room of this process.

    Args:
        limits: of the app; the heartbeat's times are taken from it.
        on_close: called with every audience that is closed, before its connections are.
        issue_token: returns a token for a session's id; without it, a client gets none when this process stops.

    Attributes:
        connections: the admitted connections by their ids.
        orders: closes, moves and counts the connections of an audience, in this process and all others.
        bus: connects to the other processes; :meth:`connect_bus` sets it.
        draining: whether this process is stopping.
        population: how many connections have a transport, admitted or not.
        offered: what clients have offered to send before they are admitted.
        control_handlers: called with the control messages of ``odac.v1`` peers, by their kind; the connection itself
            answers ``ping`` and ``pong``, and a kind without a handler is ignored.
        calls_of: makes the object through which a connection calls its client.
        observers: notified of the end of every connection that was admitted or had joined a room.
        arrivals: called with every admitted connection, before its handler is called.
        presence: the members of each room; None if no room of the app has presence.
        history: the rooms that keep their messages; None if no room does.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        on_close: Callable[[Audience], None] | None = None,
        issue_token: Callable[[str], str] | None = None,
    ) -> None:
        self.limits = limits
        self.connections: dict[str, Connection] = {}
        self.orders = Orders(self, on_close)
        self.bus: Bus = _NO_BUS
        self.draining = False
        self.population = 0
        self.offered = OfferedMessages()
        self.control_handlers: dict[str, ControlHandler] = dict(self.offered.handlers)
        self.observers: list[Observer] = [IdleCuts()]
        self.arrivals: list[Callable[[Connection], None]] = []
        self.history: RoomHistory | None = None
        self.calls_of: Callable[[Connection], CallsPort] | None = None
        self.presence: PresencePort | None = None
        self._issue_token = issue_token
        self._drain: Drain | None = None
        self._rooms: dict[str, set[Connection]] = {}
        self._entering: dict[str, Connection] = {}  # in a room already, though not admitted yet
        self._delivery: Delivery[Connection] | None = None
        self._heartbeat: Heartbeat | None = None
        self._expiries: Expiries | None = None  # made when the first login has an expiry time
        self._kept: set[asyncio.Task[Any]] = set()

    # Life

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use this event loop and its thread from now on."""
        if self._delivery is None or self._delivery.loop is not loop:
            self._drain = None
            self._expiries = None
            self._rooms.clear()
            self._entering.clear()
            self.connections.clear()
            self._delivery = Delivery(loop, self._rooms, self.connections)
            self._delivery.hub = self
            self._heartbeat = Heartbeat(loop, self.limits.ping_interval, self.limits.pong_timeout)

    def ended(self) -> None:
        """The app has stopped, and may be started again."""
        self.draining = False
        self._drain = None

    @property
    def delivery(self) -> Delivery[Connection]:
        """The messages of the current tick.

        Raises:
            RuntimeError: the app does not run.
        """
        if self._delivery is None:
            raise RuntimeError(
                "the app is not running in this process, or not yet: a server has to start it. Another process, such"
                " as a task queue or a WSGI server, sends through odac.Publisher(broker_url)"
            )
        return self._delivery

    def connect_bus(self, bus: Bus | None) -> None:
        """Reach other processes through this bus from now on; None for a single process."""
        self.bus = bus if bus is not None else _NO_BUS

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a reference to a task until it ends."""
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)

    # Connections and rooms

    def add(self, connection: Connection) -> None:
        """A connection has passed all gates."""
        connection.outbox.take_share()  # earlier broadcasts are not for it
        if connection.phase is not Phase.ADMITTING:
            return  # messages sent to it meanwhile exceeded the limit for slow readers
        connection.phase = Phase.OPEN
        connection.flags |= ADMITTED
        self._entering.pop(connection.id, None)
        self.connections[connection.id] = connection
        if self._heartbeat is not None and (connection.outbox.lane.pings or connection.speaks_odac):
            self._heartbeat.watch(connection)
        for arrived in self.arrivals:
            arrived(connection)

    def remove(self, connection: Connection) -> None:
        """A connection closes: remove it from all rooms; its ``memberships`` still names them."""
        self.connections.pop(connection.id, None)
        self._entering.pop(connection.id, None)
        if self._expiries is not None:
            self._expiries.discard(connection)
        for room in connection.memberships:
            self._take_out(connection, room)
        if not connection.flags & ADMITTED:
            self.offered.closing(connection)
        elif self._heartbeat is not None and (connection.outbox.lane.pings or connection.speaks_odac):
            self._heartbeat.ended()

    def drain(self, connections: Iterable[Connection] | None = None) -> Drain:
        """This process stops: close these connections, by default all, each in its turn (see :class:`Drain`)."""
        self.draining = True
        if self._drain is None:
            alone = isinstance(self.bus, NoBus)
            self._drain = Drain(self.delivery.loop, self.limits.drain_timeout, self._issue_token, alone=alone)
            self._drain.add(list(self.connections.values()))
        if connections is not None:
            self._drain.add(connections)
        return self._drain

    def enter(self, connection: Connection, room: str) -> None:
        """A connection joins a room. A closed one is not added, so that no reference to it remains."""
        if connection.phase >= CLOSING:
            return
        connection.outbox.take_share()
        if connection.phase is Phase.ADMITTING:
            self._entering[connection.id] = connection
        members = self._rooms.get(room)
        if members is None:
            members = self._rooms[room] = set()
            self.bus.room_opened(room)
        members.add(connection)
        if not connection.memberships:
            connection.memberships = {room: None}
        else:
            connection.memberships[room] = None  # type: ignore[index]
        if (missed := self.orders.missed(room, connection.id, connection.opened_at)) is not None:
            connection.begin_close(*missed)

    def depart(self, connection: Connection, room: str) -> None:
        """A connection leaves a room."""
        connection.outbox.take_share()
        self._take_out(connection, room)
        del connection.memberships[room]  # type: ignore[attr-defined]
        if self.history is not None and self.history.keeps(room):
            self.history.departed(connection, room)
        if self.presence is not None:
            self.presence.left(connection, room)

    def expire(self, connection: Connection, when: float) -> None:
        """Close a connection with 1012 when its login ends: at this time, in seconds since 1970."""
        if self._expiries is None:
            self._expiries = Expiries(self.delivery.loop)
        if connection.is_open:
            self._expiries.add(connection, when)

    def follow(self, connection: Connection, room: str) -> None:
        """Deliver the kept messages of a room with history to a member, from the next one on.

        Args:
            connection: the member.
            room: the private room that belongs to it, see :func:`odac.realtime.audience.follower_room`.
        """
        connection.outbox.take_share()
        self._rooms.setdefault(room, set()).add(connection)
        connection.memberships[room] = None  # type: ignore[index]

    def unfollow(self, connection: Connection, room: str) -> None:
        """The opposite of :meth:`follow`."""
        connection.outbox.take_share()
        self._take_out(connection, room, notify_bus=False)
        del connection.memberships[room]  # type: ignore[attr-defined]

    def is_open(self, room: str) -> bool:
        """Whether a room has members in this process."""
        return room in self._rooms

    def members_of(self, room: str) -> tuple[Connection, ...]:
        """The members of a room in this process, as of now."""
        return tuple(self._rooms.get(room, ()))

    def rename(self, connection: Connection, new_id: str) -> None:
        """A connection belongs to a client that was connected before: give it the client's former id."""
        for known in (self.connections, self._entering):
            if known.pop(connection.id, None) is not None:
                known[new_id] = connection
        connection.id = new_id

    def _take_out(self, connection: Connection, room: str, *, notify_bus: bool = True) -> None:
        members = self._rooms.get(room)
        if members is not None:
            members.discard(connection)
            if not members:
                del self._rooms[room]
                if notify_bus:
                    self.bus.room_closed(room)

    @property
    def room_count(self) -> int:
        """How many rooms of the application have members in this process."""
        return sum(not is_private(room) for room in list(self.open_rooms))  # a copy: the caller may be another thread

    @property
    def open_rooms(self) -> Iterable[str]:
        """The rooms that have members in this process."""
        return self._rooms.keys()

    # Sending

    def send(self, audience: Audience, message: Prepared, keep: bool = True) -> Sent:
        """Send to all connections of the audience, in this process and all others; from any thread.

        Args:
            audience: its receivers.
            message: the prepared message.
            keep: whether it goes into the history of its room, if that has one.

        Raises:
            ValueError: it is to be kept, and is for more than one room.
        """
        if self.history is not None and self.history.concerns(audience):
            return send_where_kept(self, self.history, audience, message, keep)
        delivery = self._delivery
        if delivery is not None and get_ident() == delivery.thread:
            self.deliver(audience, message)
            self.bus.publish(audience, message)
        else:
            self.delivery.loop.call_soon_threadsafe(self.send, audience, message)
        return SENT

    def deliver(self, audience: Audience, message: Prepared) -> None:
        """Send to this process's connections of the audience."""
        rooms, also_in, excluded = audience
        if rooms:
            known = self._rooms
            if len(rooms) == 1:
                if rooms[0] not in known:
                    return
            elif not any(room in known for room in rooms):
                return
        elif not self.connections:
            return
        delivery = self._delivery
        assert delivery is not None
        if excluded:
            present = [self.connections.get(name) or self._entering.get(name) for name in excluded]
            outboxes = [connection.outbox for connection in present if connection is not None]
            delivery.add(Entry(rooms, also_in, message), outboxes)
        else:
            delivery.add(Entry(rooms, also_in, message))
