"""The base of brokers whose connection may break: one task runs a session, and starts another when it ends."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Coroutine
from typing import Any, Final

from odac.brokers.base import MAX_PAYLOAD, Broker, Receiver
from odac.brokers.send_queue import Queue
from odac.brokers.url import BrokerURL
from odac.errors import BrokerError
from odac.jitter import RANDOM

__all__ = ["CONNECT_TIMEOUT", "ReconnectingBroker", "end", "first_to_end"]

_log = logging.getLogger("odac.broker")

CONNECT_TIMEOUT: Final = 5.0
FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 3.0
STOP_TIMEOUT: Final = 1.0
CANCEL_AGAIN: Final = 1.5


class ReconnectingBroker(Broker):
    """Runs one session after another, with pauses of random length in between, until it is stopped.

    A session connects, subscribes to everything in ``_wanted``, calls :meth:`_opened`, and runs until something
    breaks; then it raises. Payloads that were queued and not confirmed are dropped with the session, and counted: if
    they were resent later, they would arrive out of order, or twice.

    Args:
        url: the broker's URL.
    """

    max_message = MAX_PAYLOAD

    def __init__(self, url: BrokerURL) -> None:
        self.address = url.address
        self._url = url
        self._wanted: set[str] = set()
        self._changed: set[str] = set()
        self._change = asyncio.Event()
        self._queue = Queue()
        self._receiver: Receiver | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self._up = False
        self._reason = "not connected"
        self._opened_once = asyncio.Event()

    # Implemented by the subclasses

    @abstractmethod
    async def _session(self) -> None:
        """Connect, subscribe, call :meth:`_opened`, and carry messages until the connection breaks."""

    # Broker

    @property
    def connected(self) -> bool:
        """See :class:`odac.brokers.base.Broker`."""
        return self._up

    async def start(self, receiver: Receiver) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        self._receiver = receiver
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name=f"odac: {self.address}")

    async def stop(self) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        if self._up:
            try:
                async with asyncio.timeout(STOP_TIMEOUT):
                    await self.flush()
            except (TimeoutError, BrokerError):
                pass
        self._receiver = None
        if self._keeper is not None:
            await end(self._keeper)
            self._keeper = None

    def publish(self, channel: str, payload: bytes, messages: int = 1) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        if not self._up:
            self._dropped(messages, self._reason)
        elif len(payload) > self.max_message:
            self._dropped(messages, f"{len(payload)} bytes are more than the broker's limit of {self.max_message}")
        elif not self._enqueue(channel, payload, messages):
            self._dropped(messages, "its queue is full, because the broker does not keep up")

    def subscribe(self, channel: str) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        self._wanted.add(channel)
        self._changed.add(channel)
        self._change.set()

    def unsubscribe(self, channel: str) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        self._wanted.discard(channel)
        self._changed.add(channel)
        self._change.set()

    def reconnect(self, reason: str) -> None:
        """See :class:`odac.brokers.base.Broker`."""
        self._reason = reason
        if self._running is not None:
            self._running.cancel()

    async def flush(self) -> None:
        """See :class:`odac.brokers.base.Confirming`."""
        if not self._up:
            raise BrokerError(f"{self.address}: {self._reason}")
        try:
            await self._confirmed()
        except ConnectionError as error:
            raise BrokerError(f"{self.address}: {error}") from None

    async def deliver(self, channel: str, payload: bytes) -> None:
        """See :class:`odac.brokers.base.Confirming`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._up:
            raise BrokerError(f"{self.address}: {self._reason}")
        if len(payload) > self.max_message:
            limit = self.max_message
            raise BrokerError(f"{self.address}: {len(payload)} bytes are more than the broker's limit of {limit}")
        if not self._enqueue(channel, payload, 1, done):
            raise BrokerError(f"{self.address}: its queue is full, because the broker does not keep up")
        try:
            await done
        except ConnectionError as error:
            raise BrokerError(f"{self.address}: {error}") from None

    # Used by the subclasses

    def _enqueue(self, channel: str, payload: bytes, messages: int, done: asyncio.Future[None] | None = None) -> bool:
        return self._queue.put(channel, payload, messages, done)

    async def _confirmed(self) -> None:
        await self._queue.confirmed()

    def _forget_queued(self, reason: str) -> int:
        return self._queue.clear(reason)

    def _opened(self) -> None:
        """The session is complete: messages are sent and received."""
        self._up = True
        self._reason = "not connected"
        self._opened_once.set()
        if self._receiver is not None:
            self._receiver.on_up()

    def _arrived(self, channel: str, payload: bytes) -> None:
        if self._receiver is not None:
            try:
                self._receiver.on_message(channel, payload)
            except Exception:
                # If it were raised, it would end the client library's read loop, and so the session.
                _log.exception("%s: a message could not be handled", self.address)

    def _gap(self) -> None:
        if self._receiver is not None:
            self._receiver.on_gap()

    def _dropped(self, messages: int, reason: str) -> None:
        if self._receiver is not None:
            self._receiver.on_dropped(messages, reason)

    async def _next_changes(self) -> tuple[list[str], list[str]]:
        """Wait for changes; return the channels to subscribe to and those to unsubscribe from."""
        await self._change.wait()
        self._change.clear()
        changed, self._changed = self._changed, set()
        return [channel for channel in changed if channel in self._wanted], [
            channel for channel in changed if channel not in self._wanted
        ]

    # The task that runs the sessions

    async def _keep(self) -> None:
        delay = FIRST_DELAY
        while True:
            try:
                if await self._run_session():
                    delay = FIRST_DELAY
            except Exception:
                # This task must go on: no other one would notice that it has ended.
                _log.exception("%s: ending a session failed; the next one begins", self.address)
            _log.debug("%s: %s; next attempt within %.1f s", self.address, self._reason, delay)
            # A random pause, so that processes that lost the same broker do not all reconnect at the same moment.
            await asyncio.sleep(delay * RANDOM.uniform(0.5, 1))
            delay = min(delay * 2, LONGEST_DELAY)

    async def _run_session(self) -> bool:
        """Run a session to its end; return whether it was ever complete."""
        self._running = asyncio.get_running_loop().create_task(
            self._session(), name=f"odac: session with {self.address}"
        )
        self._running.add_done_callback(_look_at)
        try:
            await asyncio.wait([self._running])
            self._reason = self._why(self._running)
        finally:
            await end(self._running)
            was_up, self._up = self._up, False
            lost = self._forget_queued("the connection is lost")
        if self._receiver is not None:
            self._receiver.on_down(self._reason)
            if lost:
                self._receiver.on_dropped(lost, self._reason)
        return was_up

    def _why(self, session: asyncio.Task[None]) -> str:
        if session.cancelled():
            return self._reason
        error = session.exception()
        if error is None:
            return "the connection ended"
        if not isinstance(error, (OSError, TimeoutError, BrokerError)):
            _log.debug("%s: the session failed", self.address, exc_info=error)
        return str(error) or type(error).__name__


async def first_to_end(*parts: Coroutine[Any, Any, None]) -> None:
    """Run the parts of a session until one of them ends, end the others, and raise what the first one raised."""
    tasks = [asyncio.get_running_loop().create_task(part) for part in parts]
    for task in tasks:
        task.add_done_callback(_look_at)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(*tasks)
    for task in done:
        task.result()


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks until they finish: a client library may swallow a cancellation, and the caller may be cancelled
    meanwhile.
    """
    cancelled: asyncio.CancelledError | None = None
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        try:
            await asyncio.wait(pending, timeout=CANCEL_AGAIN)
        except asyncio.CancelledError as error:
            cancelled = error  # raised when the tasks have finished
    if cancelled is not None:
        raise cancelled


def _look_at(task: asyncio.Task[None]) -> None:
    # Several parts of a session may fail with one connection; only the error of the first one is raised.
    if not task.cancelled():
        task.exception()
