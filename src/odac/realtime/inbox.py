"""The incoming end of a connection: its listeners, one message at a time, in the order of arrival."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import ref

from odac.close_codes import CloseCode
from odac.errors import Disconnected, InvalidMessage
from odac.notices import limit_met
from odac.realtime.cancellation import RAISED
from odac.realtime.events import Events
from odac.realtime.listeners import Handler
from odac.realtime.outbox import SENT, is_to_be_awaited

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["Inbox"]

logger = logging.getLogger("odac")

_Waiting = tuple[bytes, "Callable[[bytes], object] | None"]
"""A message as it came, with what decodes it when its turn comes; binary needs nothing."""

_REFUSED: Final = object()


class Inbox(Events):
    """Takes messages from the lane and gives them to the application.

    While exactly one listener stands ready, ``quick`` is that listener and the lane's message goes straight to it. In
    every other situation (no listener yet, several, an asynchronous one at work, ``async for``) messages go through
    ``queue``, as they came: decoded they may take many times the memory. When ``incoming_queue`` of them wait, or
    :attr:`Policy.incoming_bytes`, the lane stops reading.
    """

    __slots__ = (
        "_handler_done",
        "_is_heard",
        "_paused",
        "_pump",
        "_queue",
        "_reader",
        "_size",
        "_waiter",
        "quick",
        "reserved",
    )

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._is_heard = False  # by a message listener
        self._queue: deque[_Waiting] | None = None
        self._size = 0  # bytes in the queue
        self._pump: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._reader: ref[asyncio.Task[Any]] | None = None  # who calls receive()
        self._handler_done = False
        self._paused = False
        self.quick: Handler | None = None
        self.reserved = False  # the route has functions for its messages, which take them once its handler has returned

    # Listeners

    def on(self, event: str, handler: Handler) -> None:
        """Add a listener."""
        if event == "message" and self._waiter is not None:
            raise RuntimeError(
                "receive() waits for the next message: use on('message', …) or receive(), not both at once"
            )
        super().on(event, handler)
        if event == "message":
            self._is_heard = True
            if self._queue:
                self._connection.delivery.loop.call_soon(self._drain)
            self._choose_quick()

    def off(self, event: str, handler: Handler | None) -> None:
        """Remove a listener, or all of an event."""
        super().off(event, handler)
        if event == "message":
            self._is_heard = bool(self._called("message"))
            self._choose_quick()
            self.reconsider()

    def _choose_quick(self) -> None:
        listeners = self._called("message")
        ready = self._pump is None and not self._queue
        self.quick = listeners[0] if len(listeners) == 1 and ready else None

    # Messages

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read from the peer until a slow handler has taken what waits."""
        return self._paused

    def deliver(self, data: bytes) -> None:
        """A binary message has arrived."""
        if not self._connection.policy.takes_binary:
            self.undecodable(InvalidMessage("a binary message, where the route takes JSON text"))
            return
        quick = self.quick
        if quick is None:
            self.hold(data, None)
            return
        try:
            result = quick(data)
        except RAISED as error:
            self.failed(error)
            return
        if result is not None and result is not SENT:
            self.follow(result, data)

    def follow(self, result: object, data: object) -> None:
        """The only listener returned something for ``data``: if it is to be awaited, the next message waits for it."""
        if hasattr(result, "__await__"):
            self._start_pump(cast("Awaitable[object]", result), data, [])

    def hold(self, payload: bytes, decode: Callable[[bytes], object] | None) -> None:
        """A message has arrived, and no listener stands ready."""
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
        if self._is_full(queue) and self._nobody_will_take():
            self._connection.delivery.untaken(self._connection)
            return
        queue.append((payload, decode))
        self._size += len(payload)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._is_heard and self._pump is None:
            self._drain()
        if self._is_full(queue) and not self._paused and not self._nobody_will_take():
            self._paused = True
            self._connection.lane.pause_reading()
            limit_met(
                "incoming_queue",
                "%s: %d messages wait for their handler, and reading from the client pauses until it has caught up (Limits.incoming_queue)",
                self._connection.policy.name,
                len(queue),
            )

    def _is_full(self, queue: deque[_Waiting]) -> bool:
        policy = self._connection.policy
        return len(queue) >= policy.limits.incoming_queue or self._size >= policy.incoming_bytes

    def _nobody_will_take(self) -> bool:
        return (
            self._handler_done
            and not self._is_heard
            and self._pump is None  # whose listener may yet add another
            and self._reader is None
            and not self._connection.has_tasks
        )

    def reconsider(self) -> None:
        """Somebody who might have taken what waits will not: then the reading must not wait for it."""
        if self._paused and self._nobody_will_take():
            self._read_on()

    def _read_on(self) -> None:
        self._paused = False
        self._connection.lane.resume_reading()

    def _next(self, queue: deque[_Waiting]) -> object:
        """Take a message from the queue; :data:`_REFUSED` stands for one that the route does not take."""
        payload, decode = queue.popleft()
        self._size -= len(payload)
        if self._paused:
            policy = self._connection.policy
            if len(queue) <= policy.limits.incoming_queue // 2 and self._size <= policy.incoming_bytes // 2:
                self._read_on()
        if decode is None:
            return payload
        try:
            return decode(payload)
        except RAISED as error:
            self.undecodable(error)
            return _REFUSED

    def _drain(self) -> None:
        """Give the listeners what waits, until one of them has to be awaited."""
        queue = self._queue
        while queue and self._pump is None and self._is_heard:
            data = self._next(queue)
            if data is not _REFUSED:
                self._handle(data)
        self._choose_quick()

    def _handle(self, data: object) -> None:
        listeners = self._called("message")
        for index, listener in enumerate(listeners):
            try:
                result = listener(data)
            except RAISED as error:
                self.failed(error)
                continue
            if is_to_be_awaited(result):
                self._start_pump(result, data, listeners[index + 1 :])
                return

    def _start_pump(self, first: Awaitable[object], data: object, rest: list[Handler]) -> None:
        self.quick = None
        self._pump = self._connection.delivery.loop.create_task(self._run(first, data, rest))

    async def _run(self, first: Awaitable[object], data: object, rest: list[Handler]) -> None:
        """Await an asynchronous listener, then go on with the next listeners and messages: one at a time, in order."""
        try:
            await self._awaited(first)
            await self._call(rest, data)
            queue = self._queue
            while queue and self._is_heard:
                data = self._next(queue)
                if data is not _REFUSED:
                    await self._call(self._called("message"), data)
        except asyncio.CancelledError:
            if self._ended is None:
                logger.warning(
                    "%s: the task of a message listener was cancelled; its connection is closed with 1011",
                    self._connection.policy.name,
                )
                self._connection.end(CloseCode.INTERNAL_ERROR, "internal error")  # nobody would take what waits
            raise
        finally:
            self._pump = None
            self._choose_quick()
            self.reconsider()
            if self._ended is not None:
                self._announce_end()

    async def receive(self) -> Any:
        """The next message, or :class:`Disconnected` after the last one."""
        if self._is_heard:
            if self._ended is not None:
                raise Disconnected(*self._ended)
            raise RuntimeError("on('message', …) listeners take every message: use them or receive(), not both at once")
        while True:
            queue = self._queue
            if queue:
                data = self._next(queue)
                if data is not _REFUSED:
                    return data
            elif self._ended is not None:
                raise Disconnected(*self._ended)
            elif self._waiter is not None:
                raise RuntimeError("receive() is already waiting in another task: read a connection from one place")
            else:
                await self._wait()

    async def _wait(self) -> None:
        if self._reader is None:
            if self.reserved:
                raise RuntimeError(
                    "the route's functions take its messages, once its handler has returned: let the handler return, and read no messages in it"
                )
            task = asyncio.current_task()
            if task is not None:
                self._reader = ref(task)
                task.add_done_callback(self._reader_ended)
        self._waiter = self._connection.delivery.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _reader_ended(self, reader: object) -> None:
        self._reader = None
        self.reconsider()

    # The end

    def handler_returned(self) -> None:
        """The route's handler is through; the connection stays."""
        self._handler_done = True
        if self._finished:
            self.drop()
        self.reconsider()

    def finish(self, code: int, reason: str) -> None:
        """The connection has ended; its close listeners hear of it after the messages that came before."""
        if self._ended is None:
            self._ended = (code, reason)
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
            if self._pump is None:
                self._drain()
            if self._pump is None:
                self._announce_end()
            else:
                self._connection.cut_short(self._pump, "a message listener")

    def drop(self) -> None:
        """Forget the listeners: what they refer to may refer to the connection."""
        super().drop()
        self._is_heard = False
        self.quick = None
