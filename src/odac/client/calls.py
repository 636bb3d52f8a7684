"""Calls on the client's side: those that it makes, over all its connections, and its answers to the server's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from odac.calls.messages import encode, read_answer, read_id, read_request, refusal
from odac.client.ports import MessageQueue, OpenConnection
from odac.errors import CallError, ConfigurationError, Disconnected, InvalidMessage
from odac.protocol.message import Prepared
from odac.protocol.types import make_converter, not_decodable
from odac.realtime.listeners import fit
from odac.routing.annotations import annotations_of

__all__ = ["AT_A_TIME", "Calls", "check_answer", "check_call"]

logger = logging.getLogger("odac.client")

AT_A_TIME: Final = 16
"""Calls of the server that are answered at the same time; the default of the server's ``Limits.calls_per_connection``.
"""

MOST_WAITING: Final = 1024
"""The most calls of this client that may wait for their answers."""


def check_call(name: str, timeout: float) -> None:
    """Check a call's name and timeout.

    Raises:
        ValueError: the name is not a str, or the timeout is not a number of seconds above 0, at most a day.
    """
    if not isinstance(name, str) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 86_400:
        raise ValueError(
            f"call({name!r}, timeout={timeout!r}): the name must be a str, the timeout seconds above 0, at most a day"
        )


def check_answer(name: object) -> None:
    """Check the argument of the decorator ``answer``.

    Raises:
        ConfigurationError: it is not a str; for example it is the function, as in ``@ws.answer``.
    """
    if not isinstance(name, str):
        example = getattr(name, "__name__", "move")
        raise ConfigurationError(f"@ws.answer needs the name of the call: write @ws.answer({example!r})")


class _WaitingCall:
    """A call that waits for its answer."""

    __slots__ = ("answer", "arguments", "deadline", "first_sent", "name", "origin", "retry", "sent")

    def __init__(self, name: str, arguments: object, deadline: float, retry: bool, answer: asyncio.Future[Any]) -> None:
        self.name = name
        self.arguments = arguments
        self.deadline = deadline
        self.retry = retry
        self.answer = answer
        self.sent = False  # over the connection that is open now
        self.first_sent = 0.0
        self.origin: str | None = None  # "calls" in the hello of the connection that it was first sent over

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Calls:
    """Calls of one client.

    Args:
        queue: the client's messages; a call of the server is answered after the messages that arrived before it.
    """

    __slots__ = ("_answers", "_connection", "_hello_at", "_number", "_queue", "_running", "_waiting")

    def __init__(self, queue: MessageQueue) -> None:
        self._answers: dict[str, tuple[Callable[..., Any], Callable[[object], object] | None]] = {}
        self._queue = queue
        self._number = 0
        self._running: dict[int, asyncio.Task[None] | None] = {}
        self._hello_at = 0.0
        self._waiting: dict[int, _WaitingCall] = {}
        self._connection: OpenConnection | None = None

    # Calls to the server

    @property
    def is_waiting(self) -> bool:
        """Whether a call waits for its answer, which may arrive behind queued messages."""
        return bool(self._waiting)

    async def call(self, name: str, arguments: object, timeout: float, retry: bool, returns: Any) -> Any:  # noqa: ASYNC109
        """Call the server: see :meth:`odac.client.ClientConnection.call`."""
        if len(self._waiting) >= MOST_WAITING:
            raise CallError("busy", f"{MOST_WAITING} calls wait for their answers")
        encode("call", name, arguments)  # raises now for arguments that cannot be sent, even if the call has to wait
        loop = asyncio.get_running_loop()
        self._number += 1
        number = self._number
        waiting = _WaitingCall(name, arguments, loop.time() + timeout, retry, loop.create_future())
        self._waiting[number] = waiting
        self._queue.read_for_answer()
        try:
            self._send(number, waiting)
            try:
                async with asyncio.timeout_at(waiting.deadline):
                    value = await waiting.answer
            except TimeoutError:
                self._cancel(number, waiting)
                raise CallError("timeout", f"no answer to {name!r} within {timeout:g} s") from None
            except asyncio.CancelledError:
                self._cancel(number, waiting)
                raise
        finally:
            del self._waiting[number]
        return value if returns is None else make_converter(returns)(value)

    def _send(self, number: int, waiting: _WaitingCall) -> None:
        """Send a call, or send it again; without a connection it waits for the next one."""
        connection = self._connection
        if connection is None:
            return
        if not connection.speaks_odac:
            waiting.fail(CallError("unknown", "the server does not speak odac.v1, which calls are part of"))
            return
        now = asyncio.get_running_loop().time()
        at, left = int((now - self._hello_at) * 1000), int((waiting.deadline - now) * 1000)
        if left <= 0:
            return  # call() raises at the deadline
        values: list[object] = [number, waiting.name, waiting.arguments, at, left]
        if waiting.retry:
            if waiting.origin is None:
                origin = connection.facts.get("calls")
                waiting.origin, waiting.first_sent = origin if isinstance(origin, str) else "", now
                age = 0
            else:
                age = max(int((now - waiting.first_sent) * 1000), 1)
            values.append([waiting.origin, age])
        waiting.sent = connection.control(encode("call", *values))

    def _cancel(self, number: int, waiting: _WaitingCall) -> None:
        if waiting.sent and self._connection is not None:
            self._connection.control(encode("cancel", number))

    def overrun(self) -> None:
        """The queue of messages is full, so answers behind them cannot be read: give up the calls that were sent."""
        for number, waiting in self._waiting.items():
            if waiting.sent:
                self._cancel(number, waiting)
                waiting.fail(CallError("busy", "too many messages wait for listeners, and the answer comes after them"))

    # Calls from the server

    def add(self, name: str, function: Callable[..., Any], names: Mapping[str, Any]) -> None:
        """Answer the server's calls of this name: see :meth:`odac.client.ClientConnection.answer`."""
        fitted = fit(function, 1)
        parameters, _ = annotations_of(function, names, f"answer({name!r})")
        kind = parameters[0] if parameters else Any
        try:
            convert = None if kind is Any or kind is object else make_converter(kind)
        except TypeError as error:
            raise ConfigurationError(f"answer({name!r}): {not_decodable(kind, error)}") from None
        self._answers[name] = (fitted, convert)

    def _receive_call(self, values: list[Any]) -> None:
        request = read_request(values)
        if request is None or request.id in self._running:
            return
        if request.at is not None and request.left is not None:
            elapsed = asyncio.get_running_loop().time() - self._hello_at - request.at / 1000
            if elapsed >= request.left / 1000:
                self._send_control(refusal(request.id, CallError("timeout", "the call arrived after its deadline")))
                return
        if len(self._running) >= AT_A_TIME:
            self._send_control(refusal(request.id, CallError("busy", f"{AT_A_TIME} calls are being answered")))
            return
        self._running[request.id] = None
        self._queue.in_turn(lambda: self._start_answer(request.id, request.name, request.arguments))

    def _start_answer(self, number: int, name: str, arguments: object) -> None:
        if number not in self._running:
            return  # cancelled, or the connection is gone
        registered = self._answers.get(name)
        if registered is None:
            self._reply(number, refusal(number, CallError("unknown", f"nothing answers {name[:100]!r}")))
            return
        task = asyncio.get_running_loop().create_task(self._answer(number, name, *registered, arguments))
        self._running[number] = task

    async def _answer(
        self,
        number: int,
        name: str,
        function: Callable[..., Any],
        convert: Callable[[object], object] | None,
        arguments: object,
    ) -> None:
        try:
            result = function(arguments if convert is None else convert(arguments))
            if isinstance(result, Awaitable):
                result = await result
            message: Prepared = encode("reply", number, result)
        except CallError as error:
            message = refusal(number, error)
        except InvalidMessage as error:
            message = refusal(number, CallError("invalid", error.reason))
        except asyncio.CancelledError:
            message = refusal(number, CallError("cancelled", "the call was cancelled"))
        except Exception:
            logger.exception("the answer to %r raised", name)
            message = refusal(number, CallError("internal"))
        self._reply(number, message)

    def _reply(self, number: int, message: Prepared) -> None:
        if self._running.pop(number, _ENDED) is not _ENDED:
            self._send_control(message)

    def _send_control(self, message: Prepared) -> None:
        if self._connection is not None:
            self._connection.control(message)

    def _cancel_answer(self, number: int) -> None:
        task = self._running.get(number, _ENDED)
        if isinstance(task, asyncio.Task):
            task.cancel()
        elif task is not _ENDED:
            self._reply(number, refusal(number, CallError("cancelled", "the call was cancelled")))

    # From the connection

    def receive(self, kind: str, values: list[Any]) -> None:
        """Handle a control message; kinds that do not belong to calls are ignored."""
        if kind == "call":
            self._receive_call(values)
        elif kind == "cancel":
            number = read_id(values[0]) if values else None
            if number is not None:
                self._cancel_answer(number)
        elif kind in ("reply", "fail") and (answer := read_answer(kind, values)) is not None:
            number, value, error = answer
            waiting = self._waiting.get(number)
            if waiting is not None and not waiting.answer.done():
                waiting.answer.set_result(value) if error is None else waiting.answer.set_exception(error)

    def hello_received(self) -> None:
        """The hello has arrived: the times in the messages of calls count from here."""
        self._hello_at = asyncio.get_running_loop().time()

    def opened(self, connection: OpenConnection) -> None:
        """A connection is open and the queued messages are sent: send the calls that wait."""
        self._connection = connection
        for number, waiting in list(self._waiting.items()):
            if not waiting.answer.done():
                self._send(number, waiting)

    def lost(self) -> None:
        """The connection has ended; another one may follow."""
        self._connection = None
        for waiting in self._waiting.values():
            if waiting.sent and not waiting.retry:
                waiting.fail(CallError("interrupted", "the connection ended before the answer came"))
            waiting.sent = False
        running, self._running = self._running, {}
        for task in running.values():
            if task is not None:
                task.cancel()

    def finished(self, code: int, reason: str) -> None:
        """No further connection will follow."""
        self.lost()
        for waiting in self._waiting.values():
            waiting.fail(Disconnected(code, reason))


_ENDED: Final = object()
