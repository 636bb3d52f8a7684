"""The ASGI lane: a connection over the ``receive`` and ``send`` of any ASGI server."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, cast

from odac.close_codes import CloseCode, is_retryable
from odac.lanes.begun import Resumed
from odac.protocol.message import Prepared
from odac.realtime import client_faults
from odac.realtime.backlog import cost
from odac.realtime.connection import Connection
from odac.realtime.phase import CLOSING
from odac.realtime.rate import new_meter
from odac.realtime.turn_budget import FREE
from odac.wire.frames import BINARY, TEXT
from odac.wire.parser import message_too_big

if TYPE_CHECKING:
    from odac.config import Limits

__all__ = ["AsgiLane"]

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_STARTED_WITHOUT_TASK: Final = frozenset(
    f"uvicorn.protocols.websockets.{name}" for name in ("websockets_sansio_impl", "wsproto_impl")
)
"""Servers whose ``send()`` waits only for room in the transport's buffer, so that it may be called outside a task."""

_MAX_BUFFERED: Final = 64 * 1024
"""Bytes queued for the server at a time; further messages stay in the outbox, by reference."""


class AsgiLane:
    """Sends and receives the messages of an accepted connection through ``receive`` and ``send``.

    Limits on frames (fragments, masks) are the server's to check here; the size of a message is checked once it has
    arrived.
    """

    __slots__ = (
        "_close_frame",
        "_connection",
        "_interrupted",
        "_is_over",
        "_limits",
        "_max_payload",
        "_meter",
        "_queue",
        "_readable",
        "_receive",
        "_receiver",
        "_receiving",
        "_send",
        "_size",
        "_starts_without_task",
        "_timer",
        "_writer",
        "_writing",
        "refusal",
    )

    pings = False
    fd = -1

    def __init__(self, receive: Receive, send: Send, limits: Limits) -> None:
        self._receive = receive
        self._send = send
        self._limits = limits
        self._max_payload = limits.max_payload
        self._connection: Connection = cast("Connection", None)  # attach() follows at once
        # Without a task for each connection, a message to a room of 1,000 members needs no 1,000 tasks.
        self._starts_without_task = type(getattr(send, "__self__", None)).__module__ in _STARTED_WITHOUT_TASK
        self._queue: deque[Prepared] = deque()
        self._size = 0
        self._writer: asyncio.Task[None] | None = None
        self._close_frame: tuple[int, str] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self.refusal: Exception | None = None  # the server raised it for a close code that it does not send
        self._receiver: asyncio.Task[Any] | None = None  # the server's task while it runs serve()
        self._interrupted = False
        self._writing = False
        self._receiving = False
        self._readable: asyncio.Event | None = None
        # The event loop of odac.testing has a clock that tests move; the rate limit uses that clock there.
        clock = getattr(asyncio.get_running_loop(), "moved_time", None)
        self._meter = new_meter(limits.rate_limit, clock) if limits.rate_limit is not None else None

    def attach(self, connection: Connection) -> None:
        """Send and receive for this connection."""
        self._connection = connection

    async def serve(self) -> None:
        """Receive from the client until the client has disconnected or this side has closed."""
        task = self._receiver = asyncio.current_task()
        assert task is not None
        cancelled = task.cancelling()
        step = self.receive_all
        try:
            while not self._is_over:
                try:
                    await step()
                except asyncio.CancelledError:
                    # The server may have cancelled this task in the same turn.
                    if not self._interrupted or task.uncancel() > cancelled:
                        raise
                    self._interrupted = False
                    step = self._write_all
        except BaseException:
            self.abort()  # nothing else would report the connection's end
            raise
        finally:
            self._receiver = None

    def _interrupt(self) -> None:
        """Cancel the await of the server's task in receive() or send(), which may never return."""
        if self._receiver is not None:
            self._interrupted = True
            self._receiver.cancel()

    # Incoming

    async def receive_all(self) -> None:
        """Receive from the client until it has disconnected."""
        receive, connection = self._receive, self._connection
        turn = connection.delivery.turn
        while not self._is_over:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self._lost(message.get("code") or CloseCode.NO_STATUS, message.get("reason") or "")
                return
            if connection.phase >= CLOSING:
                continue
            connection.due = None
            text = message.get("text")
            payload = text.encode() if text is not None else message.get("bytes") or b""
            if turn.left <= 0 and len(payload) >= FREE:
                # A server with many buffered messages would otherwise block the event loop.
                await turn.wait_next(len(payload))
                if connection.phase >= CLOSING:
                    continue
            else:
                turn.spend(len(payload))
            connection.run(self._take, payload, text is not None)
            if not self._writing and (self._queue or self._close_frame is not None):
                await self._write_all()
            if self._readable is not None and not self._readable.is_set():
                await self._readable.wait()

    def limit_messages(self, size: int) -> None:
        """Accept messages of up to ``size`` bytes from now on; the server may have a lower limit."""
        self._max_payload = size

    def _take(self, payload: bytes, is_text: bool) -> None:
        connection, meter, max_payload = self._connection, self._meter, self._max_payload
        connection.outbox.cork()
        self._receiving = True
        try:
            if meter is not None and meter.is_exceeded(len(payload)):
                connection.exceed_rate(meter.limit)
            elif len(payload) > max_payload:
                connection.fail(message_too_big(len(payload), max_payload))
            elif is_text:
                connection.inbox.receive_text(payload)
            else:
                connection.inbox.receive_binary(payload)
        finally:
            connection.outbox.uncork()
            self._receiving = False

    def pause_reading(self) -> None:
        """Stop reading from the server, which then stops reading from the peer."""
        if self._readable is None:
            self._readable = asyncio.Event()
        self._readable.clear()

    def resume_reading(self) -> None:
        """Read from the server again."""
        if self._readable is not None:
            self._readable.set()

    # Outgoing

    def write(self, messages: list[Prepared]) -> None:
        """Queue messages for the server; the task that writes them ends when the queue is empty."""
        if self._is_over or self._close_frame is not None:
            return
        self._queue.extend(messages)
        for message in messages:
            self._size += cost(message)
        if self._size > _MAX_BUFFERED:
            self._connection.outbox.pause_writing()
        self._start_writing()

    def write_rest(self, data: memoryview) -> None:
        """Never called: this lane has no ``fd``."""
        raise AssertionError("a direct write over plain ASGI")

    @property
    def buffered(self) -> int:
        """Bytes that the server has not accepted."""
        return self._size

    def _start_writing(self) -> None:
        # While a received message is handled, do not start: the receiving task writes afterwards.
        if self._writing or self._writer is not None or self._receiving:
            return
        loop = self._connection.delivery.loop
        if self._starts_without_task:
            writing = self._write_all()
            try:
                waiting = writing.send(None)
            except StopIteration:
                return
            self._writer = loop.create_task(self._resume(writing, waiting))
        else:
            self._writer = loop.create_task(self._write_in_task())

    async def _resume(self, writing: Coroutine[Any, Any, None], waiting: object) -> None:
        try:
            await Resumed(writing, waiting)
        finally:
            self._writer = None

    async def _write_in_task(self) -> None:
        if self._writer is None:
            await asyncio.sleep(0)  # an eager task factory runs this before _start_writing() knows the task
        try:
            # The receiving task may have begun to write before this task's first step.
            if not self._writing:
                await self._write_all()
        finally:
            self._writer = None

    async def _write_all(self) -> None:
        send, queue = self._send, self._queue
        self._writing = True
        try:
            while queue and not self._is_over:
                message = queue[0]
                if message.opcode == TEXT:
                    await send({"type": "websocket.send", "text": message.text})
                elif message.opcode == BINARY:
                    await send({"type": "websocket.send", "bytes": message.payload})
                if queue:  # abort() empties it
                    queue.popleft()
                    self._size -= cost(message)
                if not queue and self._connection.outbox.backlog is not None:
                    self._connection.outbox.resume_writing()
            if self._close_frame is not None and not self._is_over:
                if not self._starts_without_task and self._receiver not in (None, asyncio.current_task()):
                    # Granian closes only when no task waits in receive(), so the task that waits there closes instead.
                    self._interrupt()
                    return
                code, reason = self._close_frame
                self._is_over = True
                await self._send_close(code, reason)
                self._report_end_later(code, reason)
        except Exception:  # the client has disconnected: servers raise different errors, which must not end a delivery
            self._is_over = True
            self._report_end_later(CloseCode.ABNORMAL, "")
        finally:
            self._writing = False

    # The end

    async def _send_close(self, code: int, reason: str) -> None:
        try:
            await self._send({"type": "websocket.close", "code": int(code), "reason": reason})
        except Exception as error:
            if "close code" not in str(error):
                raise
            # Of the protocol's own codes, Daphne's library sends only 1000, after which a client does not reconnect. If
            # the client should reconnect, the app raises this error instead, and Daphne closes with 1011.
            if is_retryable(code):
                self.refusal = error
            else:
                await self._send({"type": "websocket.close", "code": int(CloseCode.NORMAL), "reason": reason})

    def close(self, code: int, reason: str) -> None:
        """Close after everything written; the server does the closing handshake."""
        if self._close_frame is None:
            self._close_frame = (CloseCode.NORMAL if code == CloseCode.NO_STATUS else code, reason)
            self.expect_end()
            self._start_writing()

    def expect_end(self) -> None:
        """Abort when the close timeout has passed."""
        if self._timer is None:
            self._timer = self._connection.delivery.loop.call_later(self._limits.close_timeout, self._close_timed_out)

    def _close_timed_out(self) -> None:
        client_faults.close_unanswered(self._connection.policy)
        self.abort()

    def abort(self) -> None:
        """End at once, as far as plain ASGI can: the app returns, and the server closes the connection."""
        self._size = 0
        self._lost(CloseCode.ABNORMAL, "")
        if self._writer is not None:
            self._writer.cancel()
        if self._receiver is not asyncio.current_task():
            self._interrupt()

    def cut(self, code: int, reason: str) -> None:
        """End a silent peer's connection at once: with a close frame if nothing is queued before it."""
        if self._is_over or self._close_frame is not None or self._writing or self._queue:
            self.abort()
            return
        self._connection.run(self._connection.lost, CloseCode.ABNORMAL, "")
        self._close_frame = (code, reason)
        self._timer = self._connection.delivery.loop.call_later(self._limits.close_timeout, self.abort)
        self._start_writing()

    def _report_end_later(self, code: int, reason: str) -> None:
        # Not now: close listeners must not run in the middle of a delivery, nor within the application's close().
        self._connection.delivery.loop.call_soon(self._lost, code, reason)

    def _lost(self, code: int, reason: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_over = True
        self._queue.clear()
        self.resume_reading()
        self._connection.run(self._connection.lost, *(self._close_frame or (code, reason)))
