"""The queue from which a client's listeners get its events, and ``receive()`` its messages, in the order of arrival."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from odac.errors import Disconnected
from odac.realtime.listeners import Handler, fit

if TYPE_CHECKING:
    from odac.client.calls import Calls

__all__ = ["ERROR_LIMIT", "EVENTS", "Events", "check_event"]

logger = logging.getLogger("odac.client")

EVENTS: Final = {
    "open": 0,
    "message": 1,
    "close": 2,
    "error": 1,
    "invalid": 1,
    "reconnecting": 2,
    "presence": 1,
    "recover": 1,
}
"""The events, each with the number of arguments that its listeners get."""

MOST_WAITING: Final = 16
"""Events that may wait for the listeners, and as many messages for ``receive()``, before the client stops reading, so
that TCP holds the server back.
"""

FACTOR_WHILE_CALLING: Final = 4
"""While a call waits for its answer, which comes after the events, :data:`MOST_WAITING` is multiplied by this."""

_TURN: Final = "turn"
"""The name of an entry in the queue that is no event: a function to call after the entries before it."""

ERROR_LIMIT: Final = 256
"""``error`` events are dropped while so many events wait."""


class Events:
    """One task, :meth:`run`, takes events from a queue and delivers them in order.

    Messages that arrive before there is a listener or reader are held for the first one.
    """

    __slots__ = (
        "_changed",
        "_ended",
        "_finished",
        "_has_message",
        "_has_room",
        "_inbox",
        "_listeners",
        "_queue",
        "_reading",
        "_released",
        "_runner",
        "_warned_invalid",
        "_warned_unread",
        "calls",
        "last_end",
    )

    def __init__(self) -> None:
        self._listeners: dict[str, list[tuple[Handler, Handler]]] = {}  # event: (as registered, as called)
        self._queue: deque[tuple[str, tuple[object, ...]]] = deque()
        self._inbox: deque[object] = deque()
        self._runner: asyncio.Task[object] | None = None
        self._finished: tuple[int, str] | None = None  # no further events will come
        self._ended: tuple[int, str] | None = None  # and all of them were delivered
        self._reading = False  # receive() has been called
        self._released = False  # the connection is being closed, and the queue has no limit any more
        self._warned_unread = False
        self._warned_invalid = False  # of a message that the server dropped
        self.last_end: tuple[int, str] | None = None
        self.calls: Calls | None = None
        self._changed = asyncio.Event()  # for run()
        self._has_room = asyncio.Event()  # for message()
        self._has_message = asyncio.Event()  # for receive()

    def on(self, event: str, handler: Handler) -> None:
        """Add a listener; see :meth:`odac.client.ClientConnection.on`."""
        check_event(event)
        self._listeners.setdefault(event, []).append((handler, fit(handler, EVENTS[event])))
        self._changed.set()

    def off(self, event: str, handler: Handler | None) -> None:
        """Remove a listener, or all of an event."""
        check_event(event)
        kept = [] if handler is None else [pair for pair in self._listeners.get(event, ()) if pair[0] != handler]
        self._listeners[event] = kept

    # From the connection

    def post(self, event: str, *arguments: object) -> None:
        """Queue an event. Of ``error`` events there may be many, such as one for each refused send of a loop: they are
        dropped while :data:`ERROR_LIMIT` events wait.
        """
        if self._ended is None and not (event == "error" and len(self._queue) >= ERROR_LIMIT):
            self._queue.append((event, arguments))
            self._changed.set()

    async def message(self, data: object) -> None:
        """Queue a message that has arrived; return when the client may read the next one."""
        self.post("message", data)
        while self._is_full() and not self._released:
            if self.calls is not None:
                self.calls.overrun()
            self._has_room.clear()
            await self._has_room.wait()

    def _is_full(self) -> bool:
        calling = self.calls is not None and self.calls.is_waiting
        return len(self._queue) >= MOST_WAITING * (FACTOR_WHILE_CALLING if calling else 1)

    def read_for_answer(self) -> None:
        """A call waits for its answer, perhaps in a listener: go on reading, although messages wait for listeners."""
        self._has_room.set()

    def in_turn(self, begin: Callable[[], None]) -> None:
        """Call a function after the events that wait for the listeners."""
        if self._queue:
            self.post(_TURN, begin)
        else:
            begin()

    def ended(self, code: int, reason: str) -> None:
        """A connection, or an attempt at one, has ended."""
        self.last_end = (code, reason)
        self.post("close", code, reason)

    def release(self) -> None:
        """The connection is being closed: do not wait for the application to take messages, which it may never do."""
        self._released = True
        self._has_room.set()
        self._changed.set()

    def finish(self, code: int, reason: str) -> None:
        """No event follows: :meth:`run` ends when it has delivered those in the queue."""
        self._finished = (code, reason)
        self.release()

    # To the application

    @property
    def in_listener(self) -> bool:
        """Whether a listener is the caller: if it waited for the next event, it would wait forever."""
        return self._runner is not None and asyncio.current_task() is self._runner

    async def receive(self) -> object:
        """The next message; raises :class:`Disconnected` after the last one."""
        if self.in_listener:
            raise RuntimeError(
                "receive() in a listener would wait for itself: take the message as the listener's argument, or start"
                " a task"
            )
        self._reading = True
        while not self._inbox:
            ended = self._ended
            if ended is None and self._runner is None:
                ended = self._finished  # closed before it was opened: run() is never called
            if ended is not None:
                raise Disconnected(*ended)
            self._has_message.clear()
            await self._has_message.wait()
        data = self._inbox.popleft()
        self._changed.set()
        return data

    async def run(self) -> None:
        """Deliver events until :meth:`finish`."""
        self._runner = asyncio.current_task()
        try:
            while True:
                await self._replay()
                if self._queue:
                    await self._deliver(*self._queue.popleft())
                    self._has_room.set()
                elif self._finished is not None:
                    return
                else:
                    await self._wait_for_change()
        finally:
            self._ended = self._finished or (1006, "")
            self._queue.clear()
            self._has_message.set()

    async def _wait_for_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _deliver(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == _TURN:
            cast("Callable[[], None]", arguments[0])()
            return
        listeners = self._listeners.get(event)
        if event != "message":
            if not listeners:
                self._log_unhandled(event, *arguments)
            else:
                await self._call(event, arguments)
            return
        if listeners:
            await self._call(event, arguments)
        if self._reading or not listeners:
            self._inbox.append(arguments[0])
            self._has_message.set()
            await self._inbox_has_room()

    def _log_unhandled(self, event: str, argument: object = None, *_: object) -> None:
        """Log an error, and the first ``invalid``, for which there is no listener."""
        if event == "error":
            logger.warning("%s", str(argument) or type(argument).__name__)
        elif event == "invalid" and not self._warned_invalid:
            self._warned_invalid = True
            logger.warning(
                "the server dropped a message that its route does not take; see on('invalid', …): %s", argument
            )

    async def _inbox_has_room(self) -> None:
        while len(self._inbox) >= MOST_WAITING and not self._released and not self._may_replay():
            if not self._reading and not self._warned_unread:
                self._warned_unread = True
                logger.warning(
                    "%d messages wait and nothing takes them, so the client stops reading: add on('message', …), or use"
                    " receive()",
                    MOST_WAITING,
                )
            await self._wait_for_change()

    def _may_replay(self) -> bool:
        return bool(self._inbox) and not self._reading and bool(self._listeners.get("message"))

    async def _replay(self) -> None:
        """Deliver the messages that arrived before the first listener was added."""
        while self._may_replay():
            await self._call("message", (self._inbox.popleft(),))

    async def _call(self, event: str, arguments: tuple[object, ...]) -> None:
        for _, function in list(self._listeners.get(event, ())):
            try:
                result = function(*arguments)
                if result is not None and hasattr(result, "__await__"):
                    await result
            except (Exception, asyncio.CancelledError) as error:
                # A task that a listener awaited was cancelled: that ends the listener alone. Or this task is cancelled.
                if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                    raise
                if event == "error" or not self._listeners.get("error"):
                    logger.exception("a listener for %r raised; add on('error', …) to handle it", event)
                else:
                    await self._call("error", (error,))


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def check_event(event: str) -> None:
    """Raise ValueError where there is no such event."""
    if event not in EVENTS:
        raise ValueError(f"there is no event {event!r}: use one of {', '.join(EVENTS)}")
