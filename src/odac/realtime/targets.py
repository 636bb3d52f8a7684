"""The result of ``to(…)`` and ``user(…)``, which sends to an audience and closes and moves its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from odac.close_codes import CloseCode
from odac.protocol.codec import encode, encode_binary
from odac.realtime.audience import Audience, check_room
from odac.wire.frames import check_close

if TYPE_CHECKING:
    from odac.realtime.ports import Count, Sender
    from odac.realtime.sent import Sent

__all__ = ["Target"]


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


class Target:
    """The connections of some rooms or of a user, narrowed by :meth:`excluding` and :meth:`within`.

    All methods take effect on all processes, and may be called from any thread.
    """

    __slots__ = ("_audience", "_hub")

    def __init__(self, hub: Sender, audience: Audience) -> None:
        self._hub = hub
        self._audience = audience

    def excluding(self, *connections: _HasId | str) -> Target:
        """Leave out these connections, or the connections with these ids (on whatever machine they are).

        Raises:
            TypeError: one is neither a connection nor its id.
        """
        ids: list[Any] = [getattr(connection, "id", connection) for connection in connections]
        return Target(self._hub, self._audience.without(*ids))

    def within(self, *rooms: str) -> Target:
        """Keep only the connections that are members of these rooms as well.

        Raises:
            ValueError: a name is not allowed.
        """
        return Target(self._hub, self._audience.narrowed(*rooms))

    def send(self, data: object, keep: bool = True) -> Sent:
        """Send data to all of them, encoded as by ``odac.ws.send``.

        Args:
            data: what to send.
            keep: whether it goes into the history of the room, if that has one; with False it is sent as to any room,
                and clients that are disconnected miss it.

        Returns:
            An object that need not be awaited. If the room has history, awaiting it waits until the broker has
            confirmed the message, and raises :exc:`odac.BrokerError` if it is unknown whether the broker has it.
            Without history, awaiting it does not wait for readers: among many, one is always slow.

        Raises:
            TypeError: ``data`` cannot be encoded.
            ValueError: it is to be kept, and is for several rooms, or narrowed by :meth:`within`.
        """
        return self._hub.send(self._audience, encode(data), keep)

    def send_binary(self, data: Any, keep: bool = True) -> Sent:
        """Send to them any bytes-like object as a binary message; see :meth:`send`.

        Raises:
            TypeError: ``data`` has no buffer.
            ValueError: see :meth:`send`.
        """
        return self._hub.send(self._audience, encode_binary(data), keep)

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close these connections. Connections that are opened later stay open, even if the order arrives later.

        Raises:
            ValueError: the code may not be sent, or the reason is over 123 UTF-8 bytes (RFC 6455, 7.4 and 5.5).
        """
        check_close(code, reason)
        self._hub.orders.close(self._audience, code, reason)

    def join(self, room: str) -> None:
        """Make them join a room. A connection that is in ``Limits.rooms_per_connection`` rooms does not join; that is
        logged.

        Raises:
            ValueError: the name is not allowed.
        """
        self._hub.orders.move(self._audience, check_room(room), joins=True)

    def leave(self, room: str) -> None:
        """Make them leave a room; those that are not in it are unchanged.

        Raises:
            ValueError: the name is not allowed.
        """
        self._hub.orders.move(self._audience, check_room(room), joins=False)

    async def count(self, *, timeout: float = 1.0) -> Count:  # noqa: ASYNC109 - the wait is part of the contract
        """How many connections they are; see :meth:`odac.realtime.ws_server.WsServer.count`."""
        return await self._hub.orders.count(self._audience, timeout)
