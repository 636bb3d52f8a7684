"""What happens to a connection, told to its listeners; and what becomes of what they raise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from odac.close_codes import CloseCode
from odac.errors import Disconnected, InvalidMessage
from odac.notices import raised
from odac.protocol import control
from odac.realtime.cancellation import OVERDUE, RAISED, Raised, is_own
from odac.realtime.listeners import EVENTS, Handler, fit
from odac.realtime.outbox import is_to_be_awaited

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["Events"]

_ANSWER: Final = 500
"""Characters of each part of an answer to an invalid message, which may quote from the message."""

_ERROR_LISTENER: Final = "an error listener raised; its connection is closed with 1011"


class Events:
    """The listeners of one connection."""

    __slots__ = ("_connection", "_ended", "_finished", "_finishing", "_listeners")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # (event, as registered, as called); one flat tuple, because most connections have one listener or two
        self._listeners: tuple[tuple[str, Handler, Handler], ...] = ()
        self._ended: tuple[int, str] | None = None
        self._finishing = False
        self._finished = False

    def on(self, event: str, handler: Handler) -> None:
        """Add a listener."""
        _check(event)
        called = fit(handler, EVENTS[event])
        self._listeners += ((event, handler, called),)
        if event == "close" and self._finishing:
            # The connection ended while its handler was on the way here; whoever cleans up must hear of it all the same.
            self._connection.delivery.loop.call_soon(self._announce, [called])

    def off(self, event: str, handler: Handler | None) -> None:
        """Remove a listener, or all of an event."""
        _check(event)
        self._listeners = tuple(
            [each for each in self._listeners if each[0] != event or (handler is not None and each[1] != handler)]
        )

    def _called(self, event: str) -> list[Handler]:
        return [called for name, _, called in self._listeners if name == event]

    async def _call(self, listeners: list[Handler], *arguments: object) -> None:
        for listener in listeners:
            try:
                result = listener(*arguments)
            except RAISED as error:
                self.failed(error)
                continue
            if is_to_be_awaited(result):
                await self._awaited(result)

    async def _awaited(self, result: Awaitable[object]) -> None:
        try:
            await result
        except RAISED as error:
            if is_own(error):
                raise
            self.failed(error)

    def emit(self, event: str, *arguments: object) -> None:
        """Call an event's listeners; what is asynchronous among them becomes a task of the connection."""
        for called in self._called(event):
            try:
                result = called(*arguments)
            except RAISED as error:
                self.failed(error)
                continue
            if is_to_be_awaited(result):
                self._connection.own(self._awaited(result))

    def undecodable(self, error: Raised) -> None:
        """A message could not be decoded: tell the ``invalid`` listeners, or the client, or close with 1007."""
        if not isinstance(error, InvalidMessage):
            self.failed(error)  # a decode hook of the application's raised something of its own
            return
        connection = self._connection
        answers = connection.policy.on_invalid == "answer" and connection.v1
        if answers and connection.is_open:
            told = {"field": error.field[:_ANSWER], "reason": error.reason[:_ANSWER]}
            connection.put(control.encode_control("invalid", told))
        if not answers and not self._called("invalid"):
            connection.end(CloseCode.INVALID_DATA, _shortened(error.reason))
        self.emit("invalid", error)

    def failed(self, error: Raised) -> None:
        """A listener, timer or task raised: log it and tell the error listeners; with none, end the connection."""
        if self._is_no_news(error):
            return
        if self._called("error"):
            self._log("a listener raised, and its connection stays open, for it has error listeners", error)
            self._tell(error)
        else:
            self._fatal(
                "a listener raised; its connection is closed with 1011 (odac.ws.on('error', …) would keep it)", error
            )

    def handler_failed(self, error: Raised) -> None:
        """The handler raised: nothing of the connection can be relied on. Error listeners hear of it, then it ends."""
        if not self._is_no_news(error):
            self._tell(error, last=True)
            self._fatal("its handler raised; the connection is closed with 1011", error)

    def _is_no_news(self, error: Raised) -> bool:
        """Whether it says only that the connection has ended, which is no fault of the application's."""
        return self._ended is not None and isinstance(error, Disconnected)

    def _tell(self, error: Raised, *, last: bool = False) -> None:
        for called in self._called("error"):
            try:
                result = called(error)
            except RAISED as second:
                self._fatal(_ERROR_LISTENER, second)
                continue
            if is_to_be_awaited(result):
                ends = last or self._ended is not None
                own = self._connection.own_to_the_end if ends else self._connection.own
                own(self._error_listener(result))

    async def _error_listener(self, result: Awaitable[object]) -> None:
        try:
            await result
        except RAISED as error:
            if is_own(error):
                raise
            self._fatal(_ERROR_LISTENER, error)

    def _log(self, what: str, error: Raised) -> None:
        raised(f"%s: {what}", error, self._connection.policy.name)

    def _fatal(self, what: str, error: Raised) -> None:
        self._log(what, error)
        self._connection.end(CloseCode.INTERNAL_ERROR, "internal error")

    # The end

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
            except RAISED as error:
                self.failed(error)
                continue
            if is_to_be_awaited(result):
                rest = self._announce_rest(result, listeners[index + 1 :])
                self._connection.cut_short(self._connection.own_to_the_end(rest), "a close listener")
                return
        self._finish()

    async def _announce_rest(self, result: Awaitable[object], rest: list[Handler]) -> None:
        try:
            await self._awaited(result)
        except asyncio.CancelledError as error:
            if error.args != (OVERDUE,):
                self._finish()
                raise
            # Its time is over; that of those behind it has not begun.
        self._announce(rest)

    def _finish(self) -> None:
        self._finished = True
        if self._connection.released():
            self.drop()

    def drop(self) -> None:
        """Forget the listeners: what they refer to may refer to the connection."""
        self._listeners = ()


def _check(event: str) -> None:
    if event not in EVENTS:
        raise ValueError(f"there is no event {event!r}: use one of {', '.join(EVENTS)}")


def _shortened(reason: str) -> str:
    """At most the 123 bytes that a close frame has for its reason (RFC 6455 section 5.5.1)."""
    return reason.encode()[:123].decode(errors="ignore")
