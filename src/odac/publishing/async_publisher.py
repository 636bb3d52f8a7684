"""Sends to an app's clients from outside of its processes, for asyncio."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, Self

from odac.brokers.registry import make_broker
from odac.cluster.envelope import Close, Move, RoomMessage, Unkept
from odac.publishing.addressing import Addressing
from odac.publishing.connection import PublisherConnection
from odac.publishing.kept import KeptRooms
from odac.publishing.publication import checked_timeout, checked_url
from odac.spelling import check_fields

__all__ = ["DEFAULT_TIMEOUT", "AsyncPublisher"]


DEFAULT_TIMEOUT: Final = 5.0


@check_fields
class AsyncPublisher(Addressing[Coroutine[Any, Any, None]]):
    """Sends to an app's clients from outside of its processes, for asyncio.

    ::

        async with odac.AsyncPublisher("redis://localhost") as publisher:
            await publisher.to_room("news", {"text": "hello"})

    A call returns when the broker has confirmed the message; how many clients it reaches is not known.

    Args:
        url: the app's broker; default: ``$ODAC_BROKER``.
        timeout: seconds for which one call may wait, for the connection and for the broker's confirmation together.
            After a call that timed out, further calls fail at once until the connection, which is retried in the
            background, is open again.

    Raises:
        BrokerNotConfigured: there is no URL, or it is ``memory://``, which reaches no other process.
        ConfigurationError: the URL is malformed, its client library is not installed, or the timeout is not a number
            above 0.
    """

    def __init__(self, url: str | None = None, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._url = checked_url(url)
        self._timeout = checked_timeout(timeout)
        make_broker(self._url)  # so that a wrong URL or a missing library is found now
        self._connection: PublisherConnection | None = None
        self._kept: KeptRooms | None = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def connect(self) -> None:
        """Connect now and not with the first message.

        Raises:
            BrokerError: the broker cannot be reached in time.
        """
        await self._connected().wait_connected()

    async def close(self) -> None:
        """Disconnect. The broker has confirmed what was sent; a later message connects again."""
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
        left = await self._kept.send_if_kept(item, keep)
        if left is not None:
            await self._publish(left)

    async def _publish(self, item: RoomMessage | Unkept | Close | Move) -> None:
        await self._connected().publish(item)
