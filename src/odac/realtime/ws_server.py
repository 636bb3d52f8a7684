"""``app.route.ws_server``: all connections, for code outside of a handler."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any

from odac.protocol.codec import encode
from odac.realtime.audience import EVERYONE, Audience, check_room, check_user_id
from odac.realtime.connection import Connection
from odac.realtime.history import RoomHistory
from odac.realtime.hub import Hub
from odac.realtime.ports import Count, Members
from odac.realtime.receipts import HistoryEntry
from odac.realtime.sent import Sent
from odac.realtime.targets import Target

__all__ = ["WsServer"]


class WsServer:
    """All connections. Sending, closing and the properties work from any thread of the process.

    Args:
        hub: the hub with the connections.
        address: returns the text of a user's id, as the app identifies its users.
    """

    def __init__(self, hub: Hub, address: Callable[[Any], str] = check_user_id) -> None:
        self._hub = hub
        self._address = address

    @property
    def clients(self) -> Mapping[str, Connection]:
        """The open connections of this process by id: ``clients[id].send(data)`` reaches one, from any thread."""
        return _Clients(self._hub.connections)

    @property
    def client_count(self) -> int:
        """How many connections are open in this process."""
        return len(self._hub.connections)

    @property
    def healthy(self) -> bool:
        """Whether this process accepts connections and its messages reach the other processes."""
        return not self._hub.draining and self._hub.bus.healthy

    def to_room(self, room: str, data: object, keep: bool = True) -> Sent:
        """Send to everyone in a room, on all processes.

        Args:
            room: its name.
            data: what to send.
            keep: whether it goes into the room's history, if it has one.

        Returns:
            An object that need not be awaited. If the room has history, awaiting it waits until the broker has
            confirmed the message. Without history, awaiting it does not wait for readers: among many, one is always
            slow.

        Raises:
            TypeError: ``data`` cannot be encoded.
            ValueError: the name is not allowed.
        """
        return self._hub.send(Audience.of(room), encode(data), keep)

    def to(self, *rooms: str) -> Target:
        """Everyone in any of the rooms, once each: ``.send(data)``, ``.excluding(…)``, ``.within(…)``, ``.join(room)``
        and so on.
        """
        return Target(self._hub, Audience.of(*rooms))

    async def history(self, room: str, last: int | None = None, *, since: str | None = None) -> list[HistoryEntry]:
        """The messages that a room keeps, oldest first; from any event loop.

        Args:
            room: its name.
            last: return only so many of the last ones; by default all.
            since: the ``position`` of an entry: return only those after it.

        Raises:
            ValueError: the room has no history, or ``since`` is not a position.
            LookupError: some of the messages after ``since`` are no longer kept.
            BrokerError: the broker cannot be reached.
        """
        return await self._kept(room).history(room, last, since)

    async def forget(self, room: str) -> None:
        """Erase a room's history. Its members are notified that some messages are missing.

        Raises:
            ValueError: the room has no history.
            BrokerError: the broker cannot be reached.
        """
        await self._kept(room).forget(room)

    async def revoke(self, room: str, user_id: Any) -> None:
        """Make a user leave a room with history on all processes, and refuse the user recovery from it.

        Raises:
            ValueError: the room has no history.
            BrokerError: the broker cannot be reached.
        """
        await self._kept(room).revoke(room, self._address(user_id))

    def _kept(self, room: str) -> RoomHistory:
        if self._hub.history is None:
            raise ValueError(f"room {room!r} has no history: app.rooms({room!r}, history=History(…)) gives it one")
        return self._hub.history

    def broadcast(self, data: object) -> Sent:
        """Send to all clients, on all processes; see :meth:`to_room`.

        Raises:
            TypeError: ``data`` cannot be encoded.
        """
        return self._hub.send(EVERYONE, encode(data))

    def user(self, user: Any) -> Target:
        """All connections that authenticated as this user, on all processes.

        Args:
            user: the user's id, or a user object from which ``Odac(user_id=…)`` gets the id. Ids are compared as text:
                7 and ``"7"`` are the same.

        Raises:
            TypeError: it is None, or a user without an id.
            ValueError: the id is empty.
        """
        return Target(self._hub, Audience.of_user(self._address(user)))

    async def count(self, room: str | None = None, *, timeout: float = 1.0) -> Count:  # noqa: ASYNC109 - part of the contract
        """Count the connections on all processes, in a room or altogether.

        Args:
            room: its name, or None for all connections.
            timeout: seconds to wait for the other processes.

        Returns:
            ``Count(total, answered, expected)``: ``answered`` is less than ``expected`` if a process did not answer
            within ``timeout``.
        """
        return await self._hub.orders.count(EVERYONE if room is None else Audience.of(room), timeout)

    async def presence(self, room: str, *, timeout: float = 1.0) -> Members:  # noqa: ASYNC109 - part of the contract
        """Who is in a room, on all processes; from any event loop.

        Args:
            room: its name; ``app.rooms(…, presence=Presence())`` must name it.
            timeout: seconds to wait for processes whose people are not known here yet.

        Returns:
            ``Members(users, total, complete)``; not complete if a process did not answer or the broker is unreachable.

        Raises:
            ValueError: the room has no presence.
        """
        check_room(room)
        port, delivery = self._hub.presence, self._hub.delivery
        if port is None:
            raise ValueError(
                f"no room has presence: call app.rooms({room!r}, presence=Presence()) before the app starts"
            )
        if get_ident() != delivery.thread:
            future = asyncio.run_coroutine_threadsafe(port.members(room, timeout), delivery.loop)
            return await asyncio.wrap_future(future)
        return await port.members(room, timeout)


class _Clients(Mapping[str, Connection]):
    """A live view of the connections; iterating goes over a snapshot of them."""

    __slots__ = ("_now",)

    def __init__(self, now: dict[str, Connection]) -> None:
        self._now = now

    def __getitem__(self, id: str) -> Connection:  # noqa: A002 - what it is
        return self._now[id]

    def __len__(self) -> int:
        return len(self._now)

    def __iter__(self) -> Iterator[str]:
        return iter(self._now.copy())

    def keys(self) -> KeysView[str]:
        return self._now.copy().keys()

    def values(self) -> ValuesView[Connection]:
        return self._now.copy().values()

    def items(self) -> ItemsView[str, Connection]:
        return self._now.copy().items()

    def __repr__(self) -> str:
        return f"<{len(self)} clients>"
