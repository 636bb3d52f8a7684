"""WebSocket clients over TLS for tests without an event loop."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from websockets.asyncio.client import ClientConnection, connect

from tests.integration.running import DEADLINE

T = TypeVar("T")


class ThreadClient:
    """A connection that the test's thread uses."""

    def __init__(self, connection: ClientConnection, call: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._connection = connection
        self._call = call

    def send(self, message: str | bytes) -> None:
        self._call(self._connection.send(message))

    def recv(self, timeout: float) -> str | bytes:
        received: str | bytes = self._call(asyncio.wait_for(self._connection.recv(), timeout))
        return received

    def close(self) -> None:
        self._call(self._connection.close())

    def cut(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon_threadsafe(self._connection.transport.abort)


class ThreadClients:
    """Opens connections, and closes them at its end.

    They live on an event loop of their own: a client that reads and writes TLS from two threads loses what it sends now
    and then, for Python's ssl (until 3.13) lets both into OpenSSL at once.

    Args:
        trust: what the server's certificate is checked with.
    """

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._trust = trust
        self._opened: list[ThreadClient] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * DEADLINE)

    def open(self, url: str, **options: Any) -> ThreadClient:
        """A connection.

        Args:
            url: with the scheme ``wss``.
            options: of ``websockets.asyncio.client.connect``.
        """

        async def enter() -> ClientConnection:
            return await connect(
                url,
                ssl=self._trust,
                ping_interval=None,
                open_timeout=DEADLINE,
                close_timeout=DEADLINE,
                proxy=None,
                **options,
            )

        client = ThreadClient(self._call(enter()), self._call)
        self._opened.append(client)
        return client

    def close(self) -> None:
        """Close all connections."""
        for client in self._opened:
            client.close()
        self._opened.clear()

    def cut(self) -> None:
        """Abort all connections, without a closing handshake."""
        for client in self._opened:
            client.cut(self._loop)
        self._opened.clear()

    def end(self) -> None:
        """Close all connections, and the event loop."""
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()
