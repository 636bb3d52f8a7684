"""Brokers whose servers confirm nothing by themselves."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from odac.brokers.reconnecting import ReconnectingBroker
from odac.brokers.url import BrokerURL
from odac.errors import BrokerError

__all__ = ["CONFIRM_TIMEOUT", "EchoConfirmedBroker", "SendPayload"]

CONFIRM_TIMEOUT: Final = 10.0
CONFIRM_PAUSE: Final = 0.05
"""Seconds between two markers while no caller awaits a confirmation."""

SendPayload = Callable[[str, bytes], Awaitable[None]]
"""Passes a channel and a payload to the client library."""


class EchoConfirmedBroker(ReconnectingBroker):
    """A broker whose server confirms nothing: this process sends a marker to itself, and when the marker comes back,
    everything that was sent before it is confirmed.

    At most one marker is pending, and none while nothing is sent.

    Args:
        url: the broker's URL.
    """

    def __init__(self, url: BrokerURL) -> None:
        super().__init__(url)
        self._marker = f"{url.namespace}.marker.{secrets.token_hex(16)}"
        self._handed_over = 0
        self._handed = asyncio.Event()
        self._returned = asyncio.Event()

    def _received(self, channel: str, payload: bytes) -> None:
        if channel == self._marker:
            self._returned.set()
        else:
            self._arrived(channel, payload)

    async def _send(self, send: SendPayload) -> None:
        self._handed_over = 0
        while True:
            for queued in await self._queue.take():
                await send(queued.channel, queued.payload)
                self._handed_over += 1
            self._handed.set()

    async def _confirm(self, send: SendPayload) -> None:
        while True:
            await self._handed.wait()
            self._handed.clear()
            count, self._handed_over = self._handed_over, 0
            await self._round_trip(send)
            self._queue.confirm(count)
            try:
                async with asyncio.timeout(CONFIRM_PAUSE):
                    await self._queue.hurry.wait()
                    self._queue.hurry.clear()
            except TimeoutError:
                pass

    async def _round_trip(self, send: SendPayload) -> None:
        """Send a marker, and return when it has come back."""
        self._returned.clear()
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT):
                await send(self._marker, b"")
                await self._returned.wait()
        except TimeoutError:
            raise BrokerError(f"no answer within {CONFIRM_TIMEOUT:g} s") from None
