"""Closes a connection or lets it continue, depending on a middleware's result (verdict)."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any

from odac.close_codes import CloseCode
from odac.context import Context
from odac.errors import Disconnected
from odac.notices import raised, unhandled
from odac.realtime.cancellation import RAISED, Raised, is_own
from odac.realtime.events import outcome_of
from odac.realtime.phase import CLOSED
from odac.routing.admission import Admission
from odac.routing.middleware import Middleware
from odac.wire.frames import fit_reason

__all__ = ["begin_passing", "passes"]


async def passes(name: str, function: Middleware, context: Context, admission: Admission) -> bool:
    """Call a middleware, and close the connection unless its result lets it continue.

    With True or None the connection continues; False closes it with 4003, a str with 4000 and that reason, anything
    else with 4000, an exception with 1011.

    Args:
        name: the middleware's name, for the log.
        function: the middleware.
        context: the middleware's argument.
        admission: starts its deadline before the middleware is awaited.
    """
    passed = begin_passing(name, function, context, admission)
    return passed if isinstance(passed, bool) else await passed


def begin_passing(
    name: str, function: Middleware, context: Context, admission: Admission
) -> bool | Coroutine[Any, Any, bool]:
    """Do the same as :func:`passes`, and return a coroutine only if the middleware's result must be awaited."""
    try:
        verdict = function(context)
    except RAISED as error:
        return _failed(name, error, context)
    if verdict is True or verdict is None or not hasattr(verdict, "__await__"):
        return _decided(verdict, context)
    return _awaited(name, verdict, context, admission)


async def _awaited(name: str, verdict: Awaitable[Any], context: Context, admission: Admission) -> bool:
    try:
        await admission.start_deadline()
        decided = await verdict
    except RAISED as error:
        return _failed(name, error, context)
    return _decided(decided, context)


def _failed(name: str, error: Raised, context: Context) -> bool:
    if is_own(error):
        raise error
    connection = context.ws
    if connection.phase >= CLOSED and isinstance(error, Disconnected):
        return False  # the middleware used a connection that has ended, which is not an error
    outcome = outcome_of(connection.phase, "; its connection is closed with 1011")
    raised(f"%s: the middleware %r raised{outcome}", error, connection.policy.path, name)
    unhandled(error)
    connection.begin_close(CloseCode.INTERNAL_ERROR, "internal error")
    return False


def _decided(verdict: object, context: Context) -> bool:
    connection = context.ws
    if not connection.is_open:
        return False
    if verdict is None or verdict is True:
        return True
    if verdict is False:
        connection.begin_close(CloseCode.FORBIDDEN, "Forbidden")
    elif isinstance(verdict, str) and verdict:
        connection.begin_close(CloseCode.MIDDLEWARE_REJECTED, fit_reason(verdict))
    else:
        connection.begin_close(CloseCode.MIDDLEWARE_REJECTED, "Rejected")
    return False
