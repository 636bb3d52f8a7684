"""Runs the route's handler: its exceptions, its result, and how long it may run after its connection's end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from odac.notices import warn
from odac.realtime.cancellation import OVERDUE, RAISED, Raised, is_own
from odac.realtime.phase import Phase
from odac.realtime.sent import is_to_be_awaited
from odac.realtime.taskless import in_task

if TYPE_CHECKING:
    from odac.realtime.internal_ports import HandlerOwner

__all__ = ["begin_handler", "run_handler"]

_DATA: Final = (dict, list, str, bytes)
"""Types that a handler returns only if its author expects the result to be sent, as from an HTTP view."""


async def run_handler(connection: HandlerOwner, handler: Callable[[], Any]) -> None:
    """Run the route's handler. It may run for ``Limits.close_timeout`` after the connection's end, at most.

    Args:
        connection: the handler's connection.
        handler: called once; an awaitable result is awaited.
    """
    rest = begin_handler(connection, handler)
    if rest is not None:
        await rest


def begin_handler(connection: HandlerOwner, handler: Callable[[], Any]) -> Coroutine[Any, Any, None] | None:
    """Do the same as :func:`run_handler`, and return a coroutine only if the handler's result must be awaited."""
    waits = False
    try:
        result = handler()
        if result is not None:
            if is_to_be_awaited(result):
                waits = True
                return _await(connection, result)
            if isinstance(result, _DATA):
                _warn_of_data(connection, result)
    except RAISED as error:
        _failed(connection, error)
    finally:
        if not waits:
            _returned(connection)
    return None


async def _await(connection: HandlerOwner, result: Awaitable[Any]) -> None:
    try:
        connection.handler = await in_task()
        returned = await result
        if isinstance(returned, _DATA):
            _warn_of_data(connection, returned)
    except RAISED as error:
        _failed(connection, error)
    finally:
        _returned(connection)


def _warn_of_data(connection: HandlerOwner, result: object) -> None:
    warn(
        "returned",
        "%s: its handler returned a %s, and what a handler returns is not sent: use odac.ws.send(…)",
        connection.policy.path,
        type(result).__name__,
    )


def _failed(connection: HandlerOwner, error: Raised) -> None:
    if not is_own(error):
        connection.events.handler_failed(error)
    elif error.args == (OVERDUE,) and connection.handler is not None:
        connection.handler.uncancel()  # the handler was to be cancelled, not the server's task that runs it
    else:
        raise error


def _returned(connection: HandlerOwner) -> None:
    connection.handler = None
    if connection.phase is Phase.RELEASED:
        connection.inbox.finish()  # a listener that the handler has added gets the messages from before the end
    connection.inbox.handler_returned()
    if not connection.context:
        connection.context = None  # nothing was set in it
