"""The connections of this process to one Redis server: one publishes, one is subscribed to channels."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import MovedError, RedisError, ResponseError

from odac.brokers.reconnecting import CONNECT_TIMEOUT, first_to_end
from odac.brokers.send_queue import Queue, Queued
from odac.errors import ConfigurationError

__all__ = ["RedisLink", "connections", "opened"]

SUBSCRIBE_AT_ONCE: Final = 500


def connections(url: str, scheme: str) -> ConnectionPool:
    """Return a pool that makes connections for a URL; none is opened.

    Raises:
        ConfigurationError: redis-py does not accept the URL.
    """
    try:
        pool = ConnectionPool.from_url(url, protocol=2)
        if int(pool.connection_kwargs.get("protocol", 2)) != 2:
            raise ValueError("leave protocol out: this broker uses RESP 2")
        # The URL's options must not change what this module relies on: errors end the session, and reading has no time
        # limit.
        pool.connection_kwargs.update(
            decode_responses=False,
            health_check_interval=0,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=None,
        )
        if "path" not in pool.connection_kwargs:
            pool.connection_kwargs.setdefault("socket_keepalive", True)
        _make(pool)
    except (TypeError, ValueError, RedisError) as error:
        # redis-py's message names the option that is wrong, and does not show the URL.
        raise ConfigurationError(f"redis-py does not accept the options of the {scheme}:// URL: {error}") from None
    return pool


def _make(pool: ConnectionPool) -> AbstractConnection:
    connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
    return connection


@asynccontextmanager
async def opened(pool: ConnectionPool) -> AsyncIterator[AbstractConnection]:
    """Open one connection, and close it afterwards."""
    connection = _make(pool)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await connection.connect()  # type: ignore[no-untyped-call]
        yield connection
    finally:
        await connection.disconnect(nowait=True)


class RedisLink:
    """One server, until one of the two connections to it ends.

    Args:
        pool: makes the connections.
        deliver: called with the channel and the bytes of each payload that arrives.
        refused: called with a payload that the server did not publish, and with its error; may raise to end the link.
        moved: called when the server ended a subscription by itself; may raise to end the link.
        queue: the payloads to publish.
        sharded: use the commands of sharded pub/sub.

    Attributes:
        queue: as given.
        ready: set once everything first asked for is subscribed to.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        deliver: Callable[[str, bytes], None],
        refused: Callable[[Queued, Exception], None],
        moved: Callable[[], None],
        queue: Queue,
        *,
        sharded: bool,
    ) -> None:
        self.queue = queue
        self.ready = asyncio.Event()
        self._pool = pool
        self._deliver = deliver
        self._refused = refused
        self._moved = moved
        prefix = "S" if sharded else ""
        self._publish, self._subscribe, self._unsubscribe = (
            f"{prefix}PUBLISH",
            f"{prefix}SUBSCRIBE",
            f"{prefix}UNSUBSCRIBE",
        )
        # A command of sharded pub/sub must name channels of a single slot.
        self._at_once = 1 if sharded else SUBSCRIBE_AT_ONCE
        self._message = f"{prefix}message".lower().encode()
        self._subscribed: set[str] = set()
        self._commands: list[tuple[str, ...]] = []
        self._work = asyncio.Event()
        self._unacknowledged = 0
        # Unsubscribe requests without an acknowledgement so far. An acknowledgement without a request means that the
        # server ended the subscription.
        self._leaving: Counter[str] = Counter()

    def subscribe(self, channels: Iterable[str]) -> None:
        """Subscribe to these channels as well; one that is subscribed to already is left as it is."""
        new = [channel for channel in channels if channel not in self._subscribed]
        self._subscribed.update(new)
        self._unacknowledged += len(new)
        self._command(self._subscribe, new)

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """Unsubscribe from these channels."""
        old = [channel for channel in channels if channel in self._subscribed]
        self._subscribed.difference_update(old)
        self._leaving.update(old)
        self._command(self._unsubscribe, old)

    def listen_to(self, channels: set[str]) -> None:
        """Subscribe to these channels and to no others."""
        self.unsubscribe(self._subscribed - channels)
        self.subscribe(channels)

    async def run(self) -> None:
        """Publish and receive until a connection breaks; its error is raised."""
        async with opened(self._pool) as connection:
            if not self._subscribed:
                self.ready.set()
            await first_to_end(self._send(connection), self._read_replies(connection), self._listen())

    def _command(self, command: str, channels: list[str]) -> None:
        for start in range(0, len(channels), self._at_once):
            self._commands.append((command, *channels[start : start + self._at_once]))
        if self._commands:
            self._work.set()

    async def _send(self, connection: AbstractConnection) -> None:
        while True:
            taken = await self.queue.take()
            packed = connection.pack_commands([(self._publish, each.channel, each.payload) for each in taken])
            await connection.send_packed_command(packed, check_health=False)

    async def _read_replies(self, connection: AbstractConnection) -> None:
        while True:
            try:
                await connection.read_response()
            except ResponseError as error:
                self._refused(self.queue.refuse(error), error)
            else:
                self.queue.confirm()

    async def _listen(self) -> None:
        # A process that only publishes needs no second connection.
        await self._work.wait()
        async with opened(self._pool) as connection:
            await first_to_end(self._change_subscriptions(connection), self._read_messages(connection))

    async def _change_subscriptions(self, connection: AbstractConnection) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            commands, self._commands = self._commands, []
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)

    async def _read_messages(self, connection: AbstractConnection) -> None:
        while True:
            try:
                reply: Any = await connection.read_response()
            except MovedError as error:
                # The answer to a subscription that was sent too late: another node owns the slot with its channels now.
                moved = [channel for channel in self._subscribed if key_slot(channel.encode()) == error.slot_id]
                self._subscribed.difference_update(moved)
                self._acknowledged()
                self._moved()
                continue
            kind = reply[0]
            if kind == self._message:
                self._deliver(reply[1].decode(), reply[2])
            elif kind.endswith(b"unsubscribe"):
                self._left((reply[1] or b"").decode())
            else:
                self._acknowledged()

    def _acknowledged(self) -> None:
        self._unacknowledged -= 1
        if self._unacknowledged == 0:
            self.ready.set()

    def _left(self, channel: str) -> None:
        if self._leaving[channel] > 1:
            self._leaving[channel] -= 1
        elif self._leaving.pop(channel, 0) == 0:
            self._subscribed.discard(channel)
            self._moved()
