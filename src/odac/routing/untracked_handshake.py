"""Keeps Python's garbage collector from going through the handshake's objects while their connection is live.

A listener that refers to ``odac`` keeps the context, the request and the scope as long as the connection. So where they
are referred to when the handler has ended, they are left out of garbage collections with the connection's own objects,
and collected with them after its end; see :mod:`odac.lanes.collector`. Until then the connection refers to them. The
objects that the application has made, such as its listeners, stay tracked, and so do dicts that it can reach: a copy of
a dict that is not tracked is not tracked either, and a cycle with it would never be collected.

Many handshakes bring the same headers: of those that are kept, equal pairs become one object.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from odac.lanes.collector import track, untrack
from odac.request import Request, parsed_parts, private_scope, scope_of
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
    scope, extras = scope_of(request), connection.extend()
    headers = scope.get("headers")
    if type(headers) is list:
        _share(headers)
    parts = [context, request, auth, auth.session, admission, extras, headers, scope.get("subprotocols")]
    own = private_scope(request, _restore)
    if own is not None:
        _share_values(own)
        extensions = own.get("extensions")
        if type(extensions) is dict:
            own["extensions"] = extensions = extensions.copy()  # an app around this one may have the handshake's
        parts += (own, extensions)
    parsed = parsed_parts(request)
    if parsed:
        parts += parsed
        parts += [each for each in gc.get_referents(*parsed) if type(each) is list]
    extras.untracked = kept = tuple(filter(gc.is_tracked, parts))
    untrack(None, kept, *kept)


_pairs: dict[tuple[object, ...], tuple[object, ...]] = {}
"""Of each pair that was kept lately, the object that stands for all equal ones: headers, and addresses of servers."""


def _share(headers: list[Any]) -> None:
    """Replace headers by equal ones that other connections keep as well."""
    for index, header in enumerate(headers):
        if _is_pair(header, bytes, bytes) and header[0] in _REPEATED and len(header[1]) <= _LONGEST:
            headers[index] = _shared(header)


def _share_values(scope: dict[str, Any]) -> None:
    """Replace other values of a scope by equal ones; :func:`_restore` undoes it for what can be changed."""
    server: Any = scope.get("server")
    if _is_pair(server, str, int):
        scope["server"] = _shared(server)
    if scope.get("asgi") == _ASGI:
        scope["asgi"] = _ASGI


def _restore(scope: dict[str, Any]) -> None:
    """Prepare a scope for the application, which may change and copy it."""
    if scope.get("asgi") is _ASGI:
        scope["asgi"] = _ASGI.copy()
    track(None, scope, scope.get("extensions"))


def _is_pair(value: Any, first: type, second: type) -> bool:
    """Whether it is a pair of these types; the application may have put anything there."""
    return type(value) is tuple and len(value) == 2 and type(value[0]) is first and type(value[1]) is second


def _shared(pair: tuple[object, ...]) -> tuple[object, ...]:
    found = _pairs.get(pair)
    if found is None:
        if len(_pairs) >= _MOST:
            _pairs.clear()
        _pairs[pair] = found = pair
    return found
