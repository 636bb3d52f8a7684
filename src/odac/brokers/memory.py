"""A broker within one process: for tests, and for several apps in one process."""

from __future__ import annotations

import asyncio
from typing import Final

from odac.brokers.base import MAX_PAYLOAD, Broker, Receiver
from odac.errors import BrokerError

__all__ = ["MemoryBroker", "is_away", "publish_to_exchange", "set_away"]

_exchanges: Final[dict[str, list[MemoryBroker]]] = {}
_away: Final[set[str]] = set()

AWAY: Final = "the test has lost the broker"


def set_away(name: str, away: bool) -> None:
    """Disconnect all apps from the broker of one name, or connect them again; from any thread.

    For the test client. Messages published meanwhile are dropped, as with a broker whose server is unreachable.
    """
    if (name in _away) is away:
        return
    (_away.add if away else _away.discard)(name)
    for broker in _exchanges.get(name, ()):
        if broker._loop is not None:
            broker._loop.call_soon_threadsafe(broker._away_changed, away)


def is_away(name: str) -> bool:
    """Whether the apps are disconnected from the broker of this name."""
    return name in _away


def publish_to_exchange(name: str, channel: str, payload: bytes) -> None:
    """Pass a payload to the brokers of one name that listen to a channel; from any thread."""
    if name in _away:
        return
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
        return self._receiver is not None and self._name not in _away

    async def start(self, receiver: Receiver) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        self._loop = asyncio.get_running_loop()
        self._receiver = receiver
        # A list is replaced and never changed, because publishers on other threads iterate over it.
        _exchanges[self._name] = [*_exchanges.get(self._name, ()), self]
        if self._name not in _away:
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
        if self._name in _away and self._receiver is not None:
            self._receiver.on_dropped(messages, AWAY)
        publish_to_exchange(self._name, channel, payload)

    def subscribe(self, channel: str) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        self._channels.add(channel)

    def unsubscribe(self, channel: str) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        self._channels.discard(channel)

    def reconnect(self, reason: str) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        if self.connected and self._receiver is not None:
            self._receiver.on_down(reason)
            self._receiver.on_up()

    async def flush(self) -> None:
        """See :class:`odac.brokers.base.Confirming`. Nothing is queued, so there is nothing to wait for."""
        if self._name in _away:
            raise BrokerError(f"{self.address}: {AWAY}")

    async def deliver(self, channel: str, payload: bytes) -> None:
        """See :class:`odac.brokers.base.Confirming`."""
        self.publish(channel, payload)
        await self.flush()

    def _away_changed(self, away: bool) -> None:
        if self._receiver is None:
            return
        if away:
            self._receiver.on_down(AWAY)
        else:
            self._receiver.on_up()

    def _arrived(self, channel: str, payload: bytes) -> None:
        if self._receiver is not None and channel in self._channels:
            self._receiver.on_message(channel, payload)
