"""Passes an ASGI scope to a route, an endpoint of Odac's or the wrapped app, or answers it with an error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final

from odac.http.answers import explain, not_found, upgrade_required, upgrade_where_missing
from odac.http.proxy_hints import altered_handshake, doubled_root_path
from odac.http.wrapped import WrappedWebSockets
from odac.lanes.asgi_handshake import AsgiHandshake
from odac.lanes.base import LANE_EXTENSION
from odac.notices import is_due, refused, warn
from odac.realtime.taskless import in_task
from odac.request import Request, route_path
from odac.routing.no_route import NoRoute
from odac.security.authentication import current_request

if TYPE_CHECKING:
    from odac.http.endpoints import Endpoints
    from odac.lanes.base import ImmediateHandshake
    from odac.routing.gate import Gate
    from odac.routing.router import Router
    from odac.security.hosts import HostPolicy

__all__ = ["Dispatch"]

_UNKNOWN_PATHS: Final = 100
"""Paths that are remembered, so that each is logged once; clients choose them."""


class Dispatch:
    """Passes each scope on. A mounted app, which gets no lifespan, is started by its first scope.

    Args:
        runs_here: whether the app was started on the running event loop.
        start: starts it.
        router: the routes.
        gate: checks and admits connections.
        endpoints: Odac's own.
        hosts: the host names of the site.
        http: the wrapped ASGI app, or None.
        prefix: the path below which the endpoints are.
    """

    __slots__ = (
        "_endpoints",
        "_gate",
        "_hosts",
        "_http",
        "_prefix",
        "_router",
        "_runs_here",
        "_start",
        "_unknown_paths",
        "_wrapped",
    )

    def __init__(
        self,
        *,
        runs_here: Callable[[], bool],
        start: Callable[[], Awaitable[None]],
        router: Router,
        gate: Gate,
        endpoints: Endpoints,
        hosts: HostPolicy,
        http: Callable[..., Awaitable[Any]] | None,
        prefix: str,
    ) -> None:
        self._runs_here = runs_here
        self._start = start
        self._router = router
        self._gate = gate
        self._endpoints = endpoints
        self._hosts = hosts
        self._http = http
        self._wrapped = None if http is None else WrappedWebSockets(http, self._explain_refused)
        self._prefix = prefix
        self._unknown_paths: set[str] = set()

    async def websocket(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """A handshake: to the gate, or to a WebSocket of the wrapped app."""
        if not self._runs_here():
            await in_task()
            await self._start()
        match = self._router.match(route_path(scope))
        if match is None and self._wrapped is not None:
            await in_task()
            if await self._wrapped.serve(scope, receive, send):
                return
        if match is None:
            self._explain_doubled(scope)
        pending_handshake = (scope.get("extensions") or {}).get(LANE_EXTENSION) or AsgiHandshake(scope, receive, send)
        route, parameters = match if match is not None else (None, {})
        await self._gate.admit(route, parameters, scope, pending_handshake)

    def begin(self, scope: dict[str, Any], handshake: ImmediateHandshake) -> Coroutine[Any, Any, None] | None:
        """:meth:`websocket` for an app that runs on this event loop, without a coroutine where none is needed."""
        match = self._router.match(scope["path"] if not scope["root_path"] else route_path(scope))
        if match is None:
            return self.websocket(scope, handshake.receive, handshake.send)
        return self._gate.begin(*match, scope, handshake)

    async def request(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """An HTTP request: to an endpoint, to the wrapped app, or answered with the reason why neither does."""
        if not self._runs_here():
            await self._start()
        if self._endpoints.answers(scope):
            await self._answer_own(scope, receive, send)
        elif self._http is not None:
            if self._router.match(route_path(scope)) is not None:  # a page may have the path of a WebSocket route
                self._explain_altered(scope)
                send = upgrade_where_missing(scope, receive, send)
            current = current_request.set(Request(scope))
            try:
                await self._http(scope, receive, send)
            finally:
                current_request.reset(current)
        elif self._router.match(route_path(scope)) is not None:
            self._explain_altered(scope)
            await upgrade_required(scope, receive, send)
        else:
            self._explain_doubled(scope)
            await not_found(scope, receive, send)

    async def _answer_own(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        refusal = self._hosts.refusal(scope)
        if refusal is None or route_path(scope) == f"{self._prefix}/health":  # health probes use an IP address
            await self._endpoints(scope, receive, send)
        else:
            warn("host", "a request for %r was refused with 400: %s", scope["path"][:200], refusal)
            await explain(400, "This host is not served here.")(scope, receive, send)

    def _explain_refused(self, scope: Mapping[str, Any], without_reason: bool) -> None:
        """Log the route that was probably meant, or all routes: these once for each path, and only for a refusal
        without a reason, because a reason is the wrapped app's own.
        """
        path, no_route = scope["path"][:200], NoRoute(self._router, scope)
        if without_reason:
            refused(no_route)
        if not is_due("path looked for"):
            return
        hint = no_route.hint()
        if hint is None:
            if not without_reason or path in self._unknown_paths or len(self._unknown_paths) >= _UNKNOWN_PATHS:
                return
            self._unknown_paths.add(path)
            hint = no_route.routes()
        warn(
            "path",
            "the app given as http= refused a handshake for %r, and no route of Odac has this path: %s",
            path,
            hint,
        )

    def _explain_altered(self, scope: dict[str, Any]) -> None:
        if (why := altered_handshake(scope)) is not None:
            warn("proxy", "%r: %s", scope["path"][:200], why)

    def _explain_doubled(self, scope: dict[str, Any]) -> None:
        if (why := doubled_root_path(scope)) is not None:
            warn("proxy", "%r: %s", scope["path"][:200], why)
