"""Keeps Python's garbage collector from going through the handshake's objects while their connection is live.

A listener that refers to ``odac`` keeps the context, the request and the scope as long as the connection. So where they
are referred to when the handler has ended, they are left out of garbage collections with the connection's own objects,
and collected with them after its end; see :mod:`odac.lanes.collector`. Until then the connection refers to them. The
objects that the application has made, such as its listeners, stay tracked.

Many handshakes bring the same headers: of those that are kept, equal pairs become one object.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from odac.lanes.collector import untrack
from odac.request import Request, parsed_parts
from odac.security.authentication import Authentication

if TYPE_CHECKING:
    from odac.context import Context
    from odac.routing.admission import Admission

__all__ = ["UNSHARED", "references", "untrack_handshake"]

references: Final[Callable[[object], int]] = getattr(sys, "getrefcount", lambda _: 0)
"""How many references an object has; always 0 where Python does not count them."""

_ASGI: Final = {"version": "3.0", "spec_version": "2.4"}

_REPEATED: Final = frozenset(
    b"host connection upgrade origin sec-websocket-version sec-websocket-extensions user-agent accept accept-encoding"
    b" accept-language cache-control pragma dnt sec-fetch-dest sec-fetch-mode sec-fetch-site sec-gpc x-forwarded-host"
    b" x-forwarded-port x-forwarded-proto".split()
)
"""Headers that many handshakes have in common, and that hold no secret: an equal pair stays in memory for others."""

_CONTAINERS: Final = (list, dict)
_LONGEST: Final = 256
_MOST: Final = 1024


def _unshared() -> int:
    thing = object()
    return references(thing)


UNSHARED: Final = _unshared()
"""What :func:`references` returns for a local variable's object that nothing else refers to. It depends on Python's
version.
"""


def untrack_handshake(context: Context, admission: Admission) -> None:
    """Leave out the objects of a connection's handshake, if the connection is left out; its handler has ended.

    Args:
        context: of the connection; something refers to it.
        admission: of the same connection.
    """
    connection, request, auth = context.ws, context.request, context.auth
    if gc.is_tracked(connection):
        return  # it is not left out, or its transport has ended
    if type(request) is not Request or type(auth) is not Authentication:
        return  # the application has put other ones in their place
    scope, extras = request.scope, connection.extend()
    if type(scope) is dict:
        _share(scope)
    get = scope.get
    of_scope = get("headers"), get("subprotocols"), get("extensions"), get("path_params"), get("state")
    parts = [context, request, auth, auth.session, admission, extras, scope, *of_scope]
    parsed = parsed_parts(request)
    if parsed:
        parts += parsed
        parts += [each for each in gc.get_referents(*parsed) if type(each) in _CONTAINERS]
    extras.untracked = kept = tuple(filter(gc.is_tracked, parts))
    untrack(None, kept, *kept)


_pairs: dict[tuple[object, ...], tuple[object, ...]] = {}
"""Of each pair that was kept lately, the object that stands for all equal ones: headers, and addresses of servers."""


def _share(scope: dict[str, Any]) -> None:
    """Replace objects of the scope that cannot change by equal ones that other connections keep as well."""
    headers, server = scope.get("headers"), scope.get("server")
    try:
        if type(headers) is list:
            for index, header in enumerate(headers):
                if type(header) is tuple:
                    found = _pairs.get(header)
                    if found is not None:
                        headers[index] = found
                    elif header[0] in _REPEATED and len(header[1]) <= _LONGEST:
                        _pairs[header] = header
        if type(server) is tuple:
            scope["server"] = _pairs.setdefault(server, server)
    except TypeError:
        pass  # the application has put something there that cannot be compared
    if len(_pairs) > _MOST:
        _pairs.clear()
    if scope.get("asgi") == _ASGI:
        scope["asgi"] = _ASGI
