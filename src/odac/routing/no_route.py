"""The hint in the log for a handshake to a path without a route: the route that was most likely meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from odac.request import route_path
from odac.routing.router import Router
from odac.spelling import nearest

__all__ = ["NO_ROUTE", "NoRoute"]

NO_ROUTE: Final = "a handshake for %r was refused with 404, because no route has this path: %s"

_LONGEST: Final = 200
"""Characters of a path that are shown and compared: a hostile path must not take time."""
_SHOWN: Final = 5
"""Routes that a line names."""
_DEEPEST: Final = 20
"""Segments that are taken off a path, from its beginning, to find what a proxy was to take off."""


class NoRoute:
    """The hint, computed only when the line is written: most refused handshakes write none.

    Args:
        router: the routes.
        scope: of the handshake.
    """

    __slots__ = ("_router", "_scope")

    def __init__(self, router: Router, scope: Mapping[str, Any]) -> None:
        self._router = router
        self._scope = scope

    def __str__(self) -> str:
        return self.hint() or self.routes()

    def routes(self) -> str:
        """Which routes there are."""
        paths = [route.path for route in self._router.routes]
        if not paths:
            return 'the app has no WebSocket route: add one with @app.route.ws("/chat")'
        if len(paths) == 1:
            return f"the only route is {paths[0]!r}"
        shown = ", ".join(repr(path) for path in paths[:_SHOWN])
        more = f" and {len(paths) - _SHOWN} more: `odac routes` lists them" if len(paths) > _SHOWN else ""
        return f"the routes are {shown}{more}"

    def hint(self) -> str | None:
        """Which route was most likely meant, and what to change; None where no route is like the path."""
        path = route_path(self._scope)[:_LONGEST]
        mount: str = self._scope.get("root_path") or ""
        if path.startswith("/socket.io/"):
            return "the client is one of Socket.IO, which speaks a protocol of its own: connect with Odac's client"
        if mount and self._router.match(mount + path) is not None:
            return f"the app is mounted at {mount!r}: leave that out of its routes' paths"
        for other in (path.removesuffix("/"), f"{path}/"):
            if self._router.match(other) is not None:
                return f"did you mean {other!r}? A slash at the end makes another path"
        start = path.find("/", 1)
        for _ in range(_DEEPEST):
            if start < 0:
                break
            if self._router.match(path[start:]) is not None:
                return (
                    f"there is {path[start:]!r}: let the proxy take {path[:start]!r} away, mount the app there, or"
                    " leave it out of the client's URL"
                )
            start = path.find("/", start + 1)
        return self._similar(path)

    def _similar(self, path: str) -> str | None:
        candidates = [_filled(route.path, path) for route in self._router.routes]
        longer = [each for each in candidates if len(path) > 1 and each.endswith(path)]
        near = longer[0] if longer else nearest(path, candidates)
        if near == path:
            route = self._router.routes[candidates.index(path)]
            return f"the route {route.path!r} takes other values there: see its convertors"
        return None if near is None else f"did you mean {near!r}?"


def _filled(route: str, path: str) -> str:
    """A route's path with the segments of a request's in place of its parameters, so that the rest is compared."""
    own, given = route.split("/"), path.split("/")
    if len(own) != len(given):
        return route
    return "/".join(there if "{" in here else here for here, there in zip(own, given, strict=True))
