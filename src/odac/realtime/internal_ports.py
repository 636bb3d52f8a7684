"""The small protocols through which the modules of this package use a connection, the hub and the delivery.

The modules import these protocols and not each other, so that imports have no circle. A connection or an outbox is
typed as ``Any`` in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from odac.protocol.message import Prepared
from odac.realtime.phase import Phase
from odac.realtime.ports import Bus, CallsPort, ControlHandler, Lane, Observer, PresencePort, Sender

if TYPE_CHECKING:
    from odac.realtime.audience import Audience
    from odac.realtime.backlog import Backlog
    from odac.realtime.history import RoomHistory
    from odac.realtime.listeners import Registered
    from odac.realtime.policy import Policy
    from odac.realtime.sent import Sent
    from odac.realtime.turn_budget import TurnBudget

__all__ = [
    "Entry",
    "EventsOwner",
    "HandlerOwner",
    "HubOfConnection",
    "HubOfKeptSends",
    "HubOfOrders",
    "InboxOwner",
    "Listeners",
    "OutboxOwner",
    "RoomsOwner",
    "DeliveryOfOutbox",
]


class HubOfConnection(Sender, Protocol):
    """The hub, as a connection uses it."""

    population: int
    history: RoomHistory | None
    control_handlers: dict[str, ControlHandler]
    observers: list[Observer]
    presence: PresencePort | None
    calls_of: Callable[[Any], CallsPort] | None

    @property
    def delivery(self) -> Any:
        """See :attr:`odac.realtime.hub.Hub.delivery`."""
        ...

    def enter(self, connection: Any, room: str) -> None:
        """Add the connection to a room."""
        ...

    def depart(self, connection: Any, room: str) -> None:
        """Remove the connection from a room."""
        ...

    def remove(self, connection: Any) -> None:
        """The connection closes: remove it from everything."""
        ...

    def drain(self, connections: Any = None) -> Any:
        """This process stops: close these connections, each in its turn."""
        ...

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a reference to a task until it ends."""
        ...


class HubOfOrders(Protocol):
    """The hub, as orders to an audience use it."""

    bus: Bus
    history: RoomHistory | None
    population: int

    @property
    def delivery(self) -> Any:
        """See :attr:`odac.realtime.hub.Hub.delivery`."""
        ...


class HubOfKeptSends(HubOfOrders, Sender, Protocol):
    """The hub, as sends to rooms with history use it."""

    def deliver(self, audience: Audience, message: Prepared) -> None:
        """Send to this process's connections of the audience."""
        ...


class Entry(NamedTuple):
    """One room message of this tick. Excluded connections have taken their share of the entries before it was added,
    so the entry does not name them.
    """

    rooms: tuple[str, ...]
    also_in: tuple[str, ...]
    message: Prepared
    kept: bool = False  # in the room's history: a slow reader is neither closed for it nor loses it


class DeliveryOfOutbox(Protocol):
    """The delivery, as an outbox uses it: the room messages of this tick, which all connections share."""

    loop: asyncio.AbstractEventLoop
    thread: int
    entries: list[Entry]
    is_writing: bool
    corked: Any  # the outbox of the connection whose received bytes are being handled now, or None
    on_congested: Callable[[Any], None] | None
    turn: TurnBudget
    spare: Context
    hub: HubOfConnection

    def later(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call a function as soon as the entries have been written."""
        ...

    def set_apart(self, outbox: Any) -> None:
        """Write this outbox by itself when the tick ends."""
        ...

    def overflowed(self, policy: Policy) -> None:
        """Count and log that a reader was closed because it is too slow."""
        ...

    def dropped(self, policy: Policy, backlog: Backlog, count: int) -> None:
        """Count and log that room messages were dropped for a slow reader."""
        ...


class RoomsOwner(Protocol):
    """The connection, as joining and leaving use it."""

    phase: Phase
    policy: Policy
    memberships: Mapping[str, None]

    @property
    def delivery(self) -> Any:
        """The delivery of its event loop."""
        ...

    @property
    def rooms(self) -> list[str]:
        """The application's rooms that it is in."""
        ...


class OutboxOwner(Protocol):
    """The connection, as its outbox uses it."""

    fd: int
    phase: Phase
    policy: Policy
    speaks_odac: bool

    def is_in(self, entry: Entry) -> bool:
        """Whether a room message is for this connection."""
        ...

    def begin_close(self, code: int, reason: str) -> bool:
        """Close the connection; see :meth:`odac.realtime.connection.Connection.begin_close`."""
        ...


class EventsOwner(Protocol):
    """The connection, as its listeners use it."""

    phase: Phase
    policy: Policy
    speaks_odac: bool
    listeners: Registered
    flags: int  # the bits of odac.realtime.phase

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the connection."""
        ...

    @property
    def ended(self) -> tuple[int, str] | None:
        """Code and reason, once the connection has ended."""
        ...

    @property
    def inbox(self) -> Any:
        """Its messages on the way to the application."""
        ...

    def run(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function that leads to code of the application, in the connection's own context."""
        ...

    def put(self, message: Prepared) -> Sent:
        """Send a control message."""
        ...

    def begin_close(self, code: int, reason: str) -> bool:
        """Close the connection; see :meth:`odac.realtime.connection.Connection.begin_close`."""
        ...

    def own(self, coroutine: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        """Run a coroutine as a task that is cancelled when the connection ends."""
        ...

    def own_to_the_end(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine as a task that the connection's end does not cancel."""
        ...

    def release(self) -> None:
        """The close listeners have run."""
        ...


class HandlerOwner(EventsOwner, Protocol):
    """The connection, as running the route's handler uses it."""

    handler: asyncio.Task[Any] | None
    context: Context | None

    @property
    def events(self) -> Listeners:
        """Its listeners."""
        ...

    @property
    def inbox(self) -> Any:
        """Its messages on the way to the application."""
        ...


class Listeners(Protocol):
    """The listeners, as an inbox uses them; see :class:`odac.realtime.events.Events`."""

    async def call(self, listeners: list[Callable[..., Any]], *arguments: object) -> None:
        """Call listeners one after another, awaiting the asynchronous ones."""
        ...

    async def awaited(self, result: Awaitable[object]) -> None:
        """Await what a listener returned."""
        ...

    def failed(self, error: BaseException) -> None:
        """A listener raised."""
        ...

    def handler_failed(self, error: BaseException) -> None:
        """The route's handler raised."""
        ...

    def undecodable(self, error: BaseException) -> None:
        """A message could not be decoded."""
        ...


class InboxOwner(EventsOwner, Protocol):
    """The connection, as its inbox uses it."""

    @property
    def calls(self) -> CallsPort | None:
        """Its calls, if there are any."""
        ...

    @property
    def events(self) -> Listeners:
        """Its listeners."""
        ...

    @property
    def lane(self) -> Lane:
        """The lane of the connection."""
        ...

    @property
    def has_tasks(self) -> bool:
        """Whether a running task of this connection may still receive messages."""
        ...

    def receive_control(self, payload: bytes) -> None:
        """Handle a control message of an ``odac.v1`` peer."""
        ...

    def unreceived(self) -> None:
        """Log that the peer sends messages to a route that receives none."""
        ...

    def closed(self) -> None:
        """Notify the application that the connection has ended; all messages before that have been handled."""
        ...
