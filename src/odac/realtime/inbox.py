"""Incoming messages of a connection: passes them to its listeners, one at a time, in the order of arrival."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import ref

from odac.close_codes import CloseCode
from odac.errors import Disconnected, InvalidMessage
from odac.notices import limit_met
from odac.realtime.cancellation import RAISED, Raised, cancel_overdue
from odac.realtime.listeners import Handler, listeners_of
from odac.realtime.phase import CLOSED, FUNCTIONS, HANDLER, LISTENERS
from odac.realtime.queue import MessageQueue
from odac.realtime.sent import SENT, is_to_be_awaited
from odac.realtime.turn import NO_MESSAGE, Turn

if TYPE_CHECKING:
    from odac.realtime.internal_ports import InboxOwner

__all__ = ["Inbox"]

logger = logging.getLogger("odac")

_WHILE_ASKING: Final = 4
"""Reading pauses at this multiple of ``incoming_queue`` while a call of this side waits for its answer, because the
answer arrives after the queued messages.
"""


class Inbox:
    """Passes messages from the lane to the application.

    While exactly one listener is ready, ``sole_listener`` is that listener, and a message goes straight to it. In
    every other situation (no listener yet, several, an asynchronous one running, ``async for``) messages are queued,
    and not decoded yet: decoded, they may take many times the memory. When ``incoming_queue`` messages are queued, or
    :attr:`Policy.incoming_bytes`, the lane stops reading.
    """

    __slots__ = (
        "_owner",
        "_pump",
        "_queue",
        "sole_listener",
    )

    def __init__(self, owner: InboxOwner) -> None:
        self._owner: InboxOwner = owner
        self._queue: MessageQueue | None = None
        self._pump: asyncio.Task[None] | None = None  # awaits an asynchronous listener
        self.sole_listener: Handler | None = None

    def reserve(self) -> None:
        """Note that the route has message functions; they get the messages after the handler returns."""
        self._owner.flags |= FUNCTIONS

    # Listeners

    def check_no_reader(self) -> None:
        """Check that a message listener may be added.

        Raises:
            RuntimeError: receive() is reading the messages.
        """
        if self._queue is not None and self._queue.waiter is not None:
            raise RuntimeError(
                "receive() waits for the next message: use on('message', …) or receive(), not both at once"
            )

    def listeners_changed(self) -> None:
        """A message listener was added or removed."""
        listeners = listeners_of(self._owner.listeners, "message")
        if listeners:
            self._owner.flags |= LISTENERS
        else:
            self._owner.flags &= ~LISTENERS
        queue = self._queue
        if queue is None:
            self.sole_listener = listeners[0] if len(listeners) == 1 and self._pump is None else None
            return
        if listeners and queue:
            self._owner.loop.call_soon(self._owner.run, self._drain)
        self._choose_listener()
        self.reconsider()

    def _choose_listener(self) -> None:
        listeners = listeners_of(self._owner.listeners, "message")
        ready = self._pump is None and not self._queue
        self.sole_listener = listeners[0] if len(listeners) == 1 and ready else None

    # Messages

    @property
    def is_paused(self) -> bool:
        """Whether reading from the peer is paused until a slow handler has caught up."""
        return self._queue is not None and self._queue.is_paused

    def receive_text(self, payload: bytes) -> None:
        """A text message has arrived.

        Args:
            payload: its bytes, which are valid UTF-8.
        """
        owner = self._owner
        if owner.speaks_odac and payload[:1] == b"\x1e":
            if payload[:2] != b"\x1e\x1e":
                owner.receive_control(payload)
                return
            payload = payload[1:]
        listener = self.sole_listener
        if listener is None:
            self.hold(payload, owner.policy.decode)
            return
        try:
            data = owner.policy.decode(payload)
        except RAISED as error:
            self.undecodable(error)
            return
        try:
            result = listener(data)
        except RAISED as error:
            self.failed(error)
            return
        if result is not None and result is not SENT:
            self.follow(result, data)

    def receive_binary(self, data: bytes) -> None:
        """A binary message has arrived."""
        if not self._owner.policy.takes_binary:
            self.undecodable(InvalidMessage("a binary message, but the route expects JSON text"))
            return
        listener = self.sole_listener
        if listener is None:
            self.hold(data, None)
            return
        try:
            result = listener(data)
        except RAISED as error:
            self.failed(error)
            return
        if result is not None and result is not SENT:
            self.follow(result, data)

    def undecodable(self, error: Raised) -> None:
        """A message could not be decoded; see :meth:`odac.realtime.events.Events.undecodable`."""
        self._owner.events.undecodable(error)

    def failed(self, error: Raised) -> None:
        """A listener raised; see :meth:`odac.realtime.events.Events.failed`."""
        self._owner.events.failed(error)

    def follow(self, result: object, data: object) -> None:
        """The sole listener returned ``result`` for ``data``: if it is awaitable, await it before the next message."""
        if hasattr(result, "__await__"):
            self._start_pump(cast("Awaitable[object]", result), data, [])

    def hold(self, payload: bytes, decode: Callable[[bytes], object] | None) -> None:
        """Queue a message: no listener is ready for it."""
        owner, queue = self._owner, self._queue
        if queue is None:
            queue = self._queue = MessageQueue()
        if queue.is_full(owner.policy) and not self._has_consumer():
            owner.unreceived()
            return
        queue.append((payload, decode))
        flags = owner.flags
        if flags & LISTENERS:
            if self._pump is None:
                self._drain()
        elif (
            not flags & (HANDLER | FUNCTIONS)
            and owner.calls is not None
            and type(decode) is not Turn
            and not self._has_consumer()
        ):
            owner.unreceived()
        if self._is_full(queue) and not queue.is_paused and self._has_consumer():
            queue.is_paused = True
            owner.lane.pause_reading()
            limit_met(
                "incoming_queue",
                "%s: %d messages wait for their handler; reading from the client pauses until it has caught up"
                " (Limits.incoming_queue)",
                owner.policy.path,
                len(queue),
            )
            if owner.calls is not None:
                owner.calls.overrun()

    def withdraw(self, turn: Turn) -> None:
        """Remove a turn that was queued with :meth:`hold`; resume reading if that makes room."""
        queue = self._queue
        if queue is not None and queue.withdraw(turn) and queue.is_paused and queue.is_half_empty(self._owner.policy):
            self._resume_reading(queue)

    def _is_full(self, queue: MessageQueue) -> bool:
        calls = self._owner.calls
        return queue.is_full(self._owner.policy, _WHILE_ASKING if calls is not None and calls.is_waiting else 1)

    @property
    def has_taken_all(self) -> bool:
        """Whether the application has received every message so far, or never will."""
        queue = self._queue
        if queue:
            return not self._has_consumer()
        return self._owner.flags & (LISTENERS | HANDLER) != HANDLER or (queue is not None and queue.reader is not None)

    def read_for_answer(self) -> None:
        """A call of this side waits for its answer, which may arrive after queued messages: resume reading."""
        queue = self._queue
        if queue is not None and queue.is_paused and not self._is_full(queue):
            self._resume_reading(queue)

    def _begin_turns(self, queue: MessageQueue) -> None:
        """The handler has returned: begin the turns before the next message, or all if no message will be consumed."""
        for payload, begin in queue.take_turns(not self._has_consumer()):
            if begin is not None:
                begin(payload)

    def _has_consumer(self) -> bool:
        """Whether a listener, a reader, or a running handler or task can still consume queued messages."""
        return (
            self._owner.flags & (LISTENERS | HANDLER) != 0
            or self._pump is not None  # the running listener may add another one
            or (self._queue is not None and self._queue.reader is not None)
            or self._owner.has_tasks
        )

    def reconsider(self) -> None:
        """A possible consumer is gone. If none is left, resume reading."""
        queue = self._queue
        if queue is None:
            return
        if queue and not self._owner.flags & HANDLER:
            self._begin_turns(queue)
        if queue.is_paused and not self._has_consumer():
            self._resume_reading(queue)

    def _resume_reading(self, queue: MessageQueue) -> None:
        queue.is_paused = False
        self._owner.lane.resume_reading()

    def _next(self, queue: MessageQueue) -> object:
        """Take a message from the queue; :data:`NO_MESSAGE` if it is empty or the route does not take the message."""
        payload, decode = queue.take()
        if queue.is_paused and queue.is_half_empty(self._owner.policy):
            self._resume_reading(queue)
        if decode is None:
            return payload
        try:
            return decode(payload)
        except RAISED as error:
            self.undecodable(error)
            return NO_MESSAGE

    def _drain(self) -> None:
        """Pass the queued messages to the listeners, until a result has to be awaited."""
        queue = self._queue
        while queue and self._pump is None and self._owner.flags & LISTENERS:
            data = self._next(queue)
            if data is not NO_MESSAGE:
                self._handle(data)
        self._choose_listener()

    def _handle(self, data: object) -> None:
        listeners = listeners_of(self._owner.listeners, "message")
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
        self.sole_listener = None
        self._pump = self._owner.loop.create_task(self._run_pump(first, data, rest))

    async def _run_pump(self, first: Awaitable[object], data: object, rest: list[Handler]) -> None:
        """Await an asynchronous listener, then go on with the next listeners and messages: one at a time, in order."""
        owner = self._owner
        events = owner.events
        if self._pump is None:
            await asyncio.sleep(0)  # an eager task factory runs this before _start_pump() has stored the task
        try:
            await events.awaited(first)
            await events.call(rest, data)
            queue = self._queue
            while queue and self._owner.flags & LISTENERS:
                data = self._next(queue)
                if data is not NO_MESSAGE:
                    await events.call(listeners_of(owner.listeners, "message"), data)
        except asyncio.CancelledError:
            if owner.phase < CLOSED:
                logger.warning(
                    "%s: the task of a message listener was cancelled; its connection is closed with 1011",
                    owner.policy.path,
                )
                owner.begin_close(CloseCode.INTERNAL_ERROR, "internal error")  # no task is left for the queued messages
            raise
        finally:
            self._pump = None
            self._choose_listener()
            self.reconsider()
            if owner.phase >= CLOSED:
                owner.closed()

    async def receive(self) -> Any:
        """The next message, or :class:`Disconnected` after the last one."""
        ended = self._owner.ended
        if self._owner.flags & LISTENERS:
            if ended is not None:
                raise Disconnected(*ended)
            raise RuntimeError("on('message', …) listeners get every message: use them or receive(), not both at once")
        queue = self._queue
        if queue is None:
            queue = self._queue = MessageQueue()
        while True:
            if queue:
                data = self._next(queue)
                if data is not NO_MESSAGE:
                    return data
            elif (ended := self._owner.ended) is not None:
                raise Disconnected(*ended)
            elif queue.waiter is not None:
                raise RuntimeError("receive() is already waiting in another task: read a connection from one place")
            else:
                await self._wait(queue)

    async def _wait(self, queue: MessageQueue) -> None:
        if queue.reader is None:
            if self._owner.flags & FUNCTIONS:
                raise RuntimeError(
                    "the route's message functions get its messages once its handler has returned: let the handler"
                    " return without reading messages"
                )
            task = asyncio.current_task()
            if task is not None:
                queue.reader = ref(task)
                task.add_done_callback(self._reader_ended)
        queue.waiter = self._owner.loop.create_future()
        try:
            await queue.waiter
        finally:
            queue.waiter = None

    def _reader_ended(self, reader: object) -> None:
        if self._queue is not None:
            self._queue.reader = None
        self._owner.run(self.reconsider)

    # The end

    def handler_returned(self) -> None:
        """The route's handler has returned; the connection stays open."""
        self._owner.flags &= ~HANDLER
        if self._queue is not None:
            self.reconsider()

    @property
    def is_awaiting(self) -> bool:
        """Whether an asynchronous message listener runs."""
        return self._pump is not None

    def finish(self) -> None:
        """The connection has ended: pass on the messages that arrived before, then report the end.

        Called again when a handler has outlived the end, which may have added the first listener.
        """
        if self._queue is not None:
            self._queue.wake()
            if self._pump is None:
                self._drain()
        if self._pump is None:
            self._owner.closed()
        else:
            cancel_overdue(self._owner, self._pump, "a message listener")

    def after_messages(self, function: Callable[[], object]) -> None:
        """Call a function when the listeners have handled every message that has arrived."""
        if self._pump is None:
            self._drain()
        if self._pump is None:
            function()
        else:
            self._pump.add_done_callback(lambda _: self.after_messages(function))

    def drop(self, released: Any) -> None:
        """The connection is released: stop calling its listeners, and use ``released`` in its place.

        Args:
            released: has the attributes that an inbox without listeners uses.
        """
        released.flags = self._owner.flags & ~LISTENERS
        self.sole_listener = None
        self._owner = released
