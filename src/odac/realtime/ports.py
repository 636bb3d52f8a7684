"""The small protocols between the realtime core and the packages around it.

A connection in these protocols is an :class:`odac.realtime.connection.Connection`, typed as ``Any``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from odac.protocol.message import Prepared
from odac.realtime.audience import Audience

if TYPE_CHECKING:
    from odac.realtime.sent import Sent

__all__ = [
    "AudienceOrders",
    "Bus",
    "CallsPort",
    "ControlHandler",
    "Count",
    "Lane",
    "LocalHub",
    "LocalOrders",
    "LogListener",
    "Member",
    "Members",
    "Observer",
    "Subsystem",
    "SubsystemSender",
    "PresencePort",
    "Sender",
]


class Lane(Protocol):
    """Carries a connection's frames. It calls the outbox's ``pause_writing`` and ``resume_writing`` on congestion."""

    @property
    def fd(self) -> int:
        """The socket for direct writes of uncompressed frames while nothing is buffered before them, else -1.

        Whenever it changes, the lane calls the outbox's ``renew_fd``.
        """
        ...

    @property
    def pings(self) -> bool:
        """Whether the lane can send ping frames."""
        ...

    def write(self, messages: list[Prepared]) -> None:
        """Send messages in order; never blocks, never raises."""
        ...

    def write_rest(self, data: memoryview) -> None:
        """Send the bytes that a direct write to ``fd`` left over."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Send a close frame after everything written, and end when the peer answers or after the close timeout."""
        ...

    def expect_end(self) -> None:
        """Start the close timeout: a close frame follows as soon as the backlog is written."""
        ...

    def abort(self) -> None:
        """End at once, without a close frame."""
        ...

    def cut(self, code: int, reason: str) -> None:
        """End at once a connection whose peer is silent: with a close frame if no data is buffered in front of it."""
        ...

    def limit_messages(self, size: int) -> None:
        """Accept messages of up to ``size`` bytes from now on, instead of ``max_payload``."""
        ...

    def pause_reading(self) -> None:
        """Stop reading from the peer."""
        ...

    def resume_reading(self) -> None:
        """Read from the peer again."""
        ...

    @property
    def buffered(self) -> int:
        """Bytes written that the kernel has not accepted yet."""
        ...


class Count(NamedTuple):
    """How many connections, and how many processes answered.

    Args:
        total: connections, over all processes that answered.
        answered: processes that answered within the timeout, this one included.
        expected: processes known to be running, this one included; more than ``answered`` if some did not answer.
    """

    total: int
    answered: int
    expected: int


class Member(NamedTuple):
    """One person in a room.

    Args:
        data: what the person's newest connection joined with.
        connections: how many are open; 0 during the grace period after the last one ended.
        since: seconds since 1970 at which the first of them joined, by the clock of its process.
    """

    data: Any
    connections: int
    since: float


class Members(NamedTuple):
    """Who is in a room, on all processes.

    Args:
        users: the people, by the user's id as text; a person without a user by ``"session:…"`` or ``"connection:…"``.
        total: the number of people.
        complete: False if a process did not answer or sends no heartbeat, or the broker is unreachable.
    """

    users: dict[str, Member]
    total: int
    complete: bool


class PresencePort(Protocol):
    """The people in rooms, implemented by :mod:`odac.presence`. Called on the event loop's thread."""

    def check(self, room: str, data: Any) -> bytes:
        """Encode the data that a connection joins a room with; raise ValueError or TypeError if it is not allowed."""
        ...

    def join(self, connection: Any, room: str, data: bytes) -> None:
        """A connection that is in a room is listed there from now on, or changes its person's data."""
        ...

    def left(self, connection: Any, room: str) -> None:
        """A connection has left a room."""
        ...

    def recognized(self, connection: Any) -> None:
        """A connection's user has become known."""
        ...

    async def members(self, room: str, timeout: float) -> Members:  # noqa: ASYNC109 - part of the contract
        """Who is in a room, on all processes."""
        ...


class Bus(Protocol):
    """Connects to the other processes. No method raises for a lost broker; all but ``count_others`` return at once."""

    @property
    def healthy(self) -> bool:
        """Whether messages reach the other processes, as far as this one knows."""
        ...

    def publish(self, audience: Audience, message: Prepared, *, unkept: bool = False) -> None:
        """Send a message to the other processes (never back to this one).

        Args:
            audience: its receivers.
            message: the prepared message.
            unkept: a room of the audience has history, and this message is deliberately not appended to it.
        """
        ...

    def close(self, audience: Audience, code: int, reason: str, given: float) -> None:
        """Make the other processes close their connections of this audience.

        Args:
            audience: the connections to close.
            code: the close code.
            reason: the close reason that clients get.
            given: when the order was given, by :func:`time.monotonic`; connections that were opened later stay open.
        """
        ...

    def move(self, audience: Audience, room: str, *, joins: bool) -> None:
        """Make the other processes' connections of this audience join or leave a room."""
        ...

    async def count_others(self, audience: Audience, timeout: float) -> Count:  # noqa: ASYNC109 - part of the contract
        """Ask the other processes how many connections the audience has there; wait ``timeout`` seconds at most."""
        ...

    def room_opened(self, room: str) -> None:
        """This process has its first member of ``room``."""
        ...

    def room_closed(self, room: str) -> None:
        """The last member of ``room`` in this process has left."""
        ...

    @property
    def subsystems(self) -> SubsystemSender:
        """Carries the messages of subsystems, such as presence, to other processes."""
        ...


class SubsystemSender(Protocol):
    """Sends the messages of a subsystem, such as presence, to the same subsystem in other processes.

    No method raises when the broker is lost.
    """

    @property
    def healthy(self) -> bool:
        """Whether messages reach the other processes, as far as this one knows."""
        ...

    @property
    def origins(self) -> frozenset[bytes]:
        """The random ids of the other processes that send heartbeats."""
        ...

    def add(self, name: str, subsystem: Subsystem) -> None:
        """Pass to this subsystem what the subsystems of this name in other processes send."""
        ...

    def send_to_room(self, room: str, subsystem: str, body: bytes) -> None:
        """Send to a subsystem in the processes that have members of a room."""
        ...

    def send_to_all(self, subsystem: str, body: bytes) -> None:
        """Send to a subsystem in all other processes."""
        ...

    def send_to(self, origin: bytes, subsystem: str, body: bytes) -> None:
        """Send to a subsystem in one other process."""
        ...


class Subsystem(Protocol):
    """A subsystem that exchanges messages with other processes. Called on the loop's thread; must not raise."""

    def received(self, origin: bytes, body: bytes) -> None:
        """The subsystem of another process has sent a message."""
        ...

    def beat(self) -> bytes | None:
        """What this process's next heartbeat carries to the subsystem in other processes; None: nothing."""
        ...

    def seen(self, origin: bytes) -> None:
        """A process sent a heartbeat, the first one or the first after a silence."""
        ...

    def silent(self, origin: bytes) -> None:
        """A process sent no heartbeat for some time."""
        ...

    def left(self, origin: bytes) -> None:
        """A process announced that it stops."""
        ...

    def up(self) -> None:
        """The broker is connected again, or messages may have been lost."""
        ...


class LocalHub(Protocol):
    """This process's hub, as a bus uses it, always on the event loop's thread."""

    def deliver(self, audience: Audience, message: Prepared) -> None:
        """Deliver to this process's connections of the audience, and to no other process."""
        ...

    @property
    def orders(self) -> LocalOrders:
        """Carries out orders in this process."""
        ...


class LocalOrders(Protocol):
    """Carries out the orders of other processes, always on the event loop's thread."""

    def close_local(self, audience: Audience, code: int, reason: str, given: float) -> None:
        """Close this process's connections of the audience opened before ``given`` (:func:`time.monotonic`)."""
        ...

    def move_local(self, audience: Audience, room: str, *, joins: bool) -> None:
        """Make this process's connections of the audience join or leave a room."""
        ...

    def count_local(self, audience: Audience) -> int:
        """How many of this process's connections are in the audience."""
        ...


class LogListener(Protocol):
    """Receives what the stores of rooms with history publish. Called on the event loop's thread; must not raise."""

    def arrived(self, channel: str, payload: bytes) -> bool:
        """A store's payload has arrived on a room's channel; return whether this process follows the room's log.

        Raises:
            ValueError: no store publishes such a payload.
        """
        ...

    def unflagged(self, rooms: tuple[str, ...]) -> None:
        """A message for these rooms has arrived from a process that does not know that they have history."""
        ...


class CallsPort(Protocol):
    """The calls of one connection: see :mod:`odac.calls`."""

    @property
    def is_waiting(self) -> bool:
        """Whether a call of this side has no answer yet."""
        ...

    @property
    def origin(self) -> str | None:
        """The value of ``calls`` in the connection's ``hello``; None if the route answers no calls."""
        ...

    async def call(self, name: str, arguments: object, timeout: float, returns: Any) -> Any:  # noqa: ASYNC109
        """Ask the client, and wait for its answer."""
        ...

    def overrun(self) -> None:
        """Reading has paused, so that no answer will be read."""
        ...


ControlHandler = Callable[[Any, list[Any]], None]
"""Handles a control message of one kind: called with the connection that it arrived on, and with the items after the
kind in its JSON array.

Called within the connection's ``data_received``, with nothing checked about the values: a peer may send anything.
"""


class Observer(Protocol):
    """A subsystem that is notified about connections. Called on the event loop's thread; must not raise."""

    def ended(self, connection: Any, code: int, reason: str) -> None:
        """A connection that was admitted, or had joined a room or made a call, has ended; its close listeners follow.

        It has left all rooms; ``connection.memberships`` still names the rooms that it was in.
        """
        ...


class Sender(Protocol):
    """The hub, as a target uses it."""

    def send(self, audience: Audience, message: Prepared, keep: bool = True) -> Sent:
        """Send to all connections of the audience, in this process and all others; from any thread."""
        ...

    @property
    def orders(self) -> AudienceOrders:
        """Closes, moves and counts the connections of an audience."""
        ...


class AudienceOrders(Protocol):
    """The orders, as a target uses them."""

    def close(self, audience: Audience, code: int, reason: str, given: float | None = None) -> None:
        """Close the audience's connections, in this process and all others; from any thread."""
        ...

    def move(self, audience: Audience, room: str, *, joins: bool) -> None:
        """Make the audience's connections join or leave a room, in this process and all others; from any thread."""
        ...

    async def count(self, audience: Audience, timeout: float) -> Count:  # noqa: ASYNC109 - part of the contract
        """Ask all processes how many connections the audience has; from any event loop."""
        ...
