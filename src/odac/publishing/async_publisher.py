"""Sends to an app's clients from outside of its processes, for asyncio."""

from __future__ import annotations

from typing import Any, Final, Self

from odac.brokers.registry import make_broker
from odac.close_codes import CloseCode
from odac.cluster.envelope import Close, Move, RoomMessage, Unkept
from odac.publishing.connection import PublisherConnection
from odac.publishing.kept import KeptRooms
from odac.publishing.publication import binary_message, checked_url, closing, message, moving
from odac.realtime.audience import EVERYONE, Audience, check_user_id

__all__ = ["DEFAULT_TIMEOUT", "AsyncPublisher", "AsyncTarget"]


DEFAULT_TIMEOUT: Final = 5.0


class AsyncPublisher:
    """Sends to an app's clients from outside of its processes, for asyncio.

    ::

        async with odac.AsyncPublisher("redis://localhost") as publisher:
            await publisher.to_room("news", {"text": "hello"})

    Sending returns when the broker has confirmed the message. How many clients it reaches is not known then.

    Args:
        url: the app's broker; default: ``$ODAC_BROKER``.
        timeout: seconds for which one call may wait, for the connection and for the broker's confirmation together.
            Once a call has waited that long in vain, further calls fail at once until the connection is back, which
            is tried again in the background.

    Raises:
        BrokerNotConfigured: there is no URL, or it is ``memory://``, which reaches no other process.
        ConfigurationError: the URL is malformed or its client library is not installed.
    """

    def __init__(self, url: str | None = None, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._url = checked_url(url)
        self._timeout = timeout
        make_broker(self._url)  # so that a wrong URL or a missing library is found now
        self._connection: PublisherConnection | None = None
        self._kept: KeptRooms | None = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def to(self, *rooms: str) -> AsyncTarget:
        """Everyone in any of these rooms, once each.

        Raises:
            ValueError: no room is named, or a name is not allowed.
        """
        return AsyncTarget(self, Audience.of(*rooms))

    def user(self, user_id: object) -> AsyncTarget:
        """Every connection that authenticated as this user.

        Args:
            user_id: what identifies the user in the app, such as ``user.pk``: a str, an int or a UUID.

        Raises:
            TypeError: it is a user, None, or something else that is no id.
            ValueError: it is empty.
        """
        return AsyncTarget(self, Audience.of_user(check_user_id(user_id)))

    async def to_room(self, room: str, data: object, keep: bool = True) -> None:
        """Send to a room; see :meth:`AsyncTarget.send`."""
        await self.to(room).send(data, keep)

    async def broadcast(self, data: object) -> None:
        """Send to all clients; see :meth:`AsyncTarget.send`."""
        await AsyncTarget(self, EVERYONE).send(data)

    async def connect(self) -> None:
        """Connect now rather than with the first message.

        Raises:
            BrokerError: the broker cannot be reached in time.
        """
        await self._connected().until_up()

    async def close(self) -> None:
        """Disconnect. What was sent is with the broker already."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.stop()
        if self._kept is not None:
            kept, self._kept = self._kept, None
            await kept.stop()

    def _connected(self) -> PublisherConnection:
        if self._connection is None:
            self._connection = PublisherConnection(self._url, self._timeout)
        return self._connection

    async def _send(self, item: RoomMessage, keep: bool) -> None:
        if self._kept is None:
            self._kept = KeptRooms(self._url, self._timeout)
        left = await self._kept.takes(item, keep)
        if left is not None:
            await self._publish(left)

    async def _publish(self, item: RoomMessage | Unkept | Close | Move) -> None:
        await self._connected().publish(item)


class AsyncTarget:
    """The connections of some rooms or of a user, made fewer by :meth:`excluding` and :meth:`within`."""

    __slots__ = ("_audience", "_publisher")

    def __init__(self, publisher: AsyncPublisher, audience: Audience) -> None:
        self._publisher = publisher
        self._audience = audience

    def excluding(self, *ids: str) -> AsyncTarget:
        """Leave out the connections with these ids."""
        return AsyncTarget(self._publisher, self._audience.without(*ids))

    def within(self, *rooms: str) -> AsyncTarget:
        """Keep only the connections that are members of these rooms as well.

        Raises:
            ValueError: a name is not allowed.
        """
        return AsyncTarget(self._publisher, self._audience.narrowed(*rooms))

    async def send(self, data: object, keep: bool = True) -> None:
        """Send to them what ``odac.ws.send`` would send to one; return when the broker has it.

        Args:
            data: what to send.
            keep: whether it goes into the room's history, if the room has one: the app has written its rules into the
                broker.

        Raises:
            TypeError: ``data`` cannot be encoded.
            ValueError: it is to be kept, and is for several rooms of which one has history.
            BrokerError: the broker did not take it in time.
        """
        await self._publisher._send(message(self._audience, data), keep)

    async def send_binary(self, data: Any, keep: bool = True) -> None:
        """Send to them any bytes-like object as a binary message; see :meth:`send`.

        Raises:
            TypeError: ``data`` has no buffer.
            BrokerError: the broker did not take it in time.
        """
        await self._publisher._send(binary_message(self._audience, data), keep)

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close their connections.

        Raises:
            ValueError: the code may not be sent, or the reason is over 123 UTF-8 bytes.
            BrokerError: the broker did not take it in time.
        """
        await self._publisher._publish(closing(self._audience, code, reason))

    async def join(self, room: str) -> None:
        """Have them join a room; see :meth:`odac.realtime.targets.Target.join`.

        Raises:
            ValueError: the name is not allowed.
            BrokerError: the broker did not take it in time.
        """
        await self._publisher._publish(moving(self._audience, room, joins=True))

    async def leave(self, room: str) -> None:
        """Have them leave a room.

        Raises:
            ValueError: the name is not allowed.
            BrokerError: the broker did not take it in time.
        """
        await self._publisher._publish(moving(self._audience, room, joins=False))
