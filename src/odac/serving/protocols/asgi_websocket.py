"""A WebSocket connection of an ordinary ASGI application (ASGI specification, "WebSocket", version 2.4)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, Protocol

from odac.close_codes import CloseCode
from odac.errors import ProtocolError
from odac.lanes.reading import PacedReading
from odac.notices import warn
from odac.protocol.message import Prepared
from odac.realtime.turn_budget import FREE, turn_of
from odac.serving.protocols.denial import Denial
from odac.wire.closing import ClosingHandshake
from odac.wire.frames import BINARY, CLOSE, PING, PONG, TEXT, check_close, encode_frame
from odac.wire.parser import Parser

if TYPE_CHECKING:
    from uvicorn.config import Config

    from odac.wire.deflate import Negotiated

__all__ = ["AsgiWebSocket", "ClientGone", "ServerProtocol"]

_CLOSE_TIMEOUT: Final = 10.0
_MAX_FRAGMENTS: Final = 65_536

Message = dict[str, Any]


class ClientGone(OSError):
    """The client has disconnected: an OSError, as version 2.4 of the ASGI specification requires."""


class ServerProtocol(Protocol):
    """The protocol class in uvicorn's ``ws=`` option, which did the handshake, as :class:`AsgiWebSocket` uses it."""

    config: Config
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    def respond(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer with an HTTP status, and close the connection."""
        ...

    @property
    def answer_headers(self) -> list[tuple[bytes, bytes]]:
        """The server's own headers of an HTTP answer."""
        ...

    def pass_on(self, status: int, data: bytes, *, last: bool) -> None:
        """Send a part of an HTTP answer; close the connection after the last one."""
        ...

    def upgrade(self, subprotocol: str | None, extensions: str | None, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Answer with the upgrade; return the bytes that the client has sent already."""
        ...

    def negotiate(self) -> Negotiated | None:
        """The parameters of permessage-deflate that the server accepts from the client's offer, or None."""
        ...


class _State(Enum):
    CONNECTING = auto()
    RESPONDING = auto()
    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


class AsgiWebSocket:
    """``receive`` and ``send`` for one connection, from ``websocket.connect`` to ``websocket.disconnect``."""

    def __init__(self, server: ServerProtocol) -> None:
        self._server = server
        self._state = _State.CONNECTING
        self._queue: deque[Message] = deque([{"type": "websocket.connect"}])
        self._waiter: asyncio.Future[None] | None = None
        self._disconnect: Message | None = None
        self._said_close = False  # whether the application has closed; it may send nothing after that
        self._parser: Parser | None = None
        self._bits = 0
        self._paused = False
        self._turn = turn_of(server.loop)
        self._reading: PacedReading | None = None  # set when the handshake is accepted
        self._writable: asyncio.Event | None = None
        self._denial: Denial | None = None
        self._closing = ClosingHandshake()
        self._close_timer: asyncio.TimerHandle | None = None
        self._ping_timer: asyncio.TimerHandle | None = None
        self._alive = True

    @property
    def close_code(self) -> int:
        """The close code that the application got."""
        return int(self._disconnect["code"]) if self._disconnect is not None else int(CloseCode.ABNORMAL)

    @property
    def is_denying(self) -> bool:
        """Whether the application answers the handshake with an HTTP response."""
        return self._state is _State.RESPONDING

    # Called by the application

    async def receive(self) -> Message:
        """The next ASGI message."""
        while not self._queue:
            if self._disconnect is not None:
                return self._disconnect
            self._waiter = self._server.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._queue.popleft()
        if self._paused and len(self._queue) <= self._server.config.ws_max_queue // 2:
            self._paused = False
            if self._reading is not None:
                self._reading.resume()
        return message

    async def send(self, message: Message) -> None:
        """Handle an ASGI message of the application.

        Raises:
            ClientGone: the client has disconnected.
            RuntimeError: the message is not allowed in this state.
        """
        if self._writable is not None and self._disconnect is None:
            await self._writable.wait()
        if self._server.transport.is_closing():
            await asyncio.sleep(0)  # let the transport report a loss: a loop of sends would not notice it otherwise
        kind = message["type"]
        if self._said_close:
            raise RuntimeError(
                f"Unexpected ASGI message {kind!r}, after sending 'websocket.close' or a complete response."
            )
        if self._disconnect is not None:
            raise ClientGone("the client has closed the connection")
        if self._state is _State.CONNECTING:
            self._send_connecting(kind, message)
        elif self._state is _State.RESPONDING:
            self._send_body(kind, message)
        else:
            self._send_open(kind, message)

    def _send_connecting(self, kind: str, message: Message) -> None:
        if kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            self._said_close = True
            self._state = _State.CLOSED
            self._disconnected(CloseCode.ABNORMAL, "")
            self._server.respond(403, (), b"")
        elif kind == "websocket.http.response.start":
            self._denial = Denial(message["status"], [*self._server.answer_headers, *message.get("headers", ())])
            self._state = _State.RESPONDING
        else:
            raise RuntimeError(
                "Expected ASGI message 'websocket.accept', 'websocket.close' or 'websocket.http.response.start' but"
                f" got {kind!r}."
            )

    def _send_body(self, kind: str, message: Message) -> None:
        if kind != "websocket.http.response.body":
            raise RuntimeError(f"Expected ASGI message 'websocket.http.response.body' but got {kind!r}.")
        assert self._denial is not None
        more = message.get("more_body", False)
        data = self._denial.body(message.get("body", b""), more=more)
        if not more:
            self._said_close = True
            self._state = _State.CLOSED
            self._disconnected(CloseCode.ABNORMAL, "")
        self._server.pass_on(self._denial.status, data, last=not more)

    def _accept(self, message: Message) -> None:
        config = self._server.config
        negotiated = self._server.negotiate() if config.ws_per_message_deflate else None
        self._parser = Parser(
            config.ws_max_size, _MAX_FRAGMENTS, negotiated.inflater(config.ws_max_size) if negotiated else None
        )
        self._bits = negotiated.server_bits if negotiated else 0
        self._reading = PacedReading(
            self._turn, self._server.transport, self._parser, self.data_received, lambda: self._paused
        )
        early = self._server.upgrade(
            message.get("subprotocol"), negotiated.response if negotiated else None, list(message.get("headers", ()))
        )
        self._state = _State.OPEN
        self._schedule_ping()
        if early:
            self.data_received(early)
        if not self._paused:
            self._reading.resume()

    def _send_open(self, kind: str, message: Message) -> None:
        if kind == "websocket.send":
            data, text = message.get("bytes"), message.get("text")
            if data is not None:
                self._write(Prepared(BINARY, bytes(data)))
            elif text is not None:
                self._write(Prepared(TEXT, text.encode()))
        elif kind == "websocket.close":
            code, reason = message.get("code", 1000), message.get("reason") or ""
            check_close(code)
            self._said_close = True
            self._disconnected(code, reason)
            self._close(code, reason)
        else:
            raise RuntimeError(f"Expected ASGI message 'websocket.send' or 'websocket.close', but got {kind!r}.")

    def _write(self, message: Prepared) -> None:
        self._server.transport.write(message.compressed(self._bits) if self._bits else message.frame)

    # Data from the client

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived after the upgrade."""
        self._alive = True
        parser = self._parser
        if parser is None:
            return
        turn = self._turn
        if turn.left <= 0 and (len(data) >= FREE or (self._bits and data)):
            parser.hold(data)
            self._reads().take_rest_later()
            return
        events = parser.feed(data)
        if events and (len(data) >= FREE or self._bits or len(events[0][1]) > len(data)):
            turn.spend(sum([len(payload) for _, payload in events]))
        for opcode, payload in events:
            if opcode == CLOSE:
                self._receive_close(payload)
            elif self._state is _State.OPEN:
                if opcode == TEXT:
                    self._put({"type": "websocket.receive", "text": payload.decode()})
                elif opcode == BINARY:
                    self._put({"type": "websocket.receive", "bytes": payload})
                elif opcode == PING:
                    self._server.transport.write(encode_frame(PONG, payload))
        if parser.error is not None:
            self._fail(parser.error)
        elif parser.rest is not None and not self._server.transport.is_closing():
            self._reads().take_rest_later()

    def _reads(self) -> PacedReading:
        assert self._reading is not None
        return self._reading

    def _put(self, message: Message) -> None:
        self._queue.append(message)
        self._wake()
        if len(self._queue) >= self._server.config.ws_max_queue and not self._paused:
            self._paused = True
            self._reads().pause()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _receive_close(self, payload: bytes) -> None:
        try:
            answer = self._closing.receive(payload)
        except ProtocolError as error:
            self._fail(error)
            return
        if answer is not None:
            self._disconnected(*answer)
            self._state = _State.CLOSED
            self._server.transport.write(self._closing.send(*answer))
        self._part()

    def _fail(self, error: ProtocolError) -> None:
        """Fail the connection (RFC 6455 section 7.1.7)."""
        if self._state is _State.OPEN:
            warn("protocol", "a client of the wrapped app was closed with %s", error)
        self._disconnected(error.code, error.reason)
        if self._state is _State.OPEN:
            self._close(error.code, error.reason)
        if self._closing.is_complete:
            self._part()
        elif self._server.transport.can_write_eof() and not self._server.transport.is_closing():
            self._server.transport.write_eof()

    # The end

    def _disconnected(self, code: int, reason: str) -> None:
        if self._disconnect is None:
            self._disconnect = {"type": "websocket.disconnect", "code": int(code), "reason": reason}
            self._wake()
        if self._ping_timer is not None:
            self._ping_timer.cancel()
            self._ping_timer = None
        if self._writable is not None:
            self._writable.set()

    def _close(self, code: int, reason: str) -> None:
        self._state = _State.CLOSING
        self._paused = False  # the peer's close frame must be read
        if not self._server.transport.is_closing():
            self._server.transport.write(self._closing.send(code, reason))
            self._reads().resume()
        self._close_timer = self._server.loop.call_later(_CLOSE_TIMEOUT, self._server.transport.abort)

    def _part(self) -> None:
        self._state = _State.CLOSED
        self._server.transport.close()

    def end(self, code: CloseCode, reason: str) -> None:
        """The application has returned or raised."""
        if self._state is _State.OPEN:
            self._disconnected(code, reason)
            self._close(code, reason)
        elif self._state in (_State.CONNECTING, _State.RESPONDING):
            self._state = _State.CLOSED
            self._disconnected(CloseCode.ABNORMAL, "")
            if self._denial is not None and self._denial.begun:
                self._server.transport.abort()  # so that the client sees that the answer is incomplete
            else:
                self._server.respond(500, (), b"Internal Server Error")

    def shutdown(self) -> None:
        """The server is stopping."""
        if self._state is _State.OPEN:
            self._disconnected(CloseCode.SERVICE_RESTART, "")
            self._close(CloseCode.SERVICE_RESTART, "")
            self._server.transport.close()
        elif self._state is _State.CLOSING:
            self._server.transport.close()  # the peer has not answered the close frame in time
        else:
            self._server.respond(503, ((b"retry-after", b"1"),), b"The server is stopping.")

    def connection_lost(self) -> None:
        """The transport is gone."""
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._disconnected(CloseCode.ABNORMAL, "")
        self._state = _State.CLOSED
        self._reading = None

    # Flow

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        if self._writable is None:
            self._writable = asyncio.Event()
        self._writable.clear()

    def resume_writing(self) -> None:
        """The transport's buffer has room."""
        if self._writable is not None:
            self._writable.set()

    def _schedule_ping(self) -> None:
        interval = self._server.config.ws_ping_interval
        if interval:
            self._ping_timer = self._server.loop.call_later(interval, self._ping)

    def _ping(self) -> None:
        self._alive = False
        self._server.transport.write(encode_frame(PING, b""))
        timeout = self._server.config.ws_ping_timeout
        if timeout:
            self._ping_timer = self._server.loop.call_later(timeout, self._check)
        else:
            self._schedule_ping()

    def _check(self) -> None:
        if self._alive:
            self._schedule_ping()
        else:
            self._disconnected(CloseCode.ABNORMAL, "keepalive ping timeout")
            transport = self._server.transport
            if transport.get_write_buffer_size() or transport.is_closing():
                transport.abort()
            else:
                self._close(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
                transport.close()
