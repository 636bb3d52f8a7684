"""The history store of the local broker: asks the process that holds the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec
import zmq

from odac.brokers.local import LoopSocket, failure, state_of
from odac.brokers.local_log import HELLO, Reply, Request
from odac.brokers.local_paths import directory_of, distrusted
from odac.brokers.local_proxy import log_address
from odac.brokers.reconnecting import end, first_to_end
from odac.brokers.url import BrokerURL
from odac.errors import BrokerError
from odac.history.rules import History
from odac.history.store import Appended, Entry, Slice, StoreAway
from odac.jitter import RANDOM

__all__ = ["LocalHistory"]

_log: Final = logging.getLogger("odac.broker")

HELLO_TIMEOUT: Final = 2.0
ANSWER_TIMEOUT: Final = 5.0
LOOK_EVERY: Final = 2.0
PAUSE: Final = 0.1
READ_AT_ONCE: Final = 256


class LocalHistory:
    """Implements :class:`odac.history.store.HistoryStore` over a socket to the thread that keeps the logs.

    Args:
        url: see :func:`odac.brokers.local_paths.directory_of`.
        max_bytes: the limit for all logs of the proxy together; the last process to start sets it. None leaves it.

    Raises:
        ConfigurationError: the proxy's directory is not set, or its path is too long.
    """

    def __init__(self, url: BrokerURL, max_bytes: int | None = None) -> None:
        self._max_bytes = max_bytes
        self._directory = directory_of(url)
        self._namespace = url.namespace
        self._asker: _RequestSocket | None = None
        self._up = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._reason = "not connected"

    async def start(self, wait: float = 2.0) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name=f"odac: history in {self._directory}")
        try:
            async with asyncio.timeout(wait):
                await self._up.wait()
        except TimeoutError:
            pass

    async def stop(self) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        if self._keeper is not None:
            keeper, self._keeper = self._keeper, None
            await end(keeper)

    async def append(
        self, channel: str, history: History, origin: bytes, first: int, bodies: list[bytes], epoch: bytes
    ) -> Appended:
        """See :class:`odac.history.store.HistoryStore`."""
        return Appended(*await self._ask("append", channel, _fields(history), origin, first, bodies, epoch))

    async def read(self, channel: str, history: History, after: int, limit: int) -> Slice:
        """See :class:`odac.history.store.HistoryStore`."""
        epoch, top, lowest, entries, revoked = await self._ask("read", channel, _fields(history), after, limit)
        return Slice(epoch, top, lowest, tuple(Entry(*each) for each in entries), revoked)

    async def erase(self, channel: str) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        await self._ask("erase", channel)

    async def revoke(self, channel: str, user: str) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        await self._ask("revoke", channel, user)

    async def publish(self, channel: str, payload: bytes) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        await self._ask("publish", channel, payload)

    async def rules(self, keep: float = 0.0) -> tuple[int, bytes]:
        """See :class:`odac.history.store.HistoryStore`."""
        version, text = await self._ask("rules", self._namespace, keep)
        return version, text

    async def write_rules(self, version: int, text: bytes, keep: float) -> bool:
        """See :class:`odac.history.store.HistoryStore`."""
        return bool(await self._ask("write_rules", self._namespace, version, text, keep))

    async def _ask(self, what: str, *arguments: Any) -> Any:
        socket = self._asker
        if socket is None:
            raise StoreAway(f"{self._directory}: {self._reason}")
        reply = await socket.ask(what, arguments)
        if reply.refused:
            raise BrokerError(f"the local history in {self._directory} refused the request: {reply.refused}")
        return reply.result

    # The owner of the socket

    async def _keep(self) -> None:
        while True:
            try:
                await self._session()
            except Exception as error:
                # Also what another version answers: no other task would notice that this one has ended.
                if not isinstance(error, (zmq.ZMQError, OSError, TimeoutError, BrokerError)):
                    _log.exception("the local history in %s failed; it is asked again", self._directory)
                self._reason = str(error) or type(error).__name__
            await asyncio.sleep(PAUSE * RANDOM.uniform(0.5, 1))

    async def _session(self) -> None:
        reason = distrusted(self._directory)
        if reason is not None:
            raise BrokerError(reason)
        with contextlib.ExitStack() as stack:
            context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            stack.callback(context.destroy, linger=0)
            socket = _RequestSocket(context, log_address(self._directory), lambda: f"{self._directory}: {self._reason}")
            stack.callback(socket.close)
            await first_to_end(failure(socket), self._live(socket))

    async def _live(self, socket: _RequestSocket) -> None:
        try:
            async with asyncio.timeout(HELLO_TIMEOUT):
                await socket.ask(HELLO, (self._max_bytes,))
            self._asker = socket
            self._up.set()
            while True:
                await asyncio.sleep(LOOK_EVERY)
                # A suspended process keeps its connections open, so the wait for its answer needs a limit.
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    await socket.ask(HELLO, (self._max_bytes,))
        except TimeoutError:
            raise BrokerError(
                f"no proxy answers in {self._directory}; does a server with this broker run there, as this user?"
            ) from None
        finally:
            self._asker = None


class _RequestSocket(LoopSocket):
    """The socket that sends the requests, and detects the end of the process that answers them."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, why: Callable[[], str]) -> None:
        super().__init__(context, zmq.DEALER)
        self._why = why
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._next = 0
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Reply).decode
        self._watcher = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._loop.add_reader(self._watcher.FD, self.look)
        self.connect(address)

    async def ask(self, what: str, arguments: tuple[Any, ...]) -> Reply:
        """Ask, and wait for the answer.

        Raises:
            StoreAway: the connection ended first.
        """
        self._next += 1
        number = self._next
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting[number] = future
        try:
            self._socket.send(self._encode(Request(number, what, list(arguments))), zmq.NOBLOCK)
            self._soon()
            return await future
        except zmq.Again:
            raise StoreAway("the process that holds the local broker does not keep up") from None
        finally:
            del self._waiting[number]

    def close(self) -> None:
        """Release the sockets; pending requests fail."""
        self._loop.remove_reader(self._watcher.FD)
        self._socket.disable_monitor()
        self._watcher.close(linger=0)
        super().close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(StoreAway(self._why()))

    def _do(self) -> bool:
        for _ in range(READ_AT_ONCE):
            try:
                reply = self._decode(self._socket.recv(zmq.NOBLOCK))
            except zmq.Again:
                break
            future = self._waiting.get(reply.id)
            if future is not None and not future.done():
                future.set_result(reply)
        else:
            return True
        if state_of(self._watcher) & zmq.POLLIN:
            raise BrokerError("the connection ended")
        return False


def _fields(history: History) -> list[Any]:
    return [history.size, history.ttl, history.max_bytes]
