"""A broker for the processes of one machine that needs no server: ZeroMQ over Unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

import zmq

from odac.brokers.echo_confirmed import EchoConfirmedBroker
from odac.brokers.local_paths import directory_of, distrusted
from odac.brokers.local_proxy import addresses, bound
from odac.brokers.reconnecting import first_to_end
from odac.brokers.url import BrokerURL
from odac.errors import BrokerError

__all__ = ["LocalBroker", "LoopSocket", "failure", "state_of"]

HELLO_TIMEOUT: Final = 2.0
LOOK_AGAIN: Final = 0.5
READ_AT_ONCE: Final = 512
_END: Final = b"\0"
"""The end of a topic: ZeroMQ matches prefixes, and no channel name contains this byte."""


class LocalBroker(EchoConfirmedBroker):
    """``local://name``, ``local:///directory``, or ``local://`` in a worker of ``odac run``.

    Args:
        url: see :func:`odac.brokers.local_paths.directory_of`.

    Raises:
        ConfigurationError: the proxy's directory is not known, or its path is too long.
    """

    drops_silently = True

    def __init__(self, url: BrokerURL) -> None:
        super().__init__(url)
        self._directory = directory_of(url)
        if url.address == "local://":
            self.address = f"local://{self._directory}"
        self._to_proxy, self._from_proxy = addresses(self._directory)

    async def _session(self) -> None:
        reason = distrusted(self._directory)
        if reason is not None:
            raise BrokerError(reason)
        with contextlib.ExitStack() as stack:
            context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            stack.callback(context.destroy, linger=0)
            publisher = _Publisher(context, self._to_proxy, self._marker)
            stack.callback(publisher.close)
            subscriber = _Subscriber(context, self._from_proxy, self._received)
            stack.callback(subscriber.close)
            self._changed.clear()
            for channel in (*self._wanted, self._marker):
                subscriber.subscribe(channel)
            await first_to_end(failure(publisher), failure(subscriber), self._live(publisher, subscriber))

    async def _live(self, publisher: _Publisher, subscriber: _Subscriber) -> None:
        # The proxy forwards subscriptions in order. So when this process's publishing socket gets the subscription to
        # the marker, every process has got the earlier ones.
        try:
            async with asyncio.timeout(HELLO_TIMEOUT):
                await publisher.greeted.wait()
        except TimeoutError:
            raise BrokerError(
                f"no proxy answers in {self._directory}; does a server with this broker run there, as this user?"
            ) from None
        self._opened()
        await first_to_end(self._send(publisher.send), self._confirm(publisher.send), self._follow(subscriber))

    async def _follow(self, subscriber: _Subscriber) -> None:
        while True:
            subscribe, unsubscribe = await self._next_changes()
            for channel in unsubscribe:
                subscriber.unsubscribe(channel)
            for channel in subscribe:
                subscriber.subscribe(channel)


class LoopSocket(ABC):
    """A ZeroMQ socket on the event loop.

    ZeroMQ's file descriptor reports changes, not states. So the state is checked after each use of the socket, and at
    regular intervals.

    Args:
        context: owns the socket.
        kind: the ZeroMQ type of the socket.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], kind: int) -> None:
        self._socket = context.socket(kind)
        bound(self._socket)
        self._socket.linger = 0
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.Handle | None = None
        self._timer: asyncio.Handle | None = None
        self.failed: asyncio.Future[None] = self._loop.create_future()

    def connect(self, address: str) -> None:
        """Connect, and watch the socket from now on."""
        self._socket.connect(address)
        self._loop.add_reader(self._socket.FD, self.look)
        self._now_and_then()

    def close(self) -> None:
        """Release the socket."""
        self._loop.remove_reader(self._socket.FD)
        for handle in (self._again, self._timer):
            if handle is not None:
                handle.cancel()
        self._socket.close(linger=0)
        self.failed.cancel()

    def look(self) -> None:
        """Do what the socket's state allows."""
        self._again = None
        try:
            if self._do():
                # There is more to do, after other callbacks of the event loop.
                self._soon()
        except Exception as error:
            if not self.failed.done():
                self.failed.set_exception(error)

    def _soon(self) -> None:
        if self._again is None:
            self._again = self._loop.call_soon(self.look)

    def _now_and_then(self) -> None:
        self._timer = self._loop.call_later(LOOK_AGAIN, self._now_and_then)
        self._soon()

    @abstractmethod
    def _do(self) -> bool:
        """Do what the socket's state allows; return whether there is more."""


class _Publisher(LoopSocket):
    """The socket that publishes. The proxy forwards the subscriptions to it; other channels are not sent."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, marker: str) -> None:
        super().__init__(context, zmq.XPUB)
        self.greeted = asyncio.Event()
        self._greeting = b"\1" + marker.encode() + _END
        self._writable = asyncio.Event()
        # Without this option, ZeroMQ silently drops payloads when the pipe is full. With it, they stay in the queue,
        # which counts them.
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        self.connect(address)

    async def send(self, channel: str, payload: bytes) -> None:
        """Send, waiting while the proxy does not keep up."""
        parts = (channel.encode() + _END, payload)
        while True:
            try:
                self._socket.send_multipart(parts, zmq.NOBLOCK, copy=True)
            except zmq.Again:
                self._writable.clear()
                self._soon()
                await self._writable.wait()
            else:
                self._soon()
                return

    def _do(self) -> bool:
        for _ in range(READ_AT_ONCE):
            try:
                if self._socket.recv(zmq.NOBLOCK) == self._greeting:
                    self.greeted.set()
            except zmq.Again:
                break
        else:
            return True
        if not self._writable.is_set() and state_of(self._socket) & zmq.POLLOUT:
            self._writable.set()
        return False


class _Subscriber(LoopSocket):
    """The socket that subscribes, and detects the end of the proxy."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], address: str, received: Callable[[str, bytes], None]
    ) -> None:
        super().__init__(context, zmq.SUB)
        self._received = received
        self._topics: set[bytes] = set()
        self._watcher = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._loop.add_reader(self._watcher.FD, self.look)
        self.connect(address)

    def close(self) -> None:
        """Release the sockets."""
        self._loop.remove_reader(self._watcher.FD)
        self._socket.disable_monitor()
        self._watcher.close(linger=0)
        super().close()

    def subscribe(self, channel: str) -> None:
        """Subscribe to a channel. ZeroMQ would count a second call; here it changes nothing."""
        topic = channel.encode() + _END
        if topic not in self._topics:
            self._topics.add(topic)
            self._socket.subscribe(topic)
            self._soon()

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe from a channel."""
        topic = channel.encode() + _END
        if topic in self._topics:
            self._topics.discard(topic)
            self._socket.unsubscribe(topic)
            self._soon()

    def _do(self) -> bool:
        for _ in range(READ_AT_ONCE):
            try:
                topic, payload = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            self._received(topic[:-1].decode(), payload)
        else:
            return True
        if state_of(self._watcher) & zmq.POLLIN:
            raise BrokerError("the connection ended")
        return False


def state_of(socket: zmq.Socket[bytes]) -> int:
    """The events that a socket is ready for, as ZeroMQ's flags."""
    events = socket.getsockopt(zmq.EVENTS)
    assert isinstance(events, int)
    return events


async def failure(socket: LoopSocket) -> None:
    """Wait until a socket has failed, and raise the reason."""
    await socket.failed
