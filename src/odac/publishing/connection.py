"""A publisher's connection to the broker, which waits for the broker's confirmation of each message."""

from __future__ import annotations

import asyncio
import secrets
import time

from odac.brokers.base import MAX_PAYLOAD, Broker, Confirming
from odac.brokers.registry import make_broker
from odac.brokers.url import parse_url
from odac.cluster.channels import Channels
from odac.cluster.close_order_exchange import copies_of
from odac.cluster.envelope import ORIGIN_BYTES, VERSION, Close, Envelope, Item, Move, RoomMessage, Unkept, encode
from odac.cluster.outgoing import OVERHEAD, channels_of, large_payloads, size_of
from odac.cluster.sequence import Numbers
from odac.errors import BrokerError

__all__ = ["PublisherConnection"]


class PublisherConnection:
    """Connects with the first message, and again whenever the connection is lost.

    Args:
        url: the app's broker.
        timeout: seconds that one message may take, connecting included.

    Raises:
        ConfigurationError: the URL is malformed or its client library is not installed.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._broker: Broker = make_broker(url)
        self._channels = Channels(parse_url(url).namespace)
        self._timeout = timeout
        self._origin = secrets.token_bytes(ORIGIN_BYTES)
        self._sequence = 0
        self._numbers = Numbers()
        self._up = asyncio.Event()
        self._started: asyncio.Task[None] | None = None
        self._reason = ""
        self._given_up = False  # a call has timed out since the connection was last opened

    async def stop(self) -> None:
        """Disconnect."""
        await self._broker.stop()

    async def wait_connected(self) -> None:
        """Wait for the connection.

        Raises:
            BrokerError: the connection is not open in time, or an earlier call has timed out.
        """
        if self._started is None:
            self._started = asyncio.get_running_loop().create_task(self._broker.start(self))
        await self._started
        if self._given_up and not self._up.is_set():
            raise self._failed("trying to connect again in the background")
        try:
            async with asyncio.timeout(self._timeout):
                await self._up.wait()
        except TimeoutError:
            self._given_up = True
            raise self._failed(f"no connection within {self._timeout:g} s") from None

    async def publish(self, item: RoomMessage | Unkept | Close | Move) -> None:
        """Send, and return when the broker has confirmed it.

        Raises:
            BrokerError: the message is too large, or the broker did not confirm it in time; it may have it all the
                same.
        """
        started_at = time.monotonic()
        if size_of(item) > MAX_PAYLOAD - OVERHEAD:
            raise BrokerError(
                f"a message of {size_of(item)} bytes is too large: brokers carry at most {MAX_PAYLOAD - OVERHEAD}"
            )
        await self.wait_connected()
        assert isinstance(self._broker, Confirming)  # all of them are
        try:
            async with asyncio.timeout(max(0.0, self._timeout - (time.monotonic() - started_at))):
                await self._deliver(self._broker, item)
        except TimeoutError:
            self._given_up = True
            self._up.clear()
            # Nothing else would detect a connection that is open and carries no data.
            self._broker.reconnect(f"no confirmation within {self._timeout:g} s")
            raise self._failed(f"no confirmation within {self._timeout:g} s") from None

    async def _deliver(self, broker: Confirming, item: RoomMessage | Unkept | Close | Move) -> None:
        if isinstance(item, Close):
            payloads = []
            for channels, copy in copies_of(self._channels, item):
                payloads += self._payloads(channels, copy)
        else:
            payloads = self._payloads(channels_of(self._channels, item.audience), item)
        results = await asyncio.gather(
            *(broker.deliver(channel, payload) for channel, payload in payloads), return_exceptions=True
        )
        for error in results:
            if error is not None:
                raise error

    def _payloads(self, channels: tuple[str, ...], item: Item) -> list[tuple[str, bytes]]:
        self._sequence += 1
        now = time.monotonic()
        payloads: list[tuple[str, bytes]] = []
        for channel in channels:
            number = self._numbers.take(channel, 1, now)
            if size_of(item) <= self._broker.max_message - OVERHEAD:
                shared = len(channels) > 1
                payloads.append(
                    (channel, encode(Envelope(VERSION, self._origin, self._sequence, number, shared, [item])))
                )
            else:
                payloads += [
                    (channel, payload)
                    for payload, _ in large_payloads(
                        self._origin, self._sequence, number, item, self._broker.max_message, channels
                    )
                ]
        return payloads

    def _failed(self, why: str) -> BrokerError:
        return BrokerError(f"{self._broker.address}: {self._reason or why}")

    # Called by the broker

    def on_message(self, channel: str, payload: bytes) -> None:
        """See :class:`odac.brokers.base.Receiver`. A publisher subscribes to nothing."""

    def on_up(self) -> None:
        """See :class:`odac.brokers.base.Receiver`."""
        self._given_up = False
        self._reason = ""
        self._up.set()

    def on_down(self, reason: str) -> None:
        """See :class:`odac.brokers.base.Receiver`."""
        self._up.clear()
        self._reason = reason

    def on_gap(self) -> None:
        """See :class:`odac.brokers.base.Receiver`. A publisher subscribes to nothing."""

    def on_dropped(self, messages: int, reason: str) -> None:
        """See :class:`odac.brokers.base.Receiver`. Each call gets the result of its message: ``Confirming.deliver``."""
