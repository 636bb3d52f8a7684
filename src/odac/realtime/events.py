"""The listeners of one connection: calling them, and handling what they raise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from odac.close_codes import CloseCode
from odac.errors import Disconnected, InvalidMessage
from odac.notices import raised, unhandled
from odac.protocol import control
from odac.realtime.cancellation import OVERDUE, RAISED, Raised, cancel_overdue, is_own
from odac.realtime.listeners import EVENTS, Handler, entries_of, fit, listeners_of, registered
from odac.realtime.phase import CLOSED, CLOSING, END_REPORTED, Phase
from odac.realtime.sent import is_to_be_awaited

if TYPE_CHECKING:
    from odac.realtime.internal_ports import EventsOwner

__all__ = ["Events", "check_event", "outcome_of"]

_ANSWER: Final = 500
"""Characters of each part of an answer to an invalid message, which may quote from the message."""

_CLOSES: Final = "; its connection is closed with 1011"


class Events:
    """Calls the listeners of one connection. The connection stores them; this object is made when it is needed.

    Args:
        owner: the connection.
    """

    __slots__ = ("_owner",)

    def __init__(self, owner: EventsOwner) -> None:
        self._owner = owner

    def on(self, event: str, handler: Handler) -> None:
        """Add a listener."""
        if event not in EVENTS:
            check_event(event)
        called = fit(handler, EVENTS[event])
        owner = self._owner
        before: Any = owner.listeners
        if type(before) is tuple and not before and called is handler and event == "message":
            owner.listeners = handler
        else:
            owner.listeners = (*entries_of(before), event, handler, called)
        if event == "close" and owner.flags & END_REPORTED:
            # The connection ended before its handler added this listener, which is called anyway: it may clean up.
            call = partial(self.call_close_listeners, [called])
            owner.loop.call_soon(owner.run, owner.inbox.after_messages, call)

    def off(self, event: str, handler: Handler | None) -> None:
        """Remove a listener, or all of an event."""
        check_event(event)
        listeners = entries_of(self._owner.listeners)
        kept: list[Any] = []
        for at in range(0, len(listeners), 3):
            if listeners[at] != event or (handler is not None and listeners[at + 1] != handler):
                kept += listeners[at : at + 3]
        self._owner.listeners = registered(tuple(kept))

    def of(self, event: str) -> list[Handler]:
        """The listeners of an event, as they are to be called."""
        return listeners_of(self._owner.listeners, event)

    async def call(self, listeners: list[Handler], *arguments: object) -> None:
        """Call listeners one after another, awaiting the asynchronous ones."""
        for listener in listeners:
            try:
                result = listener(*arguments)
            except RAISED as error:
                self.failed(error)
                continue
            if is_to_be_awaited(result):
                await self.awaited(result)

    async def awaited(self, result: Awaitable[object]) -> None:
        """Await what a listener returned; what it raises goes to the error listeners."""
        try:
            await result
        except RAISED as error:
            if is_own(error):
                raise
            self.failed(error)

    def emit(self, event: str, *arguments: object) -> None:
        """Call an event's listeners; an asynchronous one becomes a task of the connection."""
        for called in self.of(event):
            try:
                result = called(*arguments)
            except RAISED as error:
                self.failed(error)
                continue
            if is_to_be_awaited(result):
                self._owner.own(self.awaited(result))

    def undecodable(self, error: Raised) -> None:
        """A message could not be decoded: call the ``invalid`` listeners, or notify the client, or close with 1007."""
        if not isinstance(error, InvalidMessage):
            self.failed(error)  # a decode hook of the application raised something else
            return
        owner = self._owner
        answers = owner.policy.on_invalid == "answer" and owner.speaks_odac
        if answers:
            details = {"field": error.field[:_ANSWER], "reason": error.reason[:_ANSWER]}
            owner.put(control.encode_control("invalid", details))
        if not answers and not self.of("invalid"):
            owner.begin_close(CloseCode.INVALID_DATA, _shortened(error.reason))
        self.emit("invalid", error)

    def failed(self, error: Raised) -> None:
        """A listener, timer or task raised: log it and call the error listeners; with none, close the connection."""
        if self._is_use_after_end(error):
            return
        if self.of("error"):
            self._log("a listener", error, "; its connection stays open, because it has error listeners")
            self._call_error_listeners(error)
        else:
            self._fatal("a listener", error, f"{_CLOSES} (odac.ws.on('error', …) would keep it)")

    def handler_failed(self, error: Raised) -> None:
        """The handler raised, so its work is incomplete: call the error listeners, then close the connection."""
        if not self._is_use_after_end(error):
            self._call_error_listeners(error, last=True)
            self._fatal("its handler", error)

    def _is_use_after_end(self, error: Raised) -> bool:
        """Whether the application used a connection that has ended, which is not an error."""
        return self._owner.phase >= CLOSED and isinstance(error, Disconnected)

    def _call_error_listeners(self, error: Raised, *, last: bool = False) -> None:
        owner = self._owner
        for called in self.of("error"):
            try:
                result = called(error)
            except RAISED as second:
                self._fatal("an error listener", second)
                continue
            if is_to_be_awaited(result):
                own = owner.own_to_the_end if last or owner.phase >= CLOSED else owner.own
                own(self._error_listener(result))

    async def _error_listener(self, result: Awaitable[object]) -> None:
        try:
            await result
        except RAISED as error:
            if is_own(error):
                raise
            self._fatal("an error listener", error)

    def _log(self, what: str, error: Raised, outcome: str) -> None:
        raised(f"%s: {what} raised{outcome_of(self._owner.phase, outcome)}", error, self._owner.policy.path)

    def _fatal(self, what: str, error: Raised, outcome: str = _CLOSES) -> None:
        self._log(what, error, outcome)
        unhandled(error)
        self._owner.begin_close(CloseCode.INTERNAL_ERROR, "internal error")

    # The end

    def call_close_listeners(self, listeners: Sequence[Handler]) -> None:
        """Call close listeners one after another; then the owner is released."""
        arguments = self._owner.ended
        assert arguments is not None
        for index, called in enumerate(listeners):
            try:
                result = called(*arguments)
            except RAISED as error:
                self.failed(error)
                continue
            if is_to_be_awaited(result):
                rest = self._call_remaining(result, listeners[index + 1 :])
                cancel_overdue(self._owner, self._owner.own_to_the_end(rest), "a close listener")
                return
        self._owner.release()

    async def _call_remaining(self, result: Awaitable[object], rest: Sequence[Handler]) -> None:
        try:
            await self.awaited(result)
        except asyncio.CancelledError as error:
            if error.args != (OVERDUE,):
                self._owner.release()
                raise
            # Only this listener exceeded the time limit; each later one has its own.
        self.call_close_listeners(rest)


def check_event(event: str) -> None:
    """Raise ValueError where there is no such event."""
    if event not in EVENTS:
        raise ValueError(f"there is no event {event!r}: use one of {', '.join(EVENTS)}")


def outcome_of(phase: Phase, otherwise: str) -> str:
    """What a log line about an exception says of the connection: one that closes or has ended is not closed by it.

    Args:
        phase: of the connection when its code raised.
        otherwise: what is said of an open connection.
    """
    if phase >= CLOSED:
        return " after its connection had ended"
    return " while its connection was closing" if phase >= CLOSING else otherwise


def _shortened(reason: str) -> str:
    """Return the first 123 bytes, which fit in a close frame (RFC 6455 section 5.5.1)."""
    return reason.encode()[:123].decode(errors="ignore")
