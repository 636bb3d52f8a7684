"""The class for uvicorn's ``http=`` seat: lets no request in before its head is complete and within the limits.

A WebSocket handshake goes to the ``ws=`` seat as the bytes that came, with whatever follows it; everything else to
uvicorn's own HTTP protocol, which answers it.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from odac.config import Limits
from odac.errors import HandshakeError
from odac.notices import warn
from odac.realtime.deadlines import Deadlines
from odac.serving.protocols.request_head import Head, read_head, with_lower_names
from odac.serving.protocols.websocket import WebSocketProtocol
from odac.wire.handshake import response_error

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

__all__ = ["HttpProtocol", "Reception"]

logger = logging.getLogger("odac.server")

_RECEPTION: Final = "odac.reception"
_PROMPT: Final = 0.5
"""Seconds within which a client that has connected sends its request, if it was connecting for one."""
_BODY_RATE: Final = 500
"""Bytes of its body that a client sends per second at least, as long as the server would take them."""
_FAREWELL: Final = 1.0
"""Seconds for a refused client to read the answer; closing while it still sends could take the answer from it."""


class Reception:
    """What the connections of one server share.

    Args:
        config: uvicorn's.
        state: the server's.
        loop: it runs on.
        limits: bound every request's head.
    """

    def __init__(self, config: Config, state: ServerState, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self.config = config
        self.state = state
        self.connections: set[Any] = state.connections
        self.loop = loop
        self.limits = limits
        self.deadlines = Deadlines(loop, limits.handshake_timeout)
        self.stopping = False

    @classmethod
    def of(cls, config: Config, state: ServerState, loop: asyncio.AbstractEventLoop, limits: Limits) -> Reception:
        """The one of this server."""
        kept = vars(state)  # uvicorn hands each protocol only this, which lives as long as the server
        found: Reception | None = kept.get(_RECEPTION)
        if found is None:
            found = kept[_RECEPTION] = cls(config, state, loop, limits)
        return found


class _Door:
    """Collects a request's head, and hands it on when it is complete."""

    __slots__ = ("_received", "app_state", "reception", "transport")

    reception: Reception
    transport: asyncio.Transport
    app_state: dict[str, Any]
    _received: bytes

    @abstractmethod
    def _serve(self, data: bytes) -> None:
        """An ordinary request: its head, and what has come of the rest."""

    def _collect(self, data: bytes) -> None:
        known = len(self._received)
        data = self._received + data if known else data.lstrip(b"\r\n")  # RFC 9112 section 2.2
        reception = self.reception
        if not data:
            reception.deadlines.add(self)  # type: ignore[arg-type] # empty lines are a request that does not come
            return
        try:
            head = read_head(data, known, reception.limits)
        except HandshakeError as error:
            self._refuse(error)
            return
        if head is Head.UNFINISHED:
            self._received = data
            reception.deadlines.add(self)  # type: ignore[arg-type] # who mixes this in expires
            return
        self._received = b""
        reception.deadlines.discard(self)  # type: ignore[arg-type]
        if head is Head.HTTP or reception.config.ws_protocol_class is None:
            self._serve(data)
        else:
            self._upgrade(data)

    def _upgrade(self, data: bytes) -> None:
        reception, transport = self.reception, self.transport
        make = cast("type[Any]", reception.config.ws_protocol_class)
        if not issubclass(make, WebSocketProtocol):
            data = with_lower_names(data)
        protocol = make(
            config=reception.config, server_state=reception.state, app_state=self.app_state, _loop=reception.loop
        )
        reception.connections.discard(self)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(data)

    def _refuse(self, error: HandshakeError) -> None:
        warn("request", "a request was refused: %s", error)
        reception, transport = self.reception, self.transport
        reception.deadlines.discard(self)  # type: ignore[arg-type]
        reception.connections.discard(self)
        self._received = b""
        transport.write(response_error(error.status, error.headers, error.reason))
        _Leaving(reception, transport)


class HttpProtocol(_Door, asyncio.Protocol):
    """A connection until the head of its first request: ``uvicorn --http odac.server:HttpProtocol module:app``.

    One that has not sent it within ``Limits.handshake_timeout`` is closed, whether it sent a part or nothing.
    """

    __slots__ = ("_since",)

    limits: ClassVar[Limits] = Limits()
    """Bounds on every request; ``odac run`` puts its app's in this place."""

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
        self.transport = cast("asyncio.Transport", None)
        self._received = b""
        self._since = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing need be waited for: a new connection's request follows at once, or it was opened for later."""
        return self.reception.loop.time() - self._since > _PROMPT

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_made`."""
        self.transport = cast("asyncio.Transport", transport)
        self._since = self.reception.loop.time()
        self.reception.connections.add(self)
        self.reception.deadlines.add(self)

    def data_received(self, data: bytes) -> None:
        """See :meth:`asyncio.Protocol.data_received`."""
        self._collect(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_lost`."""
        self.reception.connections.discard(self)
        self.reception.deadlines.discard(self)

    def expire(self) -> None:
        """The request's head did not come in time."""
        logger.debug(
            "a connection was closed: no complete request within %g s (Limits.handshake_timeout)",
            self.reception.limits.handshake_timeout,
        )
        self.transport.abort()

    def stop_soon(self) -> None:
        """The server stops, but a request that is on its way is served."""

    def shutdown(self) -> None:
        """The server stops (uvicorn calls this)."""
        self.transport.close()

    def _serve(self, data: bytes) -> None:
        reception, transport = self.reception, self.transport
        connection = _HttpConnection(reception, self.app_state)
        reception.connections.discard(self)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        connection._serve(data)


class _HttpConnection(_Door, HttpToolsProtocol):
    """A connection that carries HTTP requests. Each further one comes through the same door as the first."""

    def __init__(self, reception: Reception, app_state: dict[str, Any]) -> None:
        super().__init__(reception.config, reception.state, app_state, reception.loop)
        self.reception = reception
        self._received = b""
        self._at_door = False  # between two requests, or within the head of one
        self._in_head = False  # within one that came right behind another, which only the parser can tell apart
        self._idle_bytes = 0  # fed to the parser since it last had something for the app: a head, or trailers
        self._body_bytes = 0  # since the deadline was set

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """See :meth:`asyncio.Protocol.data_received`."""
        if self._at_door:
            self._unset_keepalive_if_required()
            self._collect(data)
            return
        self._idle_bytes += len(data)
        self._parse(data)
        if self._idle_bytes > 2 * self.reception.limits.max_header_bytes and not self.transport.is_closing():
            # The parser keeps a header until its end, which may never come.
            self.send_400_response("Request head or trailers too large.")

    def _serve(self, data: bytes) -> None:
        self._at_door = False
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        super().data_received(data)
        if not self._at_door and not self.transport.is_closing():
            self.reception.deadlines.add(self)  # of the head, or of the next part of the body

    def on_message_begin(self) -> None:
        """The parser has found a request."""
        self._at_door = False
        self._in_head = True
        self._idle_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The parser has read a request's head."""
        self._in_head = False
        self._body_bytes = 0
        self.reception.deadlines.discard(self)
        if len(self.headers) > self.reception.limits.max_headers:
            raise ValueError("too many headers")  # becomes a 400
        super().on_headers_complete()
        if self.reception.stopping and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """The parser has read a part of a request's body."""
        self._idle_bytes = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The parser has read a request."""
        super().on_message_complete()
        self.reception.deadlines.discard(self)
        self._at_door = True

    def on_response_complete(self) -> None:
        """A request has been answered."""
        super().on_response_complete()
        if self._received:
            self._unset_keepalive_if_required()  # the next one's head has begun; it has a deadline of its own

    def _upgrade(self, data: bytes) -> None:
        if self.is_idle:
            self._unset_keepalive_if_required()
            super()._upgrade(data)
            self.parser = None  # type: ignore[assignment] # the two refer to each other
        else:
            self._end_after_answer()

    def _refuse(self, error: HandshakeError) -> None:
        if self.is_idle:
            super()._refuse(error)
        else:
            self._end_after_answer()

    def _end_after_answer(self) -> None:
        """What came behind a request that is still being answered cannot be served: its answer is the last."""
        self.cycle.keep_alive = False
        self.flow.pause_reading()

    def handle_websocket_upgrade(self) -> None:
        """The parser has found a handshake right behind another request."""
        self._refuse(HandshakeError(400, "a WebSocket handshake is a request of its own: not one right behind another"))

    def connection_lost(self, exc: Exception | None) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_lost`."""
        self.reception.deadlines.discard(self)
        super().connection_lost(exc)

    def expire(self) -> None:
        """The head of a further request did not come in time, or too little of a body."""
        if not self._at_door and not self._in_head:
            self._expect_body()
        elif self.is_idle:
            self.transport.abort()
        else:
            self._end_after_answer()

    def _expect_body(self) -> None:
        seconds = self.reception.limits.handshake_timeout
        waits_for_app = self.flow.read_paused or self.cycle.waiting_for_100_continue
        if waits_for_app or self._body_bytes >= _BODY_RATE * seconds:
            self._body_bytes = 0
            self.reception.deadlines.add(self)
        else:
            logger.debug(
                "a connection was closed: less than %d bytes of a request's body in %g s (Limits.handshake_timeout)",
                _BODY_RATE * seconds,
                seconds,
            )
            self.transport.abort()

    def stop_soon(self) -> None:
        """Answer what is asked while the server stops, but let no connection outlive its answer."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False


class _Leaving(asyncio.Protocol):
    """A refused connection: reads and forgets until the client has left, or a second is over."""

    is_idle: Final = True

    def __init__(self, reception: Reception, transport: asyncio.Transport) -> None:
        self._connections = reception.connections
        self.transport = transport
        transport.set_protocol(self)
        if not transport.can_write_eof():  # TLS: its own closing says that all has been sent
            transport.close()
            self._timer = None
            return
        transport.write_eof()
        self._connections.add(self)
        self._timer = reception.loop.call_later(_FAREWELL, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_lost`."""
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def shutdown(self) -> None:
        """The server stops (uvicorn calls this)."""
        self.transport.close()
