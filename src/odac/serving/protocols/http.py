"""The class for uvicorn's option ``http=``: accepts a request only when its head is complete and within the limits.

A WebSocket handshake is passed to the class of the option ``ws=`` as it was received, with the bytes after it;
every other request to :mod:`odac.serving.protocols.http_connection`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, ClassVar, Final

from odac.config import Limits
from odac.errors import HandshakeError
from odac.serving.protocols.http_connection import HttpConnection
from odac.serving.protocols.reception import FULL, Reception
from odac.serving.protocols.request_head import Head, read_head
from odac.wire.headers import MAX_LIST
from odac.wire.request import usual_request

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

__all__ = ["HttpProtocol"]

logger = logging.getLogger("odac.server")

_PROMPT: Final = 0.5
"""Seconds within which a client that has connected sends its request, if it was connecting for one."""


_WEBSOCKET: Final = b": websocket\r\n"


class HttpProtocol(asyncio.Protocol):
    """A connection until the head of its first request: ``uvicorn --http odac.server:HttpProtocol module:app``.

    It is closed if the head is not complete within ``Limits.handshake_timeout``.
    """

    __slots__ = ("_is_over", "_received", "_since", "app_state", "client", "reception", "transport")

    get_buffer: ClassVar[None] = None
    """There is none: uvloop asks each protocol for it, and building the AttributeError takes it longer than this."""

    limits: ClassVar[Limits] = Limits()
    """Bounds on every request; ``odac run`` replaces them by its app's."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.reception = Reception.of(config, server_state, _loop or asyncio.get_running_loop(), self.limits)
        self.app_state = app_state
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # connection_made() follows at once
        self.client: tuple[str, int] | None = None  # set if a proxy has named it by the PROXY protocol
        self._received = b""
        self._since = 0.0
        self._is_over = True  # True while another protocol has the connection

    @property
    def is_idle(self) -> bool:
        """Whether stopping need not wait for it: a client that connects for a request sends it at once."""
        return self.reception.loop.time() - self._since > _PROMPT

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_made`."""
        self.transport = transport  # type: ignore[assignment]
        reception = self.reception
        self._since = reception.loop.time()
        reception.connections.add(self)
        reception.uncounted += 1
        self._is_over = False
        reception.deadlines.add(self)

    def data_received(self, data: bytes) -> None:
        """See :meth:`asyncio.Protocol.data_received`."""
        reception = self.reception
        limits = reception.limits
        if _WEBSOCKET in data and not self._received and reception.config.ws_protocol_class is not None:
            # A handshake in its usual form is checked and parsed in one pass.
            usual = usual_request(data, limits.max_headers, limits.max_header_bytes, MAX_LIST)
            if usual is not None:
                self._leave()
                reception.upgrade(self, self.transport, self.app_state, data, usual)
                return
        known = len(self._received)
        data = self._received + data if known else data.lstrip(b"\r\n")  # RFC 9112 section 2.2
        if not data:
            return  # empty lines are not a request: the deadline stays
        try:
            head = read_head(data, known, limits)
        except HandshakeError as error:
            self._leave()
            reception.refuse(self, self.transport, error)
            return
        if head is Head.UNFINISHED:
            self._received = data
        elif head is Head.HTTP or reception.config.ws_protocol_class is None:
            self._serve(data)
        else:
            self._leave()
            reception.upgrade(self, self.transport, self.app_state, data)

    def _leave(self) -> None:
        """Another protocol has the connection from now on."""
        if not self._is_over:
            self._is_over = True
            self._received = b""
            self.reception.uncounted -= 1
            self.reception.connections.discard(self)
            self.reception.deadlines.discard(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_lost`."""
        self._leave()

    def expire(self) -> None:
        """The request's head did not arrive in time."""
        logger.debug(
            "a connection was closed: no complete request within %g s (Limits.handshake_timeout)",
            self.reception.limits.handshake_timeout,
        )
        self.transport.abort()

    def stop_soon(self) -> None:
        """The server is stopping, but a request whose head is arriving is still served."""

    def shutdown(self) -> None:
        """The server is stopping (uvicorn calls this)."""
        self.transport.close()

    def _serve(self, data: bytes) -> None:
        reception, transport = self.reception, self.transport
        self._leave()
        key = reception.take_place(transport, self.client)
        if key is None:
            reception.turn_away(self, transport, FULL)
            return
        connection = HttpConnection(reception, self.app_state, key)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if self.client is not None:
            connection.client = self.client
        connection.data_received(data)
