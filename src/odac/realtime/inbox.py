"""The incoming end of a connection: its listeners, one message at a time, in the order of arrival."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, cast

from odac.close_codes import CloseCode
from odac.errors import Disconnected, InvalidMessage
from odac.notices import limit_met
from odac.realtime.listeners import EVENTS, Handler, fit
from odac.realtime.outbox import SENT

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["Inbox"]

logger = logging.getLogger("odac")


class Inbox:
    """Takes messages from the lane and gives them to the application.

    While exactly one listener stands ready, ``quick`` is that listener and the lane's message goes straight to it. In
    every other situation (no listener yet, several, an asynchronous one at work, ``async for``) messages go through
    ``queue``. When ``incoming_queue`` of them wait, the lane stops reading.
    """

    __slots__ = (
        "_connection",
        "_ended",
        "_finished",
        "_finishing",
        "_handler_done",
        "_iterating",
        "_listeners",
        "_paused",
        "_pump",
        "_queue",
        "_waiter",
        "quick",
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # (event, as registered, as called); one flat tuple, because most connections have one listener or two
        self._listeners: tuple[tuple[str, Handler, Handler], ...] = ()
        self._queue: deque[object] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._ended: tuple[int, str] | None = None
        self._finishing = False
        self._finished = False
        self._handler_done = False
        self._iterating = False
        self._paused = False
        self.quick: Handler | None = None

    # Listeners

    def on(self, event: str, handler: Handler) -> None:
        """Add a listener."""
        if event not in EVENTS:
            raise ValueError(f"there is no event {event!r}: use one of {', '.join(EVENTS)}")
        called = fit(handler, EVENTS[event])
        self._listeners += ((event, handler, called),)
        if event == "close" and self._finishing:
            # The connection ended while its handler was on the way here; whoever cleans up must hear of it all the same.
            self._connection.delivery.loop.call_soon(self._announce, [called])
        if event == "message":
            if self._queue:
                self._connection.delivery.loop.call_soon(self._drain)
            self._choose_quick()

    def off(self, event: str, handler: Handler | None) -> None:
        """Remove a listener, or all of an event."""
        if event not in EVENTS:
            raise ValueError(f"there is no event {event!r}: use one of {', '.join(EVENTS)}")
        self._listeners = tuple(
            [each for each in self._listeners if each[0] != event or (handler is not None and each[1] != handler)]
        )
        if event == "message":
            self._choose_quick()

    def _choose_quick(self) -> None:
        listeners = self._called("message")
        ready = self._pump is None and not self._queue and not self._iterating
        self.quick = listeners[0] if len(listeners) == 1 and ready else None

    def _called(self, event: str) -> list[Handler]:
        return [called for name, _, called in self._listeners if name == event]

    def _has(self, event: str) -> bool:
        return any(name == event for name, _, _ in self._listeners)

    # Messages

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read from the peer until a slow handler has taken what waits."""
        return self._paused

    def deliver(self, data: object) -> None:
        """A message has arrived."""
        quick = self.quick
        if quick is None:
            self._enqueue(data)
            return
        try:
            result = quick(data)
        except Exception as error:
            self.failed(error)
            return
        if result is not None and result is not SENT:
            self.follow(result, data)

    def follow(self, result: object, data: object) -> None:
        """The only listener returned something for ``data``: if it is to be awaited, the next message waits for it."""
        if hasattr(result, "__await__"):
            self._start_pump(cast("Awaitable[object]", result), data, [])

    def _enqueue(self, data: object) -> None:
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
        bound = self._connection.policy.limits.incoming_queue
        if len(queue) >= bound and self._nobody_will_take():
            self._connection.delivery.untaken(self._connection)
            return
        queue.append(data)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._pump is None and self._has("message"):
            self._drain()
        if len(queue) >= bound and not self._paused and not self._nobody_will_take():
            self._paused = True
            self._connection.lane.pause_reading()
            limit_met(
                "incoming_queue",
                "%s: %d messages wait for their handler, and reading from the client pauses until it has caught up (Limits.incoming_queue)",
                self._connection.policy.name,
                bound,
            )

    def _nobody_will_take(self) -> bool:
        return (
            self._handler_done and not self._has("message") and self._waiter is None and not self._connection.has_tasks
        )

    def _next(self, queue: deque[object]) -> object:
        data = queue.popleft()
        if self._paused and len(queue) <= self._connection.policy.limits.incoming_queue // 2:
            self._paused = False
            self._connection.lane.resume_reading()
        return data

    def _drain(self) -> None:
        """Give the listeners what waits, until one of them has to be awaited."""
        queue = self._queue
        while queue and self._pump is None and self._has("message"):
            self._handle(self._next(queue))
        self._choose_quick()

    def _handle(self, data: object) -> None:
        listeners = self._called("message")
        for index, listener in enumerate(listeners):
            try:
                result = listener(data)
            except Exception as error:
                self.failed(error)
                continue
            if result is not None and result is not SENT and hasattr(result, "__await__"):
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
            while queue and self._has("message"):
                await self._call(self._called("message"), self._next(queue))
        finally:
            self._pump = None
            self._choose_quick()
            if self._ended is not None:
                self._announce_end()

    async def _call(self, listeners: list[Handler], *arguments: object) -> None:
        for listener in listeners:
            try:
                result = listener(*arguments)
            except Exception as error:
                self.failed(error)
                continue
            if result is not None and hasattr(result, "__await__"):
                await self._awaited(result)

    async def _awaited(self, result: Awaitable[object]) -> None:
        try:
            await result
        except Exception as error:
            self.failed(error)

    async def receive(self) -> object:
        """The next message, or :class:`Disconnected` after the last one."""
        self._iterating = True
        self.quick = None
        while not self._queue:
            if self._ended is not None:
                raise Disconnected(*self._ended)
            if self._waiter is not None:
                raise RuntimeError("receive() is already waiting in another task: read a connection from one place")
            self._waiter = self._connection.delivery.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._next(self._queue)

    # Other events

    def emit(self, event: str, *arguments: object) -> None:
        """Call an event's listeners; what is asynchronous among them becomes a task of the connection."""
        for called in self._called(event):
            try:
                result = called(*arguments)
            except Exception as error:
                self.failed(error)
                continue
            if result is not None and hasattr(result, "__await__"):
                self._connection.own(self._awaited(result))

    def failed(self, error: Exception) -> None:
        """A handler or listener raised, or a message was invalid: tell the error listeners, else end the connection."""
        connection = self._connection
        if self._ended is not None and isinstance(error, Disconnected):
            return  # that the connection has ended is no news, and no fault of the application's
        listeners = self._called("error")
        if listeners:
            for called in listeners:
                try:
                    result = called(error)
                except Exception as second:
                    self._fatal(second)
                    continue
                if result is not None and hasattr(result, "__await__"):
                    own = connection.own if self._ended is None else connection.own_to_the_end
                    own(self._error_listener(result))
        elif isinstance(error, InvalidMessage):
            connection.end(CloseCode.INVALID_DATA, _shortened(error.reason))
        else:
            self._fatal(error)

    async def _error_listener(self, result: Awaitable[object]) -> None:
        try:
            await result
        except Exception as error:
            self._fatal(error)

    def _fatal(self, error: Exception) -> None:
        logger.error(
            "%s: a handler raised; its connection is closed with 1011 (odac.ws.on('error', …) would keep it)",
            self._connection.policy.name,
            exc_info=error,
        )
        self._connection.end(CloseCode.INTERNAL_ERROR, "internal error")

    # The end

    def handler_returned(self) -> None:
        """The route's handler is through; the connection stays."""
        self._handler_done = True
        if self._finished:
            self.drop()
        queue = self._queue
        if self._paused and queue and self._nobody_will_take():
            self._paused = False
            self._connection.lane.resume_reading()

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

    def _announce_end(self) -> None:
        if not self._finishing:
            self._finishing = True
            self._announce(self._called("close"))

    def _announce(self, listeners: list[Handler]) -> None:
        arguments = self._ended
        assert arguments is not None
        for index, called in enumerate(listeners):
            try:
                result = called(*arguments)
            except Exception as error:
                self.failed(error)
                continue
            if result is not None and hasattr(result, "__await__"):
                rest = self._announce_rest(result, listeners[index + 1 :], arguments)
                self._connection.cut_short(self._connection.own_to_the_end(rest), "a close listener")
                return
        self._finish()

    async def _announce_rest(self, result: Awaitable[object], rest: list[Handler], arguments: tuple[int, str]) -> None:
        try:
            await self._awaited(result)
            await self._call(rest, *arguments)
        finally:
            self._finish()

    def _finish(self) -> None:
        self._finished = True
        if self._connection.released():
            self.drop()

    def drop(self) -> None:
        """Forget the listeners: what they refer to may refer to the connection."""
        self._listeners = ()
        self.quick = None


def _shortened(reason: str) -> str:
    """At most the 123 bytes that a close frame has for its reason (RFC 6455 section 5.5.1)."""
    return reason.encode()[:123].decode(errors="ignore")
