"""What a broker is: the small class that carries bytes from one process to the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, Protocol, runtime_checkable

__all__ = ["MAX_PAYLOAD", "Broker", "Flushable", "Receiver"]

MAX_PAYLOAD: Final = 4 * 1024 * 1024
"""Bytes of the largest payload that any broker carries. Four times the largest message a client may send by default."""


class Receiver(Protocol):
    """Who hears what a broker has to say, always on the event loop's thread. None of it may raise."""

    def on_message(self, channel: str, payload: bytes) -> None:
        """A payload has arrived on a channel this process subscribed to; its own payloads come back too."""
        ...

    def on_up(self) -> None:
        """The connection is there and every channel is subscribed to."""
        ...

    def on_down(self, reason: str) -> None:
        """The connection is lost; the broker goes on trying."""
        ...

    def on_dropped(self, messages: int, reason: str) -> None:
        """So many messages that were to be published will not arrive anywhere."""
        ...


class Broker(ABC):
    """Carries payloads between processes: at most once, and what one process publishes arrives in that order.

    All methods are called on the event loop's thread. An address never holds a password: it is for log lines.
    """

    address: str
    max_message: int
    """Bytes of the largest payload that the broker carries."""

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether a payload that is published now has a way to go."""

    @abstractmethod
    async def start(self, receiver: Receiver) -> None:
        """Begin to connect, and return at once: an unreachable server is tried again, not an error.

        Raises:
            ConfigurationError: no server would make this work; the message names the fix.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Send what is queued, as far as that takes a moment, and release everything."""

    @abstractmethod
    def publish(self, channel: str, payload: bytes, messages: int = 1) -> None:
        """Queue a payload and return at once; what cannot be sent is reported to ``on_dropped``.

        Args:
            channel: ASCII without spaces, see :mod:`odac.cluster.channels`.
            payload: at most ``max_message`` bytes.
            messages: how many messages it carries, for the count of what is lost.
        """

    @abstractmethod
    def subscribe(self, channel: str) -> None:
        """Ask for what is published on a channel, now and after every reconnect; twice is once."""

    @abstractmethod
    def unsubscribe(self, channel: str) -> None:
        """Ask no more; a channel never subscribed to is no error."""

    @abstractmethod
    def reconnect(self, reason: str) -> None:
        """Give up the connection, which looks alive and is not, and build a new one with every subscription."""


@runtime_checkable
class Flushable(Protocol):
    """A broker that can say when the server has what was published: for publishers that end right after."""

    async def flush(self) -> None:
        """Return once the server has taken everything published so far.

        Raises:
            BrokerError: it has not, and some of it is lost.
        """
        ...
