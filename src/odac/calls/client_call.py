"""One call by a client, from its arrival to its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from odac.calls.messages import encode, refusal
from odac.errors import CallError, InvalidMessage
from odac.notices import raised, unhandled, warn
from odac.protocol.message import Verbatim
from odac.realtime.cancellation import RAISED
from odac.realtime.sent import is_to_be_awaited

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odac.calls.remembered import Record, Remembered
    from odac.realtime.turn import Turn

__all__ = ["AnswerFunction", "Answerer", "Call"]

_LONGEST_WAIT: Final = 60.0
"""Seconds that a call without a deadline waits for the messages before it to be handled."""


class AnswerFunction(NamedTuple):
    """The function that answers one call.

    Args:
        function: takes the context and the arguments.
        convert: validates the parsed arguments and converts them to the declared type; None if none is declared.
        arguments: the declared type, Any, or None if the function takes no arguments.
        returns: the declared type of the result.
        source: the function as it was defined.
    """

    function: Callable[..., Any]
    convert: Callable[[object], object] | None
    arguments: Any
    returns: Any
    source: Callable[..., Any]


class Answerer(Protocol):
    """The connection that a call arrived over, as the call uses it."""

    answers: Mapping[str, AnswerFunction]
    remembered: Remembered

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        ...

    @property
    def path(self) -> str:
        """The route's, for log lines."""
        ...

    def context_of(self, call: Call) -> Any:
        """The context that the function of this call gets."""
        ...

    def keep(self, task: asyncio.Task[None]) -> None:
        """Hold a reference to the task of an answer until it ends."""
        ...

    def withdraw(self, turn: Turn) -> None:
        """A queued call has its answer: remove its turn from the queue."""
        ...

    def discard(self, id_: int, call: Call) -> None:
        """Forget a call: it has its answer, or is answered over another connection."""
        ...

    def send(self, message: Verbatim) -> None:
        """Send an answer, if the connection is still open."""
        ...


class Call:
    """The call that is being answered: ``odac.call``.

    Attributes:
        name: of the call.
        key: identifies this call, and is the same when the client resends it because of ``retry``. A call that the
            client makes again after ``interrupted`` has another key.
    """

    __slots__ = (
        "_age",
        "_answering",
        "_deadline",
        "_id",
        "_record",
        "_state",
        "_task",
        "_timer",
        "_turn",
        "key",
        "name",
    )

    def __init__(
        self, answering: Answerer, id_: int, name: str, deadline: float | None, origin: str, age: float = 0.0
    ) -> None:
        self.name = name
        self.key = f"{origin}/{id_}"
        self._age = age  # of the latest copy that has arrived
        self._answering = answering
        self._id = id_
        self._deadline = deadline
        self._record: Record | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._turn: Turn | None = None
        self._state = _WAITING

    def __repr__(self) -> str:
        return f"<Call {self.name} {self.key}>"

    # From arrival to answer

    def wait(self, turn: Turn) -> None:
        """Earlier messages are still queued; ``turn`` is queued after them."""
        self._turn = turn
        loop = self._answering.loop
        due = self._deadline if self._deadline is not None else loop.time() + _LONGEST_WAIT
        self._timer = loop.call_at(due, self._expire)

    def _expire(self) -> None:
        warn(
            "handler_wait",
            "%s: a call of %r reached its deadline before the route's handler had read the messages before it, added"
            " a listener or returned; run long work as a task, with odac.create_task(…)",
            self._answering.path,
            self.name,
        )
        self.refuse(CallError("timeout", "the handler was not ready in time"))

    def begin(self, arguments: object) -> None:
        """The messages before it have been handled: call the function."""
        if self._state is not _WAITING:
            return  # it was cancelled, or its deadline has passed
        self._turn = None
        self._stop_timer()
        answer = self._answering.answers.get(self.name)
        if answer is None:
            self.refuse(CallError("unknown", f"nothing answers {self.name[:100]!r} on this route"))
            return
        self._state = _RUNNING
        try:
            if answer.convert is not None:
                arguments = answer.convert(arguments)
        except InvalidMessage as error:
            self.refuse(CallError("invalid", error.reason))
            return
        try:
            result = answer.function(self._answering.context_of(self), arguments)
        except RAISED as error:
            self._raised(error)
            return
        if is_to_be_awaited(result):
            self._task = self._answering.loop.create_task(self._run(result))
            self._task.add_done_callback(partial(self._ended, result))
            self._answering.keep(self._task)
        else:
            self._reply(result)

    async def _run(self, result: Awaitable[object]) -> None:
        limit = asyncio.timeout_at(self._deadline)
        try:
            async with limit:
                value = await result
        except TimeoutError as error:
            if limit.expired():
                self.refuse(CallError("timeout", "the answer took too long"))
            else:
                self._raised(error)
        except RAISED as error:
            self._raised(error)
        else:
            self._reply(value)

    def _ended(self, result: Awaitable[object], task: asyncio.Task[None]) -> None:
        """A task that is cancelled before its first step runs nothing, so that no answer has been given."""
        if task.cancelled() and self._state is _RUNNING:
            if isinstance(result, Coroutine):
                result.close()
            self._raised(asyncio.CancelledError())

    def _raised(self, error: BaseException) -> None:
        if isinstance(error, CallError):
            self.refuse(error)
        elif isinstance(error, asyncio.CancelledError):
            self.refuse(CallError("cancelled", "the call was cancelled"))
        else:
            raised("%s: the answer to %r raised", error, self._answering.path, self.name)
            unhandled(error)
            self.refuse(CallError("internal"))

    def _reply(self, value: object) -> None:
        try:
            message = encode("reply", self._id, value)
        except TypeError as error:
            raised("%s: the answer to %r cannot be sent", error, self._answering.path, self.name)
            unhandled(error)
            self.refuse(CallError("internal"))
        else:
            self._finish(message)

    def refuse(self, error: CallError) -> None:
        """Answer with an error; do nothing if the call has its answer."""
        self._finish(refusal(self._id, error))

    def _finish(self, message: Verbatim) -> None:
        if self._state is _FINISHED:
            return
        begun = self._state is _RUNNING
        self._state = _FINISHED
        self._stop_timer()
        answering, record = self._answering, self._record
        answering.discard(self._id, self)
        if self._turn is not None:
            answering.withdraw(self._turn)
        if record is not None:
            # A call that was refused before its function was called may be sent again, and is then executed.
            answering.remembered.finish(record, message.payload) if begun else answering.remembered.forget(record)
        answering.send(message)

    def cancel(self) -> None:
        """The client has cancelled the call."""
        if self._task is not None:
            self._task.cancel()
        else:
            self.refuse(CallError("cancelled", "the call was cancelled"))

    def lost(self) -> None:
        """The connection has ended. A call with ``retry`` that has begun continues: the client will send it again."""
        if self._record is not None and self._state is _RUNNING:
            return
        if self._state is _WAITING:
            if self._record is not None:
                self._answering.remembered.forget(self._record)
            self._state = _FINISHED
            self._stop_timer()
        if self._task is not None:
            self._task.cancel()

    def remember(self, record: Record) -> None:
        """Store the outcome in this record: the client may send the call again."""
        self._record = record
        record.running = self

    def is_older_than(self, age: float, answering: Answerer) -> bool:
        """Whether a copy of the call is a later one, and came over another connection.

        Args:
            age: of that copy: milliseconds since the client sent the first one.
            answering: the connection that it came over.
        """
        return age >= self._age and answering is not self._answering

    def move(self, answering: Answerer, age: float) -> None:
        """The client has sent the call again over another connection: send the answer there."""
        self._answering.discard(self._id, self)
        self._answering = answering
        self._age = age

    def drop_if_waiting(self) -> bool:
        """Drop the call if its function was not called yet: the client has sent it again over another connection.

        The messages queued before it belong to the earlier connection, whose handler may never receive them.

        Returns:
            whether the call was dropped; then it must be admitted again, over the other connection.
        """
        if self._state is not _WAITING:
            return False
        self._state = _FINISHED
        self._stop_timer()
        self._answering.discard(self._id, self)
        if self._turn is not None:
            self._answering.withdraw(self._turn)
        if self._record is not None:
            self._answering.remembered.forget(self._record)
        return True

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_WAITING: Final = "waiting"
_RUNNING: Final = "running"
_FINISHED: Final = "finished"
