"""What the realtime core needs of the parts around it, as small protocols that those parts fulfil."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from odac.protocol.message import Prepared
from odac.realtime.audience import Audience

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["Bus", "ControlHandler", "Count", "LocalHub", "Observer", "Part", "PartLine"]

ControlHandler = Callable[["Connection", list[Any]], None]
"""Takes a control message of one kind: the connection that it arrived on, and what follows the kind in its JSON array.

Called within the connection's ``data_received``, with nothing checked about the values: a peer may send anything.
"""


class Count(NamedTuple):
    """How many connections, and how many processes said so.

    Args:
        total: connections, over all processes that answered.
        answered: processes that answered in time, this one included.
        expected: processes known to be there, this one included; more than ``answered`` where one did not answer.
    """

    total: int
    answered: int
    expected: int


class Bus(Protocol):
    """The way to the other processes. Every method but :meth:`count` returns at once and never raises for a lost broker."""

    @property
    def healthy(self) -> bool:
        """Whether messages reach the other processes, as far as this one knows."""
        ...

    def publish(self, audience: Audience, message: Prepared) -> None:
        """Hand a message to the other processes (never back to this one)."""
        ...

    def close(self, audience: Audience, code: int, reason: str, given: float) -> None:
        """Have the other processes close their connections of this audience.

        Args:
            audience: whose connections.
            code: the close code.
            reason: for the client.
            given: when that was ordered, by :func:`time.monotonic`; connections that were opened later stay.
        """
        ...

    def move(self, audience: Audience, room: str, *, joins: bool) -> None:
        """Have the other processes' connections of this audience join or leave a room."""
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
    def parts(self) -> PartLine:
        """The way from parts of the library to themselves in other processes."""
        ...


class PartLine(Protocol):
    """The way from parts of the library to themselves in other processes. Nothing raises for a lost broker."""

    @property
    def healthy(self) -> bool:
        """Whether messages reach the other processes, as far as this one knows."""
        ...

    @property
    def origins(self) -> frozenset[bytes]:
        """The random ids of the other processes that give signs of life."""
        ...

    def add(self, name: str, part: Part) -> None:
        """Have a part hear what the parts of this name in other processes tell."""
        ...

    def tell_room(self, room: str, part: str, body: bytes) -> None:
        """Tell a part in the processes that have members of a room."""
        ...

    def tell_all(self, part: str, body: bytes) -> None:
        """Tell a part in all other processes."""
        ...

    def tell(self, origin: bytes, part: str, body: bytes) -> None:
        """Tell a part in one other process."""
        ...


class Part(Protocol):
    """A part of the library that talks to itself in other processes. Called on the event loop's thread; must not raise."""

    def received(self, origin: bytes, body: bytes) -> None:
        """The part has told something in another process."""
        ...

    def seen(self, origin: bytes) -> None:
        """A process gave a sign of life, the first one or the first after a silence."""
        ...

    def silent(self, origin: bytes) -> None:
        """A process gave no sign of life for some time."""
        ...

    def left(self, origin: bytes) -> None:
        """A process said that it stops."""
        ...

    def up(self) -> None:
        """The broker is back, or something may not have arrived."""
        ...


class LocalHub(Protocol):
    """What a bus asks of this process, always on the event loop's thread."""

    def deliver(self, audience: Audience, message: Prepared) -> None:
        """Deliver to this process's connections of the audience, and to nobody else."""
        ...

    def close_local(self, audience: Audience, code: int, reason: str, given: float) -> None:
        """Close this process's connections of the audience that were opened before ``given`` (:func:`time.monotonic`)."""
        ...

    def move_local(self, audience: Audience, room: str, *, joins: bool) -> None:
        """Have this process's connections of the audience join or leave a room."""
        ...

    def count_local(self, audience: Audience) -> int:
        """How many of this process's connections are in the audience."""
        ...


class Observer(Protocol):
    """A part of the library that follows connections. Called on the event loop's thread; must not raise."""

    def admitted(self, connection: Connection) -> None:
        """A connection has passed all gates: broadcasts reach it from now on. Its handler has not been called yet."""
        ...

    def ended(self, connection: Connection, code: int, reason: str) -> None:
        """An admitted connection has ended, before its close listeners are told.

        It is in no room any more; ``connection.memberships`` still names the rooms that it was in.
        """
        ...
