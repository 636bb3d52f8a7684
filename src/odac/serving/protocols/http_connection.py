"""A connection that carries HTTP requests: one is parsed at a time, and answered by uvicorn's own HTTP protocol.

Bytes after a request that is still being answered are not parsed, and reading pauses, so that a client costs the same
memory however many requests it pipelines (RFC 9112 section 9.3.2 allows any number).
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from odac.errors import HandshakeError
from odac.serving.protocols.answer_watch import RATE, AnswerWatch
from odac.serving.protocols.chunked import ChunkedBody
from odac.serving.protocols.request_head import (
    Head,
    as_http_1_1,
    check_fields,
    origin_form,
    read_head,
    without_upgrade,
)
from odac.wire.request import Headers

if TYPE_CHECKING:
    from odac.serving.protocols.reception import Reception

__all__ = ["HttpConnection"]

logger = logging.getLogger("odac.server")

_END: Final = b"\r\n\r\n"
_EMPTY_LINES: Final = re.compile(rb"[\r\n]*")


class _Flow(FlowControl):
    """Keeps reading paused while a further request is queued, even if an app asks for more of its body."""

    holds = False

    def resume_reading(self) -> None:
        if not self.holds:
            super().resume_reading()


class HttpConnection(HttpToolsProtocol):
    """A connection from its first request on.

    Args:
        reception: the server's.
        app_state: the lifespan's state.
        key: see :meth:`Reception.take_place`.
    """

    def __init__(self, reception: Reception, app_state: dict[str, Any], key: str) -> None:
        super().__init__(reception.config, reception.state, app_state, reception.loop)
        self.reception = reception
        self.taken = 0  # how often the transport has made room for more of an answer since the last check
        self._key = key
        self._held = b""  # received bytes; those from the offset on are not parsed
        self._offset = 0
        self._known = 0  # bytes from the offset on that are known to contain no end of a head
        self._at_head = True  # between two requests, or within the head of one
        self._is_over = False  # another protocol has the connection
        self._length = 0  # missing bytes of the body, if the head gives its length
        self._chunked: ChunkedBody | None = None
        self._upgrade_fields: Headers = []
        self._refusal: HandshakeError | None = None
        self._unseen_bytes = 0  # bytes parsed since the app last got some: chunk extensions or trailers
        self._body_bytes = 0  # bytes of the body since the deadline was set
        self._answer = AnswerWatch(self)

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    # The transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See :meth:`asyncio.BaseProtocol.connection_made`."""
        super().connection_made(transport)
        self.flow = _Flow(transport)

    def data_received(self, data: bytes) -> None:
        """See :meth:`asyncio.Protocol.data_received`."""
        self._unset_keepalive_if_required()
        self._held = self._held[self._offset :] + data if self._held else data
        self._offset = 0
        self._advance()

    def pause_writing(self) -> None:
        """See :meth:`asyncio.BaseProtocol.pause_writing`."""
        super().pause_writing()
        self._answer.watch()

    def resume_writing(self) -> None:
        """See :meth:`asyncio.BaseProtocol.resume_writing`."""
        self.taken += 1
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_lost`."""
        self._leave()
        super().connection_lost(exc)

    def _leave(self) -> None:
        self._is_over = True
        self._held = b""
        self.reception.deadlines.discard(self)
        self._answer.forget()
        self.reception.give_back(self._key)
        self._key = ""

    # Requests

    def _advance(self) -> None:
        """Parse what was received, up to the end of one request."""
        while self._offset < len(self._held) and not self._is_over and not self.transport.is_closing():
            if not self._at_head:
                self._take_body()
            elif not self.is_idle:
                self._flow.holds = True
                self.flow.pause_reading()
                return
            elif not self._take_head():
                return
        if self._offset == len(self._held):
            self._held, self._offset = b"", 0

    @property
    def _flow(self) -> _Flow:
        assert isinstance(self.flow, _Flow)
        return self.flow

    def _take_head(self) -> bool:
        """Parse the head of a request; False if it is incomplete, or the connection is another protocol's."""
        held, reception = self._held, self.reception
        if not self._known:
            self._offset = _EMPTY_LINES.match(held, self._offset).end()  # type: ignore[union-attr] # matches always
            if self._offset == len(held):
                reception.deadlines.add(self)  # empty lines are not a request
                return True
        at = self._offset
        end = held.find(_END, at + max(0, self._known - 3))
        data = held[at : end + len(_END)] if end >= 0 else held[at:]
        try:
            head = read_head(data, self._known, reception.limits)
        except HandshakeError as error:
            self._refuse(error)
            return False
        if head is Head.UNFINISHED:
            self._known = len(data)
            reception.deadlines.add(self)
            return False
        self._known = 0
        if head is Head.WEBSOCKET and reception.config.ws_protocol_class is not None:
            if reception.stopping:  # a proxy's keep-alive connection: another process should serve its next handshake
                self._refuse(HandshakeError(503, "The server is stopping.", (("Retry-After", "1"),)))
                return False
            self._leave()
            reception.upgrade(self, self.transport, self.app_state, held[at:])
            self.parser: Any = None  # the two refer to each other
            return False
        self._offset += len(data)
        self._at_head = False
        # This server does not support the upgrade: the request is answered like any other (RFC 9110 section 7.8).
        data, self._upgrade_fields = without_upgrade(as_http_1_1(data))
        self._parse(data)
        return True

    def _take_body(self) -> None:
        at = self._offset
        if self._chunked is None:
            stop = min(len(self._held), at + self._length)
            self._length -= stop - at
        else:
            stop, _ = self._chunked.end(self._held, at)
        self._offset = stop
        self._unseen_bytes += stop - at
        self._parse(self._held[at:stop] if at or stop < len(self._held) else self._held)
        if self._unseen_bytes > 2 * self.reception.limits.max_header_bytes and not self._at_head:
            self._refuse(HandshakeError(400, "trailers or chunk extensions are too large"))

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(self._refusal or HandshakeError(400, "this is not an HTTP/1.1 request"))
            return
        if not self._at_head and not self._is_over and not self.transport.is_closing():
            self.reception.deadlines.add(self)  # for the next part of the body

    def _refuse(self, error: HandshakeError) -> None:
        if self._is_over or self.transport.is_closing():
            return
        begun = not self.is_idle and self.cycle.response_started
        self._unset_keepalive_if_required()
        self._leave()
        if not self.is_idle:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if begun:
            self.transport.close()
            self.connections.discard(self)
        else:
            self.reception.refuse(self, self.transport, error)

    # Called by the parser

    def on_message_begin(self) -> None:
        """The parser has found a request."""
        if not self.is_idle:
            raise ValueError("a request within another one's body")
        self._unseen_bytes = self._body_bytes = 0
        self._refusal = None
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The parser has read a request's head."""
        self.reception.deadlines.discard(self)
        try:
            framing = check_fields(self.parser.get_http_version(), self.headers)
            host, self.url = origin_form(self.url)
        except HandshakeError as error:
            self._refusal = error
            raise
        if host is not None:
            self.headers[:] = [field for field in self.headers if field[0] != b"host"]
            self.headers.insert(0, (b"host", host))
        self.headers += self._upgrade_fields
        self._length = framing or 0
        self._chunked = ChunkedBody() if framing is None else None
        super().on_headers_complete()
        if self.reception.stopping:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """The parser has read a part of a request's body."""
        self._unseen_bytes = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The parser has read a request."""
        super().on_message_complete()
        self.reception.deadlines.discard(self)
        self._at_head = True
        if self.is_idle and not self.transport.is_closing():  # answered before its body had arrived
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _should_upgrade(self) -> bool:
        return False  # decided from the bytes of the head

    # The answer

    def on_response_complete(self) -> None:
        """A request has been answered."""
        self._flow.holds = False
        super().on_response_complete()
        self._answer.watch()
        if self._offset < len(self._held) and not self._is_over:
            self._unset_keepalive_if_required()
            self._advance()

    # Time

    def expire(self) -> None:
        """The head of a further request, or enough of a body, did not arrive in time."""
        if self._at_head:
            self.transport.abort()
            return
        seconds = self.reception.limits.handshake_timeout
        waits_for_app = self.flow.read_paused or self.cycle.waiting_for_100_continue
        if waits_for_app or self._body_bytes >= RATE * seconds:
            self._body_bytes = 0
            self.reception.deadlines.add(self)
        else:
            logger.debug(
                "a connection was closed: less than %d bytes of a request's body in %g s (Limits.handshake_timeout)",
                RATE * seconds,
                seconds,
            )
            self.transport.abort()

    def stop_soon(self) -> None:
        """The server is stopping: answer the present request, and close the connection after the answer."""
        if not self.is_idle:
            self.cycle.keep_alive = False
