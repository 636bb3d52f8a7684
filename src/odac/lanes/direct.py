"""The direct lane: the connection reads from the transport, and writes to the socket by one system call."""

from __future__ import annotations

import asyncio
import os
import socket as sockets
from _thread import get_ident
from collections.abc import Callable
from functools import lru_cache
from socket import AF_INET, AF_INET6, IPPROTO_TCP
from typing import TYPE_CHECKING, Any, ClassVar, Final

from odac.close_codes import CloseCode
from odac.errors import ProtocolError
from odac.lanes.collector import collector
from odac.lanes.gone import GONE
from odac.lanes.reading import PacedReading
from odac.protocol.codec import decode_json, decode_text
from odac.protocol.message import Prepared
from odac.realtime import client_faults
from odac.realtime.cancellation import RAISED
from odac.realtime.connection import Connection
from odac.realtime.delivery import Delivery
from odac.realtime.inbox import Inbox
from odac.realtime.outbox import Outbox
from odac.realtime.phase import CLOSING, OPEN, Phase
from odac.realtime.policy import Policy
from odac.realtime.rate import UNSTARTED, RateMeter, new_meter
from odac.realtime.sent import SENT
from odac.realtime.turn_budget import FREE, TurnBudget
from odac.realtime.writing import write
from odac.speedups import compiled_receive
from odac.wire.closing import ClosingHandshake
from odac.wire.frames import BINARY, CLOSE, PING, PONG, TEXT
from odac.wire.parser import Parser, SharedParser

if TYPE_CHECKING:
    from odac.config import Limits
    from odac.wire.deflate import Negotiated

__all__ = ["DirectLane"]

_DESCRIPTORS: Final = os.name != "nt"
"""Whether ``os.write`` takes a socket: on Windows its number is a handle, and the same number may be a file."""

_USER_TIMEOUT: Final[int | None] = getattr(sockets, "TCP_USER_TIMEOUT", None)
"""Linux's option for how long sent data may stay unacknowledged (RFC 5482)."""


@lru_cache(maxsize=256)
def _shared_parser(_thread: int, max_payload: int, max_fragments: int) -> SharedParser:
    """The parser of all connections of one event loop that are between two messages.

    So an idle connection has no parser of its own. If the parser is within a message after a connection's bytes, its
    state moves to a parser of that connection alone, before another connection's bytes are handled.

    Args:
        _thread: the id of the event loop's thread, so that each loop has its own parsers.
        max_payload: of the route's limits.
        max_fragments: of the route's limits.
    """
    return SharedParser(max_payload, max_fragments)


@compiled_receive(
    Connection,
    Outbox,
    Delivery,
    Inbox,
    Policy,
    Parser,
    TurnBudget,
    decode_text=decode_text,
    decode_json=decode_json,
    SENT=SENT,
    RAISED=RAISED,
    ADMITTING=Phase.ADMITTING,
    OPEN=Phase.OPEN,
    RELEASED=Phase.RELEASED,
)
class DirectLane(asyncio.Protocol):
    """The :class:`asyncio.Protocol` of an open WebSocket connection.

    Args:
        transport: the transport of the upgraded connection.
        limits: of the route.
        deflate: the negotiated parameters of permessage-deflate, or None.
        peers: the server's set of connections, which it shuts down when it stops.

    Attributes:
        fd: the socket while an uncompressed frame may be written to it past the transport, else -1.
    """

    __slots__ = (
        "_bits",
        "_close_timer",
        "_closing",
        "_connection",
        "_fileno",
        "_meter",
        "_parser",
        "_peers",
        "_reading",
        "_socket",
        "_transport",
        "_transport_holds",
        "fd",
    )

    pings = True
    get_buffer: ClassVar[None] = None  # uvloop asks for it, and an AttributeError would take it longer
    reference_data_received: ClassVar[Callable[[DirectLane, bytes], None]]

    def __init__(
        self, transport: asyncio.Transport, limits: Limits, deflate: Negotiated | None, peers: set[Any]
    ) -> None:
        self._transport = transport
        self._parser: Parser = (
            Parser(limits.max_payload, limits.max_fragments, deflate.inflater(limits.max_payload))
            if deflate
            else _shared_parser(get_ident(), limits.max_payload, limits.max_fragments)
        )
        self._bits = deflate.server_bits if deflate else 0
        self._peers = peers
        self._meter: RateMeter | None = UNSTARTED if limits.rate_limit is not None else None
        self._reading: PacedReading | None = None  # once reading was paused
        self._closing: ClosingHandshake | None = None  # once a close frame was sent or has arrived
        self._close_timer: asyncio.TimerHandle | None = None
        self._connection: Connection = None  # type: ignore[assignment]  # attach() follows at once
        # Never past TLS, and only where the socket is one that the transport writes to as it is, and a descriptor.
        tls = transport.get_extra_info("sslcontext") is not None
        socket = transport.get_extra_info("socket") if _DESCRIPTORS and not tls else None
        self._fileno: int = socket.fileno() if socket is not None else -1
        # From the first byte that the kernel does not take, the transport says so (pause_writing), the outbox keeps
        # what follows by reference, and nothing is written past the transport: then _socket is -1.
        # TLS transports compare with "at least": with 0 they would pause again when the buffer is empty, and never
        # resume.
        transport.set_write_buffer_limits(1 if tls else 0, 0)
        self._transport_holds = transport.get_write_buffer_size() > 0
        self._socket = self.fd = -1
        if not self._transport_holds:
            self._socket = self._fileno
            self.fd = self._fileno if not self._bits else -1

    def attach(self, connection: Connection) -> None:
        """Serve this connection: receive from the transport from now on."""
        self._connection = connection
        self._peers.add(self)
        self._transport.set_protocol(self)
        if collector.spares:
            collector.exclude(self, connection, self._transport)

    def include(self) -> None:
        """Let the garbage collector go through the connection again; see :mod:`odac.lanes.collector`."""
        collector.include(self, self._connection, self._transport)

    def _renew_fd(self) -> None:
        """Compute ``fd`` again, and ``_socket``, for all writes past the transport."""
        connection = self._connection
        # While reading is paused, only the transport's own writes (such as pings) detect that the peer is gone.
        past = not self._transport_holds and self._closing is None and not connection.inbox.is_paused
        self._socket = self._fileno if past else -1
        self.fd = self._socket if not self._bits else -1
        connection.outbox.renew_fd()

    # Incoming

    def data_received(self, data: bytes) -> None:
        """See :meth:`asyncio.Protocol.data_received`; odac/speedups.py has its compiled form."""
        self._connection.run(self.receive, data)

    def receive(self, data: bytes) -> None:
        """Handle what the transport has read, in the connection's own context."""
        connection = self._connection
        connection.due = None
        outbox, inbox = connection.outbox, connection.inbox
        turn = outbox.delivery.turn
        if turn.left <= 0 and (len(data) >= FREE or (self._bits and data)):
            self._own_parser().hold(data)
            self._paced_reading().take_rest_later()
            return
        outbox.cork()
        try:
            meter = self._meter
            if meter is UNSTARTED:
                limit = connection.policy.limits.rate_limit
                assert limit is not None
                meter = self._meter = new_meter(limit)
            parser = self._parser
            try:
                events = parser.feed(data)
            finally:
                if parser.whole_limit < 0:
                    parser = self._own_parser()
            if events and (len(data) >= FREE or self._bits or len(events[0][1]) > len(data)):
                turn.spend(sum([len(payload) for _, payload in events]))
            for opcode, payload in events:
                if connection.phase is not OPEN and connection.phase >= CLOSING and opcode != CLOSE:
                    continue  # but do not skip a later close frame: the closing handshake waits for it
                if meter is not None and opcode != CLOSE and meter.is_exceeded(len(payload)):
                    connection.exceed_rate(meter.limit)
                elif opcode == TEXT:
                    inbox.receive_text(payload)
                elif opcode == BINARY:
                    inbox.receive_binary(payload)
                elif opcode == PING:
                    outbox.put(Prepared(PONG, payload))
                elif opcode == PONG:
                    connection.receive_pong(payload)
                else:
                    self._receive_close(payload)
                    break
            if parser.error is not None:
                self._fail(parser.error)
            elif parser.rest is not None:
                self._paced_reading().take_rest_later()
        finally:
            outbox.uncork()

    def _own_parser(self) -> Parser:
        """Give this connection a parser of its own: the parser is within a message, or in another state to keep."""
        parser = self._parser
        if isinstance(parser, SharedParser):
            parser = self._parser = parser.split()
        return parser

    def _paced_reading(self) -> PacedReading:
        if self._reading is None:
            self._reading = PacedReading(
                self._connection.outbox.delivery.turn,
                self._transport,
                self._own_parser(),
                self.data_received,
                self._is_held_back,
            )
        return self._reading

    def _is_held_back(self) -> bool:
        """Whether a slow handler must catch up first. A closing connection still reads, for the peer's close frame."""
        return self._closing is None and self._connection.inbox.is_paused

    def limit_messages(self, size: int) -> None:
        """Accept messages of up to ``size`` bytes from now on."""
        self._own_parser().limit(size)

    def pause_reading(self) -> None:
        """Stop reading from the peer, so that TCP's flow control stops it."""
        if not self._transport.is_closing():
            self._paced_reading().pause()
            self._renew_fd()
            self._limit_silence()

    def resume_reading(self) -> None:
        """Read from the peer again."""
        if not self._transport.is_closing():
            self._paced_reading().resume()
            self._renew_fd()

    def _limit_silence(self) -> None:
        """Have the kernel end a connection whose peer acknowledges no pings: its pongs are not read while paused."""
        socket = self._transport.get_extra_info("socket")
        if _USER_TIMEOUT is not None and socket is not None and socket.family in (AF_INET, AF_INET6):
            limits = self._connection.policy.limits
            silence = min(int(1000 * (limits.ping_interval + limits.pong_timeout)), 2**31 - 1)
            try:
                socket.setsockopt(IPPROTO_TCP, _USER_TIMEOUT, silence)
            except OSError:
                pass  # it is closed already

    # Outgoing

    def write(self, messages: list[Prepared]) -> None:
        """Write frames in one piece, past the transport if nothing is buffered there."""
        bits = self._bits
        if bits:
            data = b"".join(
                [message.compressed(bits) if message.opcode <= BINARY else message.frame for message in messages]
            )
        elif len(messages) == 1:
            data = messages[0].frame
        else:
            data = b"".join([message.frame for message in messages])
        socket = self._socket
        if socket >= 0:
            sent = write(socket, data)
            if sent != len(data):
                self._transport.write(memoryview(data)[sent:])
        elif not self._transport.is_closing():
            self._transport.write(data)

    def write_rest(self, data: memoryview) -> None:
        """Pass the transport the bytes that a direct write to ``fd`` left over."""
        self._transport.write(data)

    @property
    def buffered(self) -> int:
        """Bytes in the transport's buffer."""
        return self._transport.get_write_buffer_size()

    def pause_writing(self) -> None:
        """See :meth:`asyncio.BaseProtocol.pause_writing`."""
        self._transport_holds = True
        self._renew_fd()
        self._connection.outbox.pause_writing()

    def resume_writing(self) -> None:
        """See :meth:`asyncio.BaseProtocol.resume_writing`."""
        self._transport_holds = False
        self._renew_fd()
        self._connection.outbox.resume_writing()

    # The end

    def _close_frames(self) -> ClosingHandshake:
        if self._closing is None:
            self._closing = ClosingHandshake()
            self._renew_fd()
        return self._closing

    def close(self, code: int, reason: str) -> None:
        """Send the close frame (RFC 6455 section 7.1.2) and wait for the peer's."""
        closing = self._close_frames()
        frame = closing.send(code, reason)
        if not frame:
            return
        if not self._transport.is_closing():
            self._transport.write(frame)
            # Reading may be paused for a slow handler, but the peer's close frame must be read.
            if self._reading is not None:
                self._reading.resume()
        if not closing.is_received:
            self.expect_end()

    def _receive_close(self, payload: bytes) -> None:
        """The peer closes, or answers this side's close frame."""
        closing, connection = self._close_frames(), self._connection
        try:
            answer = closing.receive(payload)
        except ProtocolError as error:
            connection.fail(error)
        else:
            if answer is not None:
                connection.begin_close(*answer)
        connection.outbox.close_now()
        if closing.is_complete:
            self._complete_close()

    def _complete_close(self) -> None:
        """The closing handshake is complete: the server closes TCP first (RFC 6455 section 7.1.1)."""
        self.expect_end()  # a peer that reads no more must not keep the socket open
        self._transport.close()
        self._connection.lost(*self._close_frames().outcome)

    def _fail(self, error: ProtocolError) -> None:
        """Fail the connection (RFC 6455 section 7.1.7)."""
        self._connection.fail(error)
        self._connection.outbox.close_now()
        received = self._closing is not None and self._closing.is_received
        if not received and self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def expect_end(self) -> None:
        """Abort when the close timeout has passed."""
        if self._close_timer is None:
            connection = self._connection
            self._close_timer = connection.loop.call_later(
                connection.policy.limits.close_timeout, self._close_timed_out
            )

    def _close_timed_out(self) -> None:
        client_faults.close_unanswered(self._connection.policy)
        self.abort()

    def eof_received(self) -> None:
        """See :meth:`asyncio.Protocol.eof_received`: returning None has the transport close itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See :meth:`asyncio.Protocol.connection_lost`."""
        if collector.spares:
            self.include()
        self._fileno = self._socket = self.fd = -1  # lost() renews the connection's own
        self._reading = None
        self._transport = GONE
        self._peers.discard(self)
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        connection = self._connection
        connection.run(
            connection.lost, *(self._closing.outcome if self._closing is not None else (CloseCode.ABNORMAL, ""))
        )

    def abort(self) -> None:
        """End at once."""
        self._fileno = -1
        self._renew_fd()
        self._transport.abort()

    def cut(self, code: int, reason: str) -> None:
        """End a silent peer's connection at once: with a close frame if no data is buffered before it."""
        connection, transport = self._connection, self._transport
        if transport.is_closing() or connection.outbox.backlog is not None or transport.get_write_buffer_size():
            self.abort()
            return
        transport.write(self._close_frames().send(code, reason))
        transport.close()
        if self._close_timer is None:  # TLS waits for the peer's close_notify
            self._close_timer = connection.loop.call_later(connection.policy.limits.close_timeout, transport.abort)
        connection.run(connection.lost, CloseCode.ABNORMAL, "")

    def shutdown(self) -> None:
        """The server stops (uvicorn calls this)."""
        self._connection.drain()
