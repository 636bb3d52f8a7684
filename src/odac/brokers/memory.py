"""A broker within one process: for tests, and for several apps in one process."""

from __future__ import annotations

import asyncio
from typing import Final

from odac.brokers.base import MAX_PAYLOAD, Broker, Receiver

__all__ = ["MemoryBroker", "publish_to_exchange"]

_exchanges: Final[dict[str, list[MemoryBroker]]] = {}


def publish_to_exchange(name: str, channel: str, payload: bytes) -> None:
    """Hand a payload to the brokers of one name that listen to a channel; from any thread."""
    for broker in _exchanges.get(name, ()):
        if channel in broker._channels and broker._loop is not None:
            try:
                broker._loop.call_soon_threadsafe(broker._arrived, channel, payload)
            except RuntimeError:  # that loop has been closed without stop()
                continue


class MemoryBroker(Broker):
    """Connects the apps of one process that use the same name, on one event loop or on several.

    Args:
        name: the apps that use the same one are connected.
    """

    max_message = MAX_PAYLOAD

    def __init__(self, name: str) -> None:
        self.address = f"memory://{name}"
        self._name = name
        self._channels: set[str] = set()
        self._receiver: Receiver | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def connected(self) -> bool:
        """See :class:`odac.brokers.base.Broker`."""
        return self._receiver is not None

    async def start(self, receiver: Receiver) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        self._loop = asyncio.get_running_loop()
        self._receiver = receiver
        # A list is replaced and never changed, because publishers on other threads iterate over it.
        _exchanges[self._name] = [*_exchanges.get(self._name, ()), self]
        receiver.on_up()

    async def stop(self) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        self._receiver = None
        rest = [broker for broker in _exchanges.get(self._name, ()) if broker is not self]
        if rest:
            _exchanges[self._name] = rest
        else:
            _exchanges.pop(self._name, None)

    def publish(self, channel: str, payload: bytes, messages: int = 1) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        publish_to_exchange(self._name, channel, payload)

    def subscribe(self, channel: str) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        self._channels.add(channel)

    def unsubscribe(self, channel: str) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        self._channels.discard(channel)

    def reconnect(self, reason: str) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        if self._receiver is not None:
            self._receiver.on_down(reason)
            self._receiver.on_up()

    async def flush(self) -> None:
        """See :class:`odac.brokers.base.Confirming`. What was published is with the others already."""

    async def deliver(self, channel: str, payload: bytes) -> None:
        """See :class:`odac.brokers.base.Confirming`."""
        self.publish(channel, payload)

    def _arrived(self, channel: str, payload: bytes) -> None:
        if self._receiver is not None and channel in self._channels:
            self._receiver.on_message(channel, payload)
