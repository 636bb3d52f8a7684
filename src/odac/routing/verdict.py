"""What a middleware's verdict means for its connection."""

from __future__ import annotations

from odac.close_codes import CloseCode
from odac.context import Context
from odac.notices import raised, unhandled
from odac.realtime.cancellation import RAISED, is_own
from odac.routing.admission import Admission
from odac.routing.middleware import Middleware
from odac.wire.frames import fit_reason

__all__ = ["passes"]


async def passes(name: str, function: Middleware, context: Context, admission: Admission) -> bool:
    """Call a middleware, and close the connection unless its verdict lets it go on.

    True or None let it go on; False closes with 4003, a str with 4000 and that reason, anything else with 4000, an
    exception with 1011.

    Args:
        name: of the middleware, for the log.
        function: the middleware.
        context: what it gets.
        admission: told before the first wait.
    """
    connection = context.ws
    try:
        verdict = function(context)
        if verdict is not None and hasattr(verdict, "__await__"):
            await admission.start_deadline()
            verdict = await verdict
    except RAISED as error:
        if is_own(error):
            raise
        raised("%s: the middleware %r raised; its connection is closed with 1011", error, connection.policy.name, name)
        unhandled(error)
        connection.begin_close(CloseCode.INTERNAL_ERROR, "internal error")
        return False
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
