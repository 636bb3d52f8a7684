"""A WebSocket connection: the asyncio client of the library ``websockets``, with what this client needs of it."""

from __future__ import annotations

import asyncio
import logging
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Final, Protocol, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.protocol import State
from websockets.typing import Subprotocol

from odac.client.address import Address
from odac.client.errors import refused
from odac.client.proxies import Proxy
from odac.close_codes import CloseCode
from odac.errors import Disconnected
from odac.protocol.message import Prepared

__all__ = ["CLOSE_TIMEOUT", "Dial", "Socket", "StoreCookies", "dialer"]

MAX_PAYLOAD: Final = 16 * 1024 * 1024
"""The largest incoming message, in bytes. It is more than a server accepts, because a client chooses its server."""

CLOSE_TIMEOUT: Final = 10.0
"""Seconds to wait for the server's close frame; the default of the server's ``Limits.close_timeout``."""

# At DEBUG, the library logs every header and message, and with them tokens and session cookies.
_trace = logging.getLogger("odac.client.websockets")
_trace.addFilter(lambda record: record.levelno > logging.DEBUG)

StoreCookies = Callable[[Iterable[str]], None]
"""Stores the values of ``Set-Cookie`` headers."""


class Socket(Protocol):
    """One open WebSocket connection."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server selected."""
        ...

    @property
    def last_received(self) -> float:
        """When bytes last arrived, of any kind, by the client's clock."""
        ...

    async def receive(self) -> str | bytes:
        """The next message; raises :class:`~odac.Disconnected` at the end."""
        ...

    def write(self, message: Prepared) -> bool:
        """Send now; False if the connection is closed or closing."""
        ...

    async def writable(self) -> None:
        """Wait until the send buffer has room, or the connection has ended."""
        ...

    def probe(self) -> None:
        """Send a ping frame, which the server answers if it is there."""
        ...

    def close(self, code: int = ..., reason: str = ...) -> Coroutine[Any, Any, None]:
        """Do the close handshake and wait for its end."""
        ...

    def abort(self) -> None:
        """Drop the connection without a close frame."""
        ...


class Dial(Protocol):
    """Opens connections."""

    def __call__(
        self,
        address: Address,
        subprotocols: Sequence[str],
        headers: Sequence[tuple[str, str]],
        store_cookies: StoreCookies,
    ) -> Awaitable[Socket]:
        """Do a handshake.

        Args:
            address: of the server.
            subprotocols: the names to offer.
            headers: further headers of the request.
            store_cookies: called with the answer's ``Set-Cookie`` values.

        Raises:
            OSError: there is no connection, or the answer is not that of a WebSocket server.
            HandshakeRefused: the server answered with another HTTP status than 101.
        """
        ...


class _Connection(ClientConnection):
    """The library's connection, which also records when bytes arrive, and writes synchronously."""

    def __init__(self, *args: Any, now: Callable[[], float], store_cookies: StoreCookies, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._now = now
        self._store_cookies = store_cookies
        self._has_room = asyncio.Event()
        self._has_room.set()
        self.last_received = now()

    def data_received(self, data: bytes) -> None:
        self.last_received = self._now()
        super().data_received(data)

    def pause_writing(self) -> None:
        self._has_room.clear()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._has_room.set()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_room.set()
        super().connection_lost(exc)

    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().handshake(*args, **kwargs)
        except InvalidStatus as error:
            # Do not follow redirects: the token must not go to another server.
            response = error.response
            raise refused(response.status_code, response.body or b"", tuple(response.headers.raw_items())) from None
        finally:
            if self.response is not None:
                self._store_cookies(self.response.headers.get_all("Set-Cookie"))

    async def receive(self) -> str | bytes:
        try:
            return await self.recv()
        except ConnectionClosed as closed:
            frame = closed.rcvd
            if frame is not None:
                raise Disconnected(frame.code, frame.reason) from None
            # The client closed because of a message that is too big or not UTF-8, and the server sent no close frame.
            if closed.sent is not None and closed.sent.code in (CloseCode.MESSAGE_TOO_BIG, CloseCode.INVALID_DATA):
                raise Disconnected(closed.sent.code, closed.sent.reason) from None
            raise Disconnected(CloseCode.ABNORMAL, "") from None

    def write(self, message: Prepared) -> bool:
        if self.protocol.state is not State.OPEN or self.transport.is_closing():
            return False
        send = self.protocol.send_text if message.is_text else self.protocol.send_binary
        send(message.payload)
        self._write_out()
        return True

    def probe(self) -> None:
        if self.protocol.state is State.OPEN:
            self.protocol.send_ping(b"")
            self._write_out()

    def _write_out(self) -> None:
        for data in self.protocol.data_to_send():
            self.transport.write(data)

    async def writable(self) -> None:
        await self._has_room.wait()

    def abort(self) -> None:
        self.transport.abort()


def dialer(ssl: ssl_module.SSLContext | None, now: Callable[[], float], proxy: Proxy | None = None) -> Dial:
    """Make the function that opens connections.

    Args:
        ssl: the TLS context for ``wss``, None for the default one.
        now: the client's clock.
        proxy: the forward proxy, None for none.
    """

    async def dial(
        address: Address, subprotocols: Sequence[str], headers: Sequence[tuple[str, str]], store_cookies: StoreCookies
    ) -> Socket:
        create = partial(_Connection, now=now, store_cookies=store_cookies)
        tls: dict[str, Any] = {"ssl": ssl} if address.secure and ssl is not None else {}
        try:
            connection = await connect(
                address.url,
                subprotocols=[Subprotocol(name) for name in subprotocols] or None,
                additional_headers=list(headers),
                logger=_trace,
                create_connection=cast("type[ClientConnection]", create),
                ping_interval=None,  # Link.watch() does this, because it knows the server's interval
                close_timeout=CLOSE_TIMEOUT,
                open_timeout=None,  # the attempt as a whole has a time limit
                max_size=MAX_PAYLOAD,
                proxy=None if proxy is None else proxy.url,
                **tls,
            )
        except (InvalidHandshake, InvalidMessage) as error:
            # Without the chain of exceptions, which may quote the headers that were sent.
            if isinstance(error.__cause__, EOFError):
                raise ConnectionError("the connection ended before the server answered the handshake") from None
            raise ConnectionError(
                f"the server did not answer the handshake as a WebSocket server does: {error}"
            ) from None
        return cast("_Connection", connection)

    return dial
