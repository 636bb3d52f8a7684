"""The direct lane: frames go from the transport straight to the connection, and back by one system call."""

from __future__ import annotations

import asyncio
import os
import socket as sockets
from socket import AF_INET, AF_INET6, IPPROTO_TCP
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from odac.close_codes import CloseCode
from odac.config import RateLimit
from odac.errors import ProtocolError
from odac.protocol.codec import decode_json, decode_text
from odac.protocol.message import Prepared
from odac.realtime.cancellation import RAISED
from odac.realtime.connection import Connection
from odac.realtime.inbox import Inbox
from odac.realtime.outbox import SENT
from odac.realtime.policy import Policy
from odac.realtime.writing import write
from odac.wire.closing import ClosingHandshake
from odac.wire.frames import BINARY, CLOSE, PING, PONG, TEXT, encode_close, fit_reason
from odac.wire.parser import Parser

if TYPE_CHECKING:
    from odac.config import Limits
    from odac.wire.deflate import Negotiated

__all__ = ["DirectLane", "reference_data_received"]

_DESCRIPTORS: Final = os.name != "nt"
"""Whether ``os.write`` takes a socket: on Windows its number is a handle, and the same number may be a file."""

_USER_TIMEOUT: Final[int | None] = getattr(sockets, "TCP_USER_TIMEOUT", None)
"""Linux's option for how long what was sent may stay unacknowledged (RFC 5482)."""


class DirectLane(asyncio.Protocol):
    """An open WebSocket connection as a protocol of its transport.

    Args:
        transport: carries the connection since its upgrade.
        limits: of the route.
        deflate: what was negotiated of permessage-deflate, or None.
        peers: the server's set of connections, which it shuts down when it stops.
    """

    __slots__ = (
        "_bits",
        "_close_timer",
        "_closing",
        "_connection",
        "_fileno",
        "_parser",
        "_peers",
        "_rate",
        "_rate_count",
        "_rate_start",
        "_socket",
        "_transport",
        "_turn",
        "fd",
    )

    pings = True

    def __init__(
        self, transport: asyncio.Transport, limits: Limits, deflate: Negotiated | None, peers: set[Any]
    ) -> None:
        self._transport = transport
        self._parser = Parser(
            limits.max_payload, limits.max_fragments, deflate.inflater(limits.max_payload) if deflate else None
        )
        self._bits = deflate.server_bits if deflate else 0
        self._peers = peers
        self._rate: RateLimit | None = limits.rate_limit
        self._rate_count = 0
        self._rate_start = 0.0
        self._close_timer: asyncio.TimerHandle | None = None
        self._closing: ClosingHandshake | None = None  # once a close frame was sent or has arrived
        self._turn = False  # whether the next turn of the loop takes more of what was read
        self._connection: Connection = cast("Connection", None)  # attach() follows at once
        # Never past TLS, and only where the socket is one that the transport writes to as it is, and a descriptor.
        tls = transport.get_extra_info("sslcontext") is not None
        socket = transport.get_extra_info("socket") if _DESCRIPTORS and not tls else None
        self._fileno: int = socket.fileno() if socket is not None else -1
        # From the first byte that the kernel does not take, the transport says so (pause_writing), the outbox keeps
        # what follows by reference, and nothing is written past the transport: then _socket is -1.
        # TLS transports compare with "at least": with 0 they would pause again when nothing waits, and resume for nobody.
        transport.set_write_buffer_limits(1 if tls else 0, 0)
        self._socket = self._fileno if transport.get_write_buffer_size() == 0 else -1
        self.fd = self._socket if not self._bits else -1

    def attach(self, connection: Connection) -> None:
        """Belong to this connection, and take what the client sends from now on."""
        self._connection = connection
        self._peers.add(self)
        self._transport.set_protocol(self)

    # Incoming

    def data_received(self, data: bytes) -> None:
        """See :meth:`asyncio.Protocol.data_received`."""
        connection = self._connection
        connection.alive = True
        connection.corked = True
        try:
            rate = self._rate
            for opcode, payload in self._parser.feed(data):
                if not connection.is_open:
                    if opcode == CLOSE:
                        self._receive_close(payload)
                        break
                    continue
                if rate is not None:
                    self._rate_count += 1
                    if (
                        (self._rate_count > rate.max or self._rate_count == 1)
                        and opcode != CLOSE
                        and self._is_too_fast(rate)
                    ):
                        continue  # a close frame behind it must not be lost: the closing handshake waits for it
                if opcode == TEXT:
                    connection.receive_text(payload)
                elif opcode == BINARY:
                    connection.inbox.deliver(payload)
                elif opcode == PING:
                    connection.put(Prepared(PONG, payload))
                elif opcode == PONG:
                    connection.receive_pong(payload)
                else:
                    self._receive_close(payload)
                    break
            if self._parser.error is not None:
                self._fail(self._parser.error)
            elif self._parser.rest is not None:
                self._take_turns()
        finally:
            connection.uncork()

    def _take_turns(self) -> None:
        """More was read than one turn of the loop may take: nothing is read until the next ones have taken the rest."""
        if not self._transport.is_closing():
            self._transport.pause_reading()
            if not self._is_held_back:
                self._read_on()

    @property
    def _is_held_back(self) -> bool:
        """Whether the peer waits for a slow handler; while the connection closes, it is only listened to for that."""
        return self._closing is None and self._connection.inbox.is_paused

    def _read_on(self) -> None:
        """Read again, or take first what was read already."""
        if self._parser.rest is None:
            self._transport.resume_reading()
        elif not self._turn:
            self._turn = True
            self._connection.delivery.loop.call_soon(self._take_rest)

    def _take_rest(self) -> None:
        self._turn = False
        if not self._transport.is_closing() and not self._is_held_back:
            self.data_received(b"")
            if self._parser.rest is None and not self._is_held_back and not self._transport.is_closing():
                self._transport.resume_reading()

    def _is_too_fast(self, rate: RateLimit) -> bool:
        """Whether the window is full; only its first message and those past the limit look at the clock."""
        now = monotonic()
        if now - self._rate_start >= rate.window:
            self._rate_start = now
            self._rate_count = 1
            return False
        if self._rate_count <= rate.max:
            return False
        self._connection.limited(rate)
        return True

    def _close_frames(self) -> ClosingHandshake:
        if self._closing is None:
            self._closing = ClosingHandshake()
        return self._closing

    def _receive_close(self, payload: bytes) -> None:
        closing, connection = self._close_frames(), self._connection
        try:
            answer = closing.receive(payload)
        except ProtocolError as error:
            connection.broken(error)
        else:
            if answer is not None:
                connection.end(*answer)
        self._say_farewell()
        if closing.is_complete:
            self._part()

    def _say_farewell(self) -> None:
        """Who sends nothing more does not read on either: what waits is forgotten, so that the close frame does not wait."""
        connection = self._connection
        if connection.backlog is not None:
            connection.discard()
            if connection.farewell is not None:
                self.close(*connection.farewell)

    def _fail(self, error: ProtocolError) -> None:
        """Fail the connection (RFC 6455 section 7.1.7)."""
        self._connection.broken(error)
        self._say_farewell()
        received = self._closing is not None and self._closing.is_received
        if not received and self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def eof_received(self) -> None:
        """See :meth:`asyncio.Protocol.eof_received`: the transport closes itself then."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See :meth:`asyncio.Protocol.connection_lost`."""
        self.fd = self._socket = self._fileno = -1
        self._peers.discard(self)
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        self._connection.lost(*(self._closing.outcome if self._closing is not None else (CloseCode.ABNORMAL, "")))

    def pause_reading(self) -> None:
        """Let TCP hold the peer back."""
        if not self._transport.is_closing():
            self._transport.pause_reading()
            # While nothing is read, only the transport's own writes (pings at least) can hear that the peer is gone.
            self.fd = self._socket = self._connection.fd = -1
            self._limit_silence()

    def resume_reading(self) -> None:
        """Take from the peer again."""
        if not self._transport.is_closing():
            self._read_on()
            if self._connection.backlog is None:
                self._write_past()
                if not self._connection.touched:
                    self._connection.restore()

    def _limit_silence(self) -> None:
        """Let the kernel end a connection whose peer does not even acknowledge the pings, for its pongs are not read."""
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
        """Write frames, joined to one piece, past the transport where that is right."""
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
        """Hand the transport what a bare write to ``fd`` left over."""
        self._transport.write(data)

    @property
    def buffered(self) -> int:
        """Bytes that the transport holds."""
        return self._transport.get_write_buffer_size()

    def pause_writing(self) -> None:
        """See :meth:`asyncio.BaseProtocol.pause_writing`."""
        self.fd = self._socket = -1
        self._connection.hold_back()

    def resume_writing(self) -> None:
        """See :meth:`asyncio.BaseProtocol.resume_writing`."""
        self._write_past()
        self._connection.go_on()

    def _write_past(self) -> None:
        if self._closing is None and not self._connection.inbox.is_paused:
            self._socket = self._fileno
            if not self._bits:
                self.fd = self._socket

    # The end

    def close(self, code: int, reason: str) -> None:
        """Send the close frame (RFC 6455 section 7.1.2) and wait for the peer's."""
        closing = self._close_frames()
        frame = closing.send(code, reason)
        if not frame:
            return
        self.fd = self._socket = -1
        if not self._transport.is_closing():
            self._transport.write(frame)
            # Reading may be paused for a slow handler; the peer's close frame must come through.
            self._read_on()
        if not closing.is_received:
            self.expect_end()

    def expect_end(self) -> None:
        """Abort when the close timeout is over."""
        if self._close_timer is None:
            connection = self._connection
            self._close_timer = connection.delivery.loop.call_later(
                connection.policy.limits.close_timeout, self._give_up
            )

    def _give_up(self) -> None:
        self._connection.unanswered()
        self.abort()

    def _part(self) -> None:
        """The closing handshake is complete: the server closes TCP first (RFC 6455 section 7.1.1)."""
        self.fd = self._socket = -1
        self.expect_end()  # a peer that reads nothing more must not keep the socket
        self._transport.close()
        self._connection.lost(*self._close_frames().outcome)

    def abort(self) -> None:
        """End at once."""
        self.fd = self._socket = self._connection.fd = -1
        self._transport.abort()

    def cut(self, code: int, reason: str) -> None:
        """End at once a connection whose peer is silent: with a close frame where nothing waits in front of it."""
        connection, transport = self._connection, self._transport
        if transport.is_closing() or connection.backlog is not None or transport.get_write_buffer_size():
            self.abort()
            return
        self.fd = self._socket = connection.fd = -1
        transport.write(encode_close(code, fit_reason(reason)))
        transport.close()
        if self._close_timer is None:  # TLS waits for the peer's last word
            self._close_timer = connection.delivery.loop.call_later(
                connection.policy.limits.close_timeout, transport.abort
            )
        connection.lost(CloseCode.ABNORMAL, "")

    def shutdown(self) -> None:
        """The server stops (uvicorn calls this)."""
        self._connection.drain()


reference_data_received = DirectLane.data_received
if not TYPE_CHECKING and os.environ.get("ODAC_SPEEDUPS") != "0":
    try:
        from odac._speedups import bind_receive
    except ImportError:
        pass  # not compiled here: the method above is as right, and slower
    else:
        bind_receive(DirectLane, Connection, Parser, Inbox, Policy, RateLimit, decode_text, decode_json, SENT, RAISED)
