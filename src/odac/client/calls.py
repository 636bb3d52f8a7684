"""The client's side of calls: its own, over all its connections, and its answers to the server's."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from odac.calls.messages import encode, read_answer, read_id, read_request, refusal
from odac.client.ports import Turns, Wire
from odac.errors import CallError, ConfigurationError, Disconnected, InvalidMessage
from odac.protocol.message import Prepared
from odac.protocol.types import make_converter, name_of
from odac.realtime.listeners import fit
from odac.routing.annotations import annotations_of

__all__ = ["AT_A_TIME", "Calls", "check_call", "names_at"]

logger = logging.getLogger("odac.client")

AT_A_TIME: Final = 16
"""Calls of the server that are answered side by side; as the server's ``Limits.calls_per_connection``."""

MOST_WAITING: Final = 1024
"""Calls of this client that wait for their answers."""


def check_call(name: str, timeout: float) -> None:
    """Check a call's name and timeout.

    Raises:
        ValueError: the name is no str, or the timeout no number of seconds above 0.
    """
    if not isinstance(name, str) or not 0 < timeout <= 86_400:
        raise ValueError(
            f"call({name!r}, timeout={timeout!r}): the name must be a str, the timeout seconds above 0, at most a day"
        )


def names_at(depth: int) -> Mapping[str, Any]:
    """The local names of a caller, which the annotations of a function that is defined there may use."""
    frame = sys._getframe(depth + 1)
    return dict(frame.f_locals) if frame.f_locals is not frame.f_globals else {}


class _Asked:
    """A call that waits for its answer."""

    __slots__ = ("answer", "arguments", "deadline", "first", "name", "origin", "retry", "sent")

    def __init__(self, name: str, arguments: object, deadline: float, retry: bool, answer: asyncio.Future[Any]) -> None:
        self.name = name
        self.arguments = arguments
        self.deadline = deadline
        self.retry = retry
        self.answer = answer
        self.sent = False  # over the connection that is open now
        self.origin: str | None = None  # what the hello named "calls" when it was first sent
        self.first = 0.0  # and when that was

    def refuse(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Calls:
    """Calls of one client.

    Args:
        turns: the messages in front of calls.
    """

    __slots__ = ("_answers", "_number", "_running", "_since", "_turns", "_waiting", "_wire")

    def __init__(self, turns: Turns) -> None:
        self._answers: dict[str, tuple[Callable[..., Any], Callable[[object], object] | None]] = {}
        self._turns = turns
        self._number = 0
        self._running: dict[int, asyncio.Task[None] | None] = {}
        self._since = 0.0
        self._waiting: dict[int, _Asked] = {}
        self._wire: Wire | None = None

    # Asking

    @property
    def is_waiting(self) -> bool:
        """Whether a call waits for its answer, which may arrive after queued messages."""
        return bool(self._waiting)

    async def call(self, name: str, arguments: object, timeout: float, retry: bool, returns: Any) -> Any:  # noqa: ASYNC109
        """Ask: see :meth:`odac.client.ClientConnection.call`."""
        if len(self._waiting) >= MOST_WAITING:
            raise CallError("busy", f"{MOST_WAITING} calls wait for their answers")
        encode("call", name, arguments)  # raises now for arguments that cannot be sent, even if the call has to wait
        loop = asyncio.get_running_loop()
        self._number += 1
        number = self._number
        asked = _Asked(name, arguments, loop.time() + timeout, retry, loop.create_future())
        self._waiting[number] = asked
        self._turns.read_for_answer()
        try:
            self._send(number, asked)
            try:
                async with asyncio.timeout_at(asked.deadline):
                    value = await asked.answer
            except TimeoutError:
                self._cancel(number, asked)
                raise CallError("timeout", f"no answer to {name!r} within {timeout:g} s") from None
            except asyncio.CancelledError:
                self._cancel(number, asked)
                raise
        finally:
            del self._waiting[number]
        return value if returns is None else make_converter(returns)(value)

    def _send(self, number: int, asked: _Asked) -> None:
        """Send a call, or send it again; without a connection it waits."""
        wire = self._wire
        if wire is None:
            return
        if not wire.speaks_odac:
            asked.refuse(CallError("unknown", "the server does not speak odac.v1, which calls are part of"))
            return
        now = asyncio.get_running_loop().time()
        at, left = int((now - self._since) * 1000), int((asked.deadline - now) * 1000)
        if left <= 0:
            return  # its deadline reports that
        values: list[object] = [number, asked.name, asked.arguments, at, left]
        if asked.retry:
            if asked.origin is None:
                origin = wire.facts.get("calls")
                asked.origin, asked.first = origin if isinstance(origin, str) else "", now
                age = 0
            else:
                age = max(int((now - asked.first) * 1000), 1)
            values.append([asked.origin, age])
        asked.sent = wire.control(encode("call", *values))

    def _cancel(self, number: int, asked: _Asked) -> None:
        if asked.sent and self._wire is not None:
            self._wire.control(encode("cancel", number))

    def overrun(self) -> None:
        """Too many messages wait: the answers behind them cannot be read."""
        for number, asked in self._waiting.items():
            if asked.sent:
                self._cancel(number, asked)
                asked.refuse(CallError("busy", "too many messages wait for the listener that waits for this answer"))

    # Answering

    def add(self, name: str, function: Callable[..., Any], names: Mapping[str, Any]) -> None:
        """Answer the server's calls of this name: see :meth:`odac.client.ClientConnection.answer`."""
        fitted = fit(function, 1)
        parameters, _ = annotations_of(function, names, f"answer({name!r})")
        kind = parameters[0] if parameters else Any
        try:
            convert = None if kind is Any or kind is object else make_converter(kind)
        except TypeError as error:
            raise ConfigurationError(
                f"answer({name!r}): {name_of(kind)} is no type that JSON can be decoded into: {error}"
            ) from None
        self._answers[name] = (fitted, convert)

    def _receive(self, values: list[Any]) -> None:
        request = read_request(values)
        if request is None or request.id in self._running:
            return
        if request.at is not None and request.left is not None:
            late = asyncio.get_running_loop().time() - self._since - request.at / 1000
            if late >= request.left / 1000:
                self._put(refusal(request.id, CallError("timeout", "the call arrived after its deadline")))
                return
        if len(self._running) >= AT_A_TIME:
            self._put(refusal(request.id, CallError("busy", f"{AT_A_TIME} calls are being answered")))
            return
        self._running[request.id] = None
        self._turns.in_turn(lambda: self._begin(request.id, request.name, request.arguments))

    def _begin(self, number: int, name: str, arguments: object) -> None:
        if number not in self._running:
            return  # cancelled, or the connection is gone
        found = self._answers.get(name)
        if found is None:
            self._settle(number, refusal(number, CallError("unknown", f"nothing answers {name[:100]!r}")))
            return
        task = asyncio.get_running_loop().create_task(self._answer(number, name, *found, arguments))
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
        self._settle(number, message)

    def _settle(self, number: int, message: Prepared) -> None:
        if self._running.pop(number, _ENDED) is not _ENDED:
            self._put(message)

    def _put(self, message: Prepared) -> None:
        if self._wire is not None:
            self._wire.control(message)

    def _stop(self, number: int) -> None:
        task = self._running.get(number, _ENDED)
        if isinstance(task, asyncio.Task):
            task.cancel()
        elif task is not _ENDED:
            self._settle(number, refusal(number, CallError("cancelled", "the call was cancelled")))

    # What happens to the connection

    def receive(self, kind: str, values: list[Any]) -> None:
        """Handle a control message; kinds that do not belong to calls are ignored."""
        if kind == "call":
            self._receive(values)
        elif kind == "cancel":
            number = read_id(values[0]) if values else None
            if number is not None:
                self._stop(number)
        elif kind in ("reply", "fail") and (answer := read_answer(kind, values)) is not None:
            number, value, error = answer
            asked = self._waiting.get(number)
            if asked is not None and not asked.answer.done():
                asked.answer.set_result(value) if error is None else asked.answer.set_exception(error)

    def greeted(self) -> None:
        """The hello has arrived: both sides count the time of calls from here."""
        self._since = asyncio.get_running_loop().time()

    def opened(self, wire: Wire) -> None:
        """A connection is open and the queued messages are sent: send the pending calls."""
        self._wire = wire
        for number, asked in list(self._waiting.items()):
            if not asked.answer.done():
                self._send(number, asked)

    def lost(self) -> None:
        """The connection has ended; another one may follow."""
        self._wire = None
        for asked in self._waiting.values():
            if asked.sent and not asked.retry:
                asked.refuse(CallError("interrupted", "the connection ended before the answer came"))
            asked.sent = False
        running, self._running = self._running, {}
        for task in running.values():
            if task is not None:
                task.cancel()

    def finished(self, code: int, reason: str) -> None:
        """No further connection will follow."""
        self.lost()
        for asked in self._waiting.values():
            asked.refuse(Disconnected(code, reason))


_ENDED: Final = object()
