"""The order of the checks at a handshake.

Origin (403) → route (404) → room for one more (503) → upgrade → authentication (4001) → token (4002) → middleware
(4003, 4000) → handler. A refusal before the upgrade is an HTTP status; after it, a close code, which a browser can see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from odac.calls.service import Calls
from odac.close_codes import CloseCode
from odac.config import Limits
from odac.context import Context
from odac.lanes.base import PendingHandshake
from odac.notices import limit_met, raised, unhandled, warn
from odac.realtime.audience import browser_room, session_room
from odac.realtime.cancellation import RAISED, is_own
from odac.realtime.connection import Connection
from odac.realtime.deadlines import Deadlines
from odac.realtime.handler import run_handler
from odac.realtime.hub import Hub
from odac.realtime.taskless import in_task
from odac.request import BEARER, Request
from odac.routing.addresses import Addresses
from odac.routing.admission import Admission
from odac.routing.bearers import Bearers
from odac.routing.middleware import Middleware, MiddlewareRegistry
from odac.routing.no_route import NO_ROUTE, NoRoute
from odac.routing.router import Route, Router
from odac.routing.verdict import passes
from odac.security.authentication import AuthService
from odac.security.hosts import HostPolicy
from odac.security.origin import OriginPolicy
from odac.security.token import Tokens
from odac.wire.handshake import AUTH, RESUME, SUBPROTOCOL, offered_token, select_subprotocol

__all__ = ["Gate"]

_OF_ANOTHER: Final = (
    "%s: a token was refused (4002) that is of another session or another secret. If it happens to many: a cache in"
    " between stores /odac/token against its Cache-Control: no-store, or the processes have different secrets"
    " ($ODAC_SECRET)"
)
_NO_SESSION: Final = (
    "%s: a token was refused (4002) that came without its session cookie: let each proxy pass Cookie and Set-Cookie on"
)


class Gate:
    """Lets connections in, or says why not.

    Args:
        router: the routes.
        middlewares: the named middlewares.
        origins: the app's origin check.
        hosts: the host names that handshakes are answered for.
        auth: finds a connection's user.
        tokens: verifies tokens.
        hub: gets the connections.
        limits: the app's.
        compression: whether permessage-deflate is negotiated.
        calls: the app's.
    """

    def __init__(
        self,
        *,
        router: Router,
        middlewares: MiddlewareRegistry,
        origins: OriginPolicy,
        hosts: HostPolicy,
        auth: AuthService,
        tokens: Tokens,
        hub: Hub,
        limits: Limits,
        compression: bool,
        calls: Calls,
    ) -> None:
        self._router = router
        self._middlewares = middlewares
        self._origins = origins
        self._hosts = hosts
        self._auth = auth
        self._tokens = tokens
        self._hub = hub
        self._limits = limits
        self._compression = compression
        self._calls = calls
        self._bearers = Bearers()
        hub.control_handlers["auth"] = self._bearers.receive
        self._resolved: dict[str, tuple[tuple[str, Middleware], ...]] = {}
        self.addresses = Addresses(limits.connections_per_ip)
        self._waits: Deadlines | None = None

    def check(self) -> None:
        """Look up every name that the routes use.

        Raises:
            ConfigurationError: one is not there.
        """
        for route in self._router.routes:
            self._middleware_of(route)
            route.functions.check(route.handler)

    def _middleware_of(self, route: Route) -> tuple[tuple[str, Middleware], ...]:
        """The route's middlewares; those of a route that was added while the app runs are looked up now."""
        found = self._resolved.get(route.path)
        if found is None:
            found = tuple(self._middlewares.resolve(each, route.path) for each in route.middleware)
            self._resolved[route.path] = found
        return found

    async def admit(
        self, route: Route | None, parameters: dict[str, Any], scope: dict[str, Any], handshake: PendingHandshake
    ) -> None:
        """Take one handshake through all gates, and its connection through the handler."""
        foreign = None if self._hosts.any else self._hosts.refusal(scope)
        if foreign is not None:
            warn("host", "a handshake for %r was refused with 400: %s", scope["path"][:200], foreign)
            await handshake.refuse(400, "This host is not served here.")
            return
        refusal = ((route.origins if route is not None else None) or self._origins).refusal(scope)
        if refusal is not None:
            warn("origin", "a handshake for %r was refused with 403: %s", scope["path"][:200], refusal)
            await handshake.refuse(403, "This origin may not connect.")
            return
        if route is None:
            warn("path", NO_ROUTE, scope["path"][:200], NoRoute(self._router, scope))
            await handshake.refuse(404, "There is no WebSocket route at this path.")
            return
        key = self._room_for_one_more(route, scope)
        if key is None:
            await handshake.refuse(503, "Too many connections. Try again later.", (("Retry-After", "5"),))
            return
        await self._open(route, parameters, scope, handshake, key)

    def _room_for_one_more(self, route: Route, scope: dict[str, Any]) -> str | None:
        """Count the client's address; its key ("" where addresses are not counted), or None if it may not connect."""
        limits = self._limits
        if self._hub.population >= limits.max_connections:
            limit_met(
                "max_connections",
                "%s: a handshake was refused with 503: %d connections are open (Limits.max_connections)",
                route.path,
                limits.max_connections,
            )
            return None
        if limits.connections_per_ip is None:
            return ""
        ip = str(scope["client"][0]) if scope.get("client") else ""
        key = self.addresses.take(ip)
        if key is None:
            limit_met(
                "connections_per_ip",
                "%s: a handshake of %s was refused with 503: it already has %d open connections"
                " (Limits.connections_per_ip)",
                route.path,
                ip or "a client without an address",
                limits.connections_per_ip,
            )
        return key

    async def _open(
        self, route: Route, parameters: dict[str, Any], scope: dict[str, Any], handshake: PendingHandshake, key: str
    ) -> None:
        offered: list[str] = list(scope.get("subprotocols") or ())
        subprotocol = select_subprotocol(offered, route.subprotocols) if offered else None
        speaks_odac = subprotocol == SUBPROTOCOL
        # Counted from here until the transport is gone, so that what is refused behind the upgrade counts as well.
        self._hub.population += 1
        connection: Connection | None = None
        try:
            compression = self._compression if route.compression is None else route.compression
            connection = await handshake.open(
                self._hub, route.policy, subprotocol, speaks_odac=speaks_odac, compression=compression
            )
        finally:
            if connection is None:
                self._hub.population -= 1
                if key:
                    self.addresses.release(key)
        if connection is None:
            return
        if key:
            connection.on_release = self._releasing(key, connection.on_release)
        outer = scope.get("path_params")  # of the mount point
        scope["path_params"] = {**outer, **parameters} if outer else parameters
        admission = Admission(self._hub, connection, self._deadlines(self._hub.delivery.loop))
        request = Request(scope)
        context = Context(connection, request, self._auth.connection(request, admission))
        brings_token = speaks_odac and AUTH in offered
        if brings_token:
            self._bearers.expect(connection)
        history = self._hub.history
        if speaks_odac and history is not None:
            connection.id += ".0"  # a client's name, and the first of its connections
            if RESUME in offered:
                history.expect(connection)
                connection.lane.limit_messages(max(route.policy.limits.max_payload, route.policy.limits.resume_bytes))
            session = context.auth.session
            admission.session_id = None if session is None else session.id

        async def handle() -> None:
            try:
                if brings_token:
                    await in_task()
                    scope[BEARER] = await self._bearers.token(connection)
                    if not connection.is_open:
                        if self._hub.history is not None:
                            self._hub.history.refused(connection)
                        return  # it did not wait for the gates
                if await self._pass(route, offered, context, admission):
                    await run_handler(connection, route.handling(context))
            except BaseException:
                # The server cancels it, or the application its own task: without an end the connection would stay open
                # without a handler.
                connection.begin_close(CloseCode.INTERNAL_ERROR, "internal error")
                raise

        await handshake.serve(connection, handle)

    def _releasing(self, key: str, further: Callable[[int], None] | None) -> Callable[[int], None]:
        def release(code: int) -> None:
            self.addresses.release(key)
            if further is not None:
                further(code)

        return release

    async def _pass(self, route: Route, offered: list[str], context: Context, admission: Admission) -> bool:
        """Whether the connection passes all gates behind the upgrade."""
        try:
            passed = await self._is_welcome(route, offered, context, admission)
        except asyncio.CancelledError:
            if not admission.late:
                raise
            return False
        finally:
            admission.is_through()
        if passed and RESUME in offered:
            await admission.resume()
            context.ws.lane.limit_messages(route.policy.limits.max_payload)
        if passed and context.ws.is_open:
            if route.functions.answers:
                session = context.auth.session
                self._calls.prepare(
                    context.ws,
                    route.functions.answers,
                    context.for_call,
                    None if session is None else session.id,
                    admission.user_id,
                )
            admission.admit()
            return True
        if self._hub.history is not None:
            self._hub.history.refused(context.ws)
        return False

    def _deadlines(self, loop: asyncio.AbstractEventLoop) -> Deadlines:
        if self._waits is None or self._waits.loop is not loop:
            self._waits = Deadlines(loop, self._limits.handshake_timeout)
        return self._waits

    async def _is_welcome(self, route: Route, offered: list[str], context: Context, admission: Admission) -> bool:
        connection, auth = context.ws, context.auth
        session = auth.session
        try:
            if session is not None and (session.user is not None or self._auth.authenticator is not None):
                # Before anything is awaited: a logout meanwhile must find the connection.
                self._hub.enter(connection, (browser_room if session.user is None else session_room)(session.id))
                if self._auth.authenticator is None:
                    await auth.user()
            if route.needs_auth and not await auth.check():
                connection.begin_close(CloseCode.UNAUTHORIZED, "Unauthorized")
                return False
        except RAISED as error:
            if is_own(error):
                raise
            raised("%s: finding the user failed (@app.authenticate)", error, route.path)
            unhandled(error)
            connection.begin_close(CloseCode.INTERNAL_ERROR, "internal error")
            return False
        if route.needs_token:
            session_id = None if session is None else session.id
            token = offered_token(offered)
            if not self._tokens.verify(token, session_id):
                if self._tokens.is_current(token):
                    warn("token", _OF_ANOTHER if session_id is not None else _NO_SESSION, route.path)
                connection.begin_close(CloseCode.INVALID_TOKEN, "Invalid or missing token")
                return False
            connection.session_id = session_id
        for name, function in self._middleware_of(route) if route.middleware else ():
            if not await passes(name, function, context, admission):
                return False
        return True
