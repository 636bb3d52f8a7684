"""Sends to an app's clients from outside of it: from a task queue, a cron job, a Django view under WSGI, a thread."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import weakref
from collections.abc import Coroutine
from typing import Any, Final, Self

from odac.brokers.registry import make_broker
from odac.cluster.envelope import Close, Move, RoomMessage
from odac.publishing.addressing import Addressing
from odac.publishing.async_publisher import DEFAULT_TIMEOUT, AsyncPublisher
from odac.publishing.publication import checked_timeout, checked_url
from odac.spelling import check_fields

__all__ = ["AsyncPublisher", "Publisher"]


@check_fields
class Publisher(Addressing[None]):
    """Sends to an app's clients from outside of its processes: from threads, and from processes that fork.

    ::

        publisher = odac.Publisher("redis://localhost")
        publisher.to_room("news", {"text": "hello"})

    A call returns when the broker has confirmed the message. Any number of threads may use one publisher, and a forked
    child opens a connection of its own for its first message. In a coroutine use :class:`AsyncPublisher`: this one
    blocks.

    Args:
        url: the app's broker; default: ``$ODAC_BROKER``.
        timeout: seconds for which one call may wait, for the connection and for the broker's confirmation together.
            After a call that timed out, further calls fail at once until the connection, which is retried in the
            background, is open again.

    Raises:
        BrokerNotConfigured: there is no URL, or it is ``memory://``, which reaches no other process.
        ConfigurationError: the URL is malformed, its client library is not installed, or the timeout is not a number
            above 0.
    """

    def __init__(self, url: str | None = None, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._url = checked_url(url)
        self._timeout = checked_timeout(timeout)
        make_broker(self._url)
        self._lock = threading.Lock()
        self._loop_thread: _LoopThread | None = None
        self._end: weakref.finalize[..., Publisher] | None = None
        _publishers.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect. The broker has confirmed what was sent; a later message connects again."""
        with self._lock:
            end, self._loop_thread, self._end = self._end, None, None
        if end is not None:
            end()

    def _send(self, item: RoomMessage, keep: bool) -> None:
        loop_thread = self._running()
        loop_thread.run(loop_thread.publisher._send(item, keep))

    def _publish(self, item: Close | Move) -> None:
        loop_thread = self._running()
        loop_thread.run(loop_thread.publisher._publish(item))

    def _running(self) -> _LoopThread:
        with self._lock:
            # While the interpreter shuts down, the thread may have been stopped before the last message.
            if self._loop_thread is None or self._end is None or not self._end.alive:
                self._loop_thread = _LoopThread(AsyncPublisher(self._url, timeout=self._timeout))
                # A publisher that was not closed is closed when it is collected, or when the program ends.
                self._end = weakref.finalize(self, self._loop_thread.stop) if self._loop_thread.has_thread else None
            return self._loop_thread


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that also works while the interpreter shuts down, when executors refuse work."""

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """Look up a host name, in a thread if that is still possible."""
        try:
            return await super().getaddrinfo(host, port, **options)
        except RuntimeError:
            return socket.getaddrinfo(host, port, **options)


class _LoopThread:
    """An event loop in a thread of its own, and a publisher on it.

    While the interpreter shuts down, the loop runs in the thread that calls it, for one message: Python 3.12 starts no
    thread then, and 3.13 one that never runs.
    """

    def __init__(self, publisher: AsyncPublisher) -> None:
        self.publisher = publisher
        self._loop = _Loop()
        self._thread = threading.Thread(target=self._serve, name="odac publisher", daemon=True)
        self.has_thread = threading.main_thread().is_alive()
        if self.has_thread:
            self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on that loop and wait for it."""
        if self.has_thread:
            asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
            return
        try:
            self._loop.run_until_complete(coroutine)
        finally:
            self._loop.run_until_complete(self.publisher.close())
            self._loop.close()

    def stop(self) -> None:
        """Disconnect and end the thread."""
        self._loop.call_soon_threadsafe(self._begin_to_stop)
        # The garbage collector may call this on any thread, including the publisher's own.
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _begin_to_stop(self) -> None:
        closing = self._loop.create_task(self.publisher.close())
        closing.add_done_callback(lambda _: self._loop.stop())

    def _serve(self) -> None:
        self._loop.run_forever()
        self._loop.close()


_publishers: Final[weakref.WeakSet[Publisher]] = weakref.WeakSet()
_parents_threads: Final[list[_LoopThread | None]] = []


def _after_fork() -> None:
    for publisher in _publishers:
        # The thread and the connection are the parent's. They are referenced here, because collecting them would close
        # the parent's connection.
        _parents_threads.append(publisher._loop_thread)
        if publisher._end is not None:
            publisher._end.detach()
        publisher._loop_thread = publisher._end = None
        publisher._lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
