"""Several processes of one machine, with nothing to install or start: ZeroMQ over Unix sockets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import zmq

from odac.brokers.local_proxy import DIRECTORY_VARIABLE, HIGH_WATER, LocalProxy, addresses
from odac.brokers.session import MarkedBroker, first_to_end
from odac.brokers.url import BrokerURL
from odac.errors import BrokerError, ConfigurationError

__all__ = ["DIRECTORY_VARIABLE", "LocalBroker", "LocalProxy"]

HELLO_TIMEOUT: Final = 2.0
LOOK_AGAIN: Final = 0.5
READ_AT_ONCE: Final = 512
_END: Final = b"\0"
"""Ends a topic: ZeroMQ matches prefixes, and no channel name holds it."""


class LocalBroker(MarkedBroker):
    """``local:///directory``, or ``local://`` in a worker whose supervisor has said where.

    The event loop watches ZeroMQ's file descriptors, which tell changes and not states: after each use of a socket its
    state is looked at, and now and then without any reason.

    Args:
        url: with the proxy's directory as its path.

    Raises:
        ConfigurationError: nobody has said where the proxy is.
    """

    def __init__(self, url: BrokerURL) -> None:
        super().__init__(url)
        directory = url.path or os.environ.get(DIRECTORY_VARIABLE, "")
        if not directory:
            raise ConfigurationError(
                "local:// connects the workers of one server: start them with `odac run --workers N`,"
                " or give the directory of a running one, like local:///run/myapp"
            )
        self.address = f"local://{directory}"
        self._to_proxy, self._from_proxy = addresses(Path(directory))

    async def _session(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        talker = _Talker(context, self._to_proxy)
        listener = _Listener(context, self._from_proxy)
        try:
            self._changed.clear()
            for channel in (*self._wanted, self._marker):
                listener.subscribe(channel)
            await first_to_end(
                listener.run(self._received),
                talker.run(self._marker.encode() + _END),
                self._live(talker, listener),
            )
        finally:
            talker.close()
            listener.close()
            context.term()

    async def _live(self, talker: _Talker, listener: _Listener) -> None:
        # Subscriptions go round in order, so when the marker's has come back to this process's own talker, every process
        # knows the others too.
        try:
            async with asyncio.timeout(HELLO_TIMEOUT):
                await talker.greeted.wait()
        except TimeoutError:
            raise BrokerError("nobody answers there; does the server that started the workers still run?") from None
        self._opened()
        await first_to_end(self._send(talker.send), self._confirm(talker.send), self._follow(listener))

    async def _follow(self, listener: _Listener) -> None:
        while True:
            subscribe, unsubscribe = await self._next_changes()
            for channel in unsubscribe:
                listener.unsubscribe(channel)
            for channel in subscribe:
                listener.subscribe(channel)


class _Talker:
    """The socket that publishes, and hears from the proxy what anybody wants at all: the rest is not even sent."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        self.greeted = asyncio.Event()
        self._moved = asyncio.Event()
        self._writable = asyncio.Event()
        self._socket = context.socket(zmq.XPUB)
        self._socket.set_hwm(HIGH_WATER)
        self._socket.linger = 0
        # Without it, what is too much is dropped without a word; so it waits in the queue, which counts.
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        self._socket.connect(address)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.FD, self._moved.set)

    def close(self) -> None:
        """Release the socket."""
        self._loop.remove_reader(self._socket.FD)
        self._socket.close(linger=0)

    async def send(self, channel: str, payload: bytes) -> None:
        """Send, waiting while the proxy does not keep up."""
        parts = (channel.encode() + _END, payload)
        while True:
            try:
                self._socket.send_multipart(parts, zmq.NOBLOCK)
            except zmq.Again:
                self._writable.clear()
                self._moved.set()
                await self._writable.wait()
            else:
                self._moved.set()
                return

    async def run(self, marker: bytes) -> None:
        """Read what the proxy asks for, and notice when there is room again."""
        while True:
            try:
                while True:
                    if self._socket.recv(zmq.NOBLOCK) == b"\1" + marker:
                        self.greeted.set()
            except zmq.Again:
                pass
            if _state(self._socket) & zmq.POLLOUT:
                self._writable.set()
            await _wait(self._moved)


class _Listener:
    """The socket that listens, and notices when the proxy is gone."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        self._topics: set[bytes] = set()
        self._moved = asyncio.Event()
        self._socket = context.socket(zmq.SUB)
        self._socket.set_hwm(HIGH_WATER)
        self._socket.linger = 0
        self._watcher = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._socket.connect(address)
        self._loop = asyncio.get_running_loop()
        for socket in (self._socket, self._watcher):
            self._loop.add_reader(socket.FD, self._moved.set)

    def close(self) -> None:
        """Release the sockets."""
        for socket in (self._socket, self._watcher):
            self._loop.remove_reader(socket.FD)
        self._socket.disable_monitor()
        self._watcher.close(linger=0)
        self._socket.close(linger=0)

    def subscribe(self, channel: str) -> None:
        """Listen to a channel; ZeroMQ counts, so twice is made once here."""
        topic = channel.encode() + _END
        if topic not in self._topics:
            self._topics.add(topic)
            self._socket.subscribe(topic)

    def unsubscribe(self, channel: str) -> None:
        """Listen to a channel no longer."""
        topic = channel.encode() + _END
        if topic in self._topics:
            self._topics.discard(topic)
            self._socket.unsubscribe(topic)

    async def run(self, received: Callable[[str, bytes], None]) -> None:
        """Read until the proxy is gone, which is raised."""
        while True:
            try:
                for _ in range(READ_AT_ONCE):
                    topic, payload = self._socket.recv_multipart(zmq.NOBLOCK)
                    received(topic[:-1].decode(), payload)
            except zmq.Again:
                if _state(self._watcher) & zmq.POLLIN:
                    raise BrokerError("the connection ended") from None
                await _wait(self._moved)
            else:
                # There is more, and others have waited.
                await asyncio.sleep(0)


def _state(socket: zmq.Socket[bytes]) -> int:
    events = socket.getsockopt(zmq.EVENTS)
    assert isinstance(events, int)
    return events


async def _wait(event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_AGAIN):
            await event.wait()
    except TimeoutError:
        pass
    event.clear()
