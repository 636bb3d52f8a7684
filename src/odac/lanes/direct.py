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


class _Rest:
    """State that a lane needs once reading or writing was paused or its end has begun, and an idle one does not."""

    __slots__ = ("bare", "close_timer", "closing", "reading", "transport_holds")

    def __init__(self) -> None:
        self.reading: PacedReading | None = None  # once reading was paused
        self.closing: ClosingHandshake | None = None  # once a close frame was sent or has arrived
        self.close_timer: asyncio.TimerHandle | None = None
        self.bare = -1  # the socket while compressed messages may be written to it past the transport, else -1
        self.transport_holds = False  # bytes that the kernel has not taken


def _descriptor(transport: asyncio.Transport) -> int:
    """The socket of a transport that may be written to directly, else -1.

    Never with TLS, and only where the socket is one that the transport writes to as it is, and a descriptor.
    """
    if not _DESCRIPTORS or transport.is_closing() or transport.get_extra_info("sslcontext") is not None:
        return -1
    socket = transport.get_extra_info("socket")
    return -1 if socket is None else int(socket.fileno())


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
        connections: the server's set of connections, which it shuts down when it stops.

    Attributes:
        fd: the socket while an uncompressed frame may be written to it past the transport, else -1.
    """

    __slots__ = (
        "_bits",
        "_connection",
        "_connections",
        "_meter",
        "_parser",
        "_rest",
        "_transport",
        "fd",
    )

    pings = True
    get_buffer: ClassVar[None] = None  # uvloop asks for it, and an AttributeError would take it longer
    reference_data_received: ClassVar[Callable[[DirectLane, bytes], None]]

    def __init__(
        self, transport: asyncio.Transport, limits: Limits, deflate: Negotiated | None, connections: set[Any]
    ) -> None:
        self._transport = transport
        self._parser: Parser = (
            Parser(limits.max_payload, limits.max_fragments, deflate.inflater(limits.max_payload))
            if deflate
            else _shared_parser(get_ident(), limits.max_payload, limits.max_fragments)
        )
        self._bits = deflate.server_bits if deflate else 0
        self._connections = connections
        self._meter: RateMeter | None = UNSTARTED if limits.rate_limit is not None else None
        self._rest: _Rest | None = None
        self._connection: Connection = None  # type: ignore[assignment]  # attach() follows at once
        tls = transport.get_extra_info("sslcontext") is not None
        # From the first byte that the kernel does not take, the transport says so (pause_writing), the outbox keeps
        # what follows by reference, and nothing is written past the transport: see _renew_fd().
        # TLS transports compare with "at least": with 0 they would pause again when the buffer is empty, and never
        # resume.
        transport.set_write_buffer_limits(1 if tls else 0, 0)
        self.fd = -1
        if transport.get_write_buffer_size() > 0:
            self._extend().transport_holds = True
        elif self._bits:
            self._extend().bare = _descriptor(transport)
        else:
            self.fd = _descriptor(transport)

    def attach(self, connection: Connection) -> None:
        """Serve this connection: receive from the transport from now on."""
        self._connection = connection
        self._connections.add(self)
        self._transport.set_protocol(self)
        if collector.spares:
            collector.untrack_connection(self, connection, self._transport)

    def track_connection(self) -> None:
        """Let the garbage collector go through the connection again; see :mod:`odac.lanes.collector`."""
        collector.track_connection(self, self._connection, self._transport)

    @property
    def _closing(self) -> ClosingHandshake | None:
        return self._rest.closing if self._rest is not None else None

    def _renew_fd(self) -> None:
        """Compute ``fd`` again, and the socket that compressed messages are written to past the transport."""
        rest, connection = self._rest, self._connection
        # While reading is paused, only the transport's own writes (such as pings) detect that the peer is gone.
        past = (rest is None or not (rest.transport_holds or rest.closing)) and not connection.inbox.is_paused
        bare = _descriptor(self._transport) if past else -1
        if self._bits:
            self._extend().bare = bare
        else:
            self.fd = bare
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

    def _extend(self) -> _Rest:
        if self._rest is None:
            self._rest = _Rest()
        return self._rest

    def _paced_reading(self) -> PacedReading:
        rest = self._extend()
        if rest.reading is None:
            rest.reading = PacedReading(
                self._connection.outbox.delivery.turn,
                self._transport,
                self._own_parser(),
                self.data_received,
                self._is_held_back,
            )
        return rest.reading

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
        rest = self._rest
        socket = self.fd if not bits or rest is None else rest.bare
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
        self._extend().transport_holds = True
        self._renew_fd()
        self._connection.outbox.pause_writing()

    def resume_writing(self) -> None:
        """See :meth:`asyncio.BaseProtocol.resume_writing`."""
        self._extend().transport_holds = False
        self._renew_fd()
        self._connection.outbox.resume_writing()

    # The end

    def _closing_handshake(self) -> ClosingHandshake:
        rest = self._extend()
        if rest.closing is None:
            rest.closing = ClosingHandshake()
            self._renew_fd()
        return rest.closing

    def close(self, code: int, reason: str) -> None:
        """Send the close frame (RFC 6455 section 7.1.2) and wait for the peer's."""
        closing = self._closing_handshake()
        frame = closing.send(code, reason)
        if not frame:
            return
        if not self._transport.is_closing():
            self._transport.write(frame)
            # Reading may be paused for a slow handler, but the peer's close frame must be read.
            if self._rest is not None and self._rest.reading is not None:
                self._rest.reading.resume()
        if not closing.is_received:
            self.expect_end()

    def _receive_close(self, payload: bytes) -> None:
        """The peer closes, or answers this side's close frame."""
        closing, connection = self._closing_handshake(), self._connection
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
        self._connection.lost(*self._closing_handshake().outcome)

    def _fail(self, error: ProtocolError) -> None:
        """Fail the connection (RFC 6455 section 7.1.7)."""
        self._connection.fail(error)
        self._connection.outbox.close_now()
        closing = self._closing
        received = closing is not None and closing.is_received
        if not received and self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def expect_end(self) -> None:
        """Abort when the close timeout has passed."""
        rest = self._extend()
        if rest.close_timer is None:
            connection = self._connection
            rest.close_timer = connection.loop.call_later(connection.policy.limits.close_timeout, self._close_timed_out)

    def _close_timed_out(self) -> None:
        client_faults.close_unanswered(self._connection.policy)
        self.abort()

    def eof_received(self) -> None:
        """See :meth:`asyncio.Protocol.eof_received`: returning None has the transport close itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See :meth:`asyncio.Protocol.connection_lost`."""
        if collector.has_spared:
            self.track_connection()
        self.fd = -1  # lost() renews the connection's own
        self._transport = GONE
        self._connections.discard(self)
        outcome: tuple[int, str] = (CloseCode.ABNORMAL, "")
        rest = self._rest
        if rest is not None:
            rest.bare = -1
            rest.reading = None
            if rest.close_timer is not None:
                rest.close_timer.cancel()
                rest.close_timer = None
            if rest.closing is not None:
                outcome = rest.closing.outcome
        self._connection.run(self._connection.lost, *outcome)

    def abort(self) -> None:
        """End at once."""
        self._transport.abort()
        self._renew_fd()

    def cut(self, code: int, reason: str) -> None:
        """End a silent peer's connection at once: with a close frame if no data is buffered before it."""
        connection, transport = self._connection, self._transport
        if transport.is_closing() or connection.outbox.backlog is not None or transport.get_write_buffer_size():
            self.abort()
            return
        transport.write(self._closing_handshake().send(code, reason))
        transport.close()
        rest = self._extend()
        if rest.close_timer is None:  # TLS waits for the peer's close_notify
            rest.close_timer = connection.loop.call_later(connection.policy.limits.close_timeout, transport.abort)
        connection.run(connection.lost, CloseCode.ABNORMAL, "")

    def shutdown(self) -> None:
        """The server stops (uvicorn calls this)."""
        self._connection.drain()
