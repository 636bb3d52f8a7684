"""The interface of a broker: a small class that carries bytes from one process to the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, Protocol, runtime_checkable

__all__ = ["MAX_PAYLOAD", "Broker", "Confirming", "Receiver"]

MAX_PAYLOAD: Final = 4 * 1024 * 1024
"""Bytes of the largest payload that any broker carries. Four times the largest message a client may send by default."""


class Receiver(Protocol):
    """The methods that a broker calls, always on the event loop's thread. They must not raise."""

    def on_message(self, channel: str, payload: bytes) -> None:
        """A payload has arrived on a channel that this process subscribed to, which may be one of its own."""
        ...

    def on_up(self) -> None:
        """The connection is open and every channel is subscribed to."""
        ...

    def on_down(self, reason: str) -> None:
        """The connection is lost; the broker connects again by itself."""
        ...

    def on_gap(self) -> None:
        """Some subscriptions were interrupted for a moment and are restored: messages may have been missed."""
        ...

    def on_dropped(self, messages: int, reason: str) -> None:
        """So many messages could not be published and are lost."""
        ...


class Broker(ABC):
    """Carries payloads between processes: at most once, and those of one process arrive in the order of publication.

    All methods are called on the event loop's thread. ``address`` is for log lines and never contains a password.
    """

    address: str
    max_message: int
    """Bytes of the largest payload that the broker carries."""
    drops_silently: bool = False
    """Whether the broker drops payloads for a process that reads too slowly without closing its connection."""

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether a payload that is published now can be sent."""

    @abstractmethod
    async def start(self, receiver: Receiver) -> None:
        """Begin to connect, and return at once: connecting to an unreachable server is retried.

        Raises:
            ConfigurationError: no server could accept this configuration; the message names the fix.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Send what is queued, within a second or so, and release everything."""

    @abstractmethod
    def publish(self, channel: str, payload: bytes, messages: int = 1) -> None:
        """Queue a payload and return at once; a payload that cannot be sent is reported to ``on_dropped``.

        Args:
            channel: ASCII without spaces, see :mod:`odac.cluster.channels`.
            payload: at most ``max_message`` bytes.
            messages: how many messages it contains, so that losses are counted in messages.
        """

    @abstractmethod
    def subscribe(self, channel: str) -> None:
        """Subscribe to a channel, now and after every reconnect; a second call for the same channel changes nothing."""

    @abstractmethod
    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe; a channel that was never subscribed to is no error."""

    @abstractmethod
    def reconnect(self, reason: str) -> None:
        """Replace a connection that seems open but carries nothing by a new one with every subscription."""


@runtime_checkable
class Confirming(Protocol):
    """A broker that confirms what was published, for programs that end right after they have published."""

    async def flush(self) -> None:
        """Return once the server has confirmed everything published so far.

        Raises:
            BrokerError: some of it is lost.
        """
        ...

    async def deliver(self, channel: str, payload: bytes) -> None:
        """Publish one payload, and return once the server has confirmed it.

        Raises:
            BrokerError: this payload is lost, or was refused.
        """
        ...
