"""The clients that are connected to this process, and the positions that each sent when it reconnected."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from odac.config import Limits
from odac.history.position import Client, Identity, Position

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["Budgets", "Visit", "Visits", "next_client"]


class Visit:
    """A client on one of its connections.

    Attributes:
        client: its name, and the generation of this connection.
        identity: the session and user that the name is bound to.
        positions: the positions that it sent, by the room's name (None: its user's inbox); each is valid for one join.
        left: the number of entries that this connection may still recover.
    """

    __slots__ = ("client", "identity", "left", "positions")

    def __init__(self, client: Client, identity: Identity, left: int) -> None:
        self.client = client
        self.identity = identity
        self.positions: dict[str | None, Position] = {}
        self.left = left


class Budgets:
    """The number of entries that each session may still recover, which limits clients that reconnect in a loop.

    Args:
        limits: the burst, the rate and the number of sessions.
    """

    __slots__ = ("_left", "_limits")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, session: str, entries: int, now: float) -> bool:
        """Deduct so many entries; return False if fewer are left."""
        burst = float(self._limits.recovery_burst)
        left, then = self._left.pop(session, (burst, now))
        left = min(burst, left + (now - then) * self._limits.recovery_rate)
        enough = entries <= left
        self._left[session] = (left - entries if enough else left, now)
        if len(self._left) > self._limits.recovery_sessions:
            self._left.popitem(last=False)
        return enough


class Visits:
    """The clients of this process, by connection and by name.

    Args:
        limits: bound the entries that a connection and a session may recover.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_connection: dict[Connection, Visit] = {}
        self._by_name: dict[str, Connection] = {}
        self.budgets = Budgets(limits)

    def __len__(self) -> int:
        return len(self._by_connection)

    def of(self, connection: Connection) -> Visit | None:
        """The visit of a connection's client, or None."""
        return self._by_connection.get(connection)

    def connection_of(self, name: str) -> Connection | None:
        """The connection of a client."""
        return self._by_name.get(name)

    def enter(
        self, connection: Connection, client: Client, identity: Identity, positions: list[Position]
    ) -> Connection | None:
        """A client has connected; return its older connection to this process, if it has one."""
        visit = Visit(client, identity, self._limits.recovery_entries)
        visit.positions = {position.room: position for position in positions}
        self._by_connection[connection] = visit
        older = self._by_name.get(client.name)
        self._by_name[client.name] = connection
        return older if older is not connection else None

    def leave(self, connection: Connection) -> None:
        """A connection has ended."""
        visit = self._by_connection.pop(connection, None)
        if visit is not None and self._by_name.get(visit.client.name) is connection:
            del self._by_name[visit.client.name]


def next_client(known: Client) -> Client:
    """A client's next connection.

    Its generation is the time in nanoseconds, and greater than the previous one, so that two connections with one name
    differ even if they are opened to two processes at the same time.
    """
    return Client(known.name, max(known.generation + 1, time.time_ns()))
