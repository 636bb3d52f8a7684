"""NATS core."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error

from odac.brokers.envelope import MAX_ENVELOPE
from odac.brokers.marked import CONFIRM_TIMEOUT, MarkedBroker
from odac.brokers.session import CONNECT_TIMEOUT, first_to_end
from odac.brokers.url import BrokerURL
from odac.errors import BrokerError, ConfigurationError

__all__ = ["NatsBroker"]

CLOSE_TIMEOUT: Final = 1.0
PENDING_BYTES: Final = 1024 * 1024


class _Sink(asyncio.Future[Msg]):
    """Stands where a subscription keeps the future of its single answer, and takes every message instead, at once.

    With a callback, nats-py runs a task and a queue of half a million messages for each subscription: a room would cost
    a task, and messages to two rooms would overtake each other.
    """

    def __init__(self, arrived: Callable[[str, bytes], None]) -> None:
        super().__init__()
        self._arrived = arrived

    def set_result(self, result: Msg) -> None:
        """Hand a message on."""
        self._arrived(result.subject, result.data)


class NatsBroker(MarkedBroker):
    """``nats://host:port,host:port``, and ``tls://`` for TLS.

    nats-py's own reconnecting is turned off: it would send what it kept meanwhile after newer messages of others, and
    its read loop ends silently after an error it does not know.

    Args:
        url: of one server, or of several of a cluster.

    Raises:
        ConfigurationError: the URL has options, which NATS has none of.
    """

    def __init__(self, url: BrokerURL) -> None:
        super().__init__(url)
        scheme, _, rest = url.url.partition("://")
        if "?" in rest or url.path.strip("/"):
            raise ConfigurationError(f"{scheme}:// URLs have no path and, but for namespace, no options")
        credentials, _, hosts = rest.rstrip("/").rpartition("@")
        # nats-py takes a URL's user and password as they are written, so they are taken out and decoded here.
        user, colon, password = credentials.partition(":")
        self._user = unquote(user) if colon else None
        self._password = unquote(password) if colon else None
        self._token = unquote(user) if user and not colon else None
        if "@" in credentials:
            raise ConfigurationError(
                f"{scheme}:// URLs have one user and password for all servers: {scheme}://user:password@host,host"
            )
        self._servers = [f"{scheme}://{host}" for host in hosts.split(",")]
        self._subscriptions: dict[str, Subscription] = {}
        self._last_error: Exception | None = None

    async def _session(self) -> None:
        self._last_error = None
        closed = asyncio.Event()
        sink = _Sink(self._received)
        client = Client()

        async def on_closed() -> None:
            closed.set()

        try:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await client.connect(
                        self._servers,
                        allow_reconnect=False,
                        closed_cb=on_closed,
                        connect_timeout=2,
                        error_cb=self._on_error,
                        flush_timeout=CONFIRM_TIMEOUT,
                        max_reconnect_attempts=1,
                        name=f"odac {self._url.namespace}",
                        pending_size=PENDING_BYTES,
                        ping_interval=20,
                        reconnect_time_wait=0,
                        user=self._user,
                        password=self._password,
                        token=self._token,
                    )
            except (Error, OSError, TimeoutError) as error:
                raise BrokerError(str(self._last_error or error) or "no answer") from None
            self.max_message = min(MAX_ENVELOPE, client.max_payload)
            self._subscriptions.clear()
            self._changed.clear()
            for channel in (*self._wanted, self._marker):
                self._subscriptions[channel] = await client.subscribe(channel, future=sink)
            await first_to_end(self._ended(closed, client), self._live(client, sink))
        finally:
            await _close(client)
            sink.cancel()

    async def _ended(self, closed: asyncio.Event, client: Client) -> None:
        await closed.wait()
        raise BrokerError(str(client.last_error or self._last_error or "the connection ended"))

    async def _live(self, client: Client, sink: _Sink) -> None:
        await self._round_trip(client.publish)
        self._opened()
        await first_to_end(self._send(client.publish), self._confirm(client.publish), self._follow(client, sink))

    async def _follow(self, client: Client, sink: _Sink) -> None:
        while True:
            subscribe, unsubscribe = await self._next_changes()
            for channel in unsubscribe:
                subscription = self._subscriptions.pop(channel, None)
                if subscription is not None:
                    await subscription.unsubscribe()
            for channel in subscribe:
                if channel not in self._subscriptions:
                    self._subscriptions[channel] = await client.subscribe(channel, future=sink)

    async def _on_error(self, error: Exception) -> None:
        self._last_error = error
        if "permissions violation" in str(error).lower():
            self._dropped(1, str(error))


async def _close(client: Client) -> None:
    # close() waits for what is still to be sent, which a server that stands still never takes.
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await client.close()
    except TimeoutError:
        # nats-py has no way to give up. Without this the socket would stay open until the server moves again.
        writer = getattr(getattr(client, "_transport", None), "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
