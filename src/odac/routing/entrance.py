"""The checks that follow a connection's upgrade, and then the route's handler.

Bearer token (awaited, if offered) → authentication (4001) → token (4002) → middleware (4003, 4000) → resume (awaited,
if offered) → handler. :mod:`odac.routing.gate` has the checks before the upgrade.

Most connections need to wait for nothing. :meth:`Entrance.begin` makes all of these checks in plain calls; where
something has to be awaited, it returns a coroutine for the rest. Unusual handshakes go through the coroutine alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from odac.calls.service import Calls
from odac.close_codes import CloseCode
from odac.config import Limits
from odac.context import Context
from odac.lanes.collector import collector
from odac.notices import raised, unhandled, warn
from odac.realtime.audience import browser_room, session_room
from odac.realtime.cancellation import RAISED, is_own
from odac.realtime.connection import Connection
from odac.realtime.deadlines import Deadlines
from odac.realtime.handler import begin_handler, run_handler
from odac.realtime.hub import Hub
from odac.realtime.offered_messages import POSITIONS, TOKEN
from odac.realtime.phase import ADMITTED
from odac.realtime.taskless import in_task
from odac.request import BEARER, Request, scope_of
from odac.routing.admission import Admission
from odac.routing.bearers import receive_bearer
from odac.routing.middleware import Middleware, MiddlewareRegistry
from odac.routing.router import Route
from odac.routing.untracked_handshake import UNSHARED, references, untrack_handshake
from odac.routing.verdict import begin_passing, passes
from odac.security.authentication import Authentication, AuthService
from odac.security.token import Tokens
from odac.wire.handshake import AUTH, RESUME, offered_token

__all__ = ["Entrance"]

_OTHER_SESSION: Final = (
    "%s: refused a token (4002): it was issued for another session or signed with another secret. If this happens to"
    " many clients, a cache stores the responses of /odac/token in spite of their Cache-Control: no-store, or the"
    " processes have different secrets ($ODAC_SECRET)"
)
_NO_SESSION: Final = (
    "%s: refused a token (4002): the handshake had no valid session cookie. If this happens to many clients, check that"
    " every proxy passes on Cookie and Set-Cookie"
)

Named = tuple[str, Middleware]
Values = dict[str, Any]


class Entrance:
    """Checks connections after their upgrade, and calls the handler. Its arguments are those of :class:`Gate`."""

    def __init__(
        self,
        *,
        middlewares: MiddlewareRegistry,
        auth: AuthService,
        tokens: Tokens,
        hub: Hub,
        limits: Limits,
        calls: Calls,
    ) -> None:
        self._middlewares = middlewares
        self._auth = auth
        self._tokens = tokens
        self._hub = hub
        self._limits = limits
        self._calls = calls
        self._resolved: dict[str, tuple[Named, ...]] = {}
        self._waits: Deadlines | None = None

    def middleware_of(self, route: Route) -> tuple[Named, ...]:
        """The route's middlewares; those of a route that was added while the app runs are looked up now.

        Raises:
            ConfigurationError: one is not there.
        """
        found = self._resolved.get(route.path)
        if found is None:
            found = tuple(self._middlewares.resolve(each, route.path) for each in route.middleware)
            self._resolved[route.path] = found
        return found

    def prepare(
        self, route: Route, parameters: Values, scope: Values, connection: Connection, offered: list[str]
    ) -> tuple[Context, Admission]:
        """Make the context and the admission of a connection that has just been upgraded.

        Args:
            route: the connection's.
            parameters: of its path.
            scope: of its handshake.
            connection: the connection.
            offered: the subprotocols that the client offers.
        """
        outer = scope.get("path_params")  # of the mount point
        scope["path_params"] = {**outer, **parameters} if outer else parameters
        hub = self._hub
        admission = Admission(hub, connection, self._deadlines)
        request = Request(scope)
        context = Context(connection, request, Authentication(self._auth, request, admission))
        if connection.speaks_odac:
            if AUTH in offered:
                hub.offered.expect(connection, TOKEN)
            history = hub.history
            if history is not None:
                connection.id += ".0"  # a client's name, and the first of its connections
                if RESUME in offered:
                    hub.offered.expect(connection, POSITIONS)
                    limits = route.policy.limits
                    connection.lane.limit_messages(max(limits.max_payload, limits.resume_bytes))
                session = context.auth.session
                admission.session_id = None if session is None else session.id
        return context, admission

    def _deadlines(self) -> Deadlines:
        loop = self._hub.delivery.loop
        if self._waits is None or self._waits.loop is not loop:
            self._waits = Deadlines(loop, self._limits.handshake_timeout)
        return self._waits

    def begin(
        self, route: Route, parameters: Values, scope: Values, connection: Connection, offered: list[str]
    ) -> Coroutine[Any, Any, None] | None:
        """Check a connection, and call the handler; return a coroutine for the part that has to wait, or None."""
        context, admission = self.prepare(route, parameters, scope, connection, offered)
        try:
            session = context.auth.session
            if (
                route.needs_auth
                or (offered and (RESUME in offered or AUTH in offered))
                or (session is not None and (session.user is not None or self._auth.authenticator is not None))
            ):
                return self.handle(route, offered, context, admission)
            if route.needs_token and not self._brings_token(route, offered, context):
                admission.is_through()
                self._refused(connection)
                return None
            middlewares = self.middleware_of(route) if route.middleware else ()
            for index, (name, function) in enumerate(middlewares):
                passed = begin_passing(name, function, context, admission)
                if passed is False:
                    admission.is_through()
                    self._refused(connection)
                    return None
                if passed is not True:
                    return self.handle(route, offered, context, admission, passed, middlewares[index + 1 :])
            admission.is_through()
            if not self._admit(route, context, admission):
                return None
            rest = begin_handler(connection, route.handling(context))
            if rest is None and collector.spares and references(context) > UNSHARED:
                untrack_handshake(context, admission)
            return None if rest is None else self._finish(rest, context, admission)
        except BaseException:
            admission.is_through()
            connection.begin_close(CloseCode.INTERNAL_ERROR, "internal error")
            raise

    async def handle(
        self,
        route: Route,
        offered: list[str],
        context: Context,
        admission: Admission,
        verdict: Coroutine[Any, Any, bool] | None = None,
        following: Sequence[Named] = (),
    ) -> None:
        """Check a connection, and call the handler, awaiting whatever has to be awaited.

        Args:
            route: the connection's.
            offered: the subprotocols that the client offers.
            context: what the handler gets.
            admission: of the connection.
            verdict: of the middleware that has been called already, where one has, and all gates before it passed.
            following: the middlewares behind that one.
        """
        connection = context.ws
        try:
            if verdict is None and connection.speaks_odac and AUTH in offered:
                await in_task()
                token = await receive_bearer(self._hub.offered, connection)
                scope_of(context.request)[BEARER] = token
                if not connection.is_open:
                    self._refused(connection)
                    return  # it did not wait for the gates
            if await self._pass(route, offered, context, admission, verdict, following):
                await run_handler(connection, route.handling(context))
                if collector.spares and references(context) > UNSHARED:
                    untrack_handshake(context, admission)
        except BaseException:
            # The server cancels it, or the application its own task: without an end the connection would stay open
            # without a handler.
            connection.begin_close(CloseCode.INTERNAL_ERROR, "internal error")
            if not connection.flags & ADMITTED:
                self._refused(connection)
            raise

    async def _finish(self, rest: Coroutine[Any, Any, None], context: Context, admission: Admission) -> None:
        try:
            await rest
            if collector.spares and references(context) > UNSHARED:
                untrack_handshake(context, admission)
        except BaseException:
            context.ws.begin_close(CloseCode.INTERNAL_ERROR, "internal error")  # as in handle()
            raise

    async def _pass(
        self,
        route: Route,
        offered: list[str],
        context: Context,
        admission: Admission,
        verdict: Coroutine[Any, Any, bool] | None,
        following: Sequence[Named],
    ) -> bool:
        """Whether the connection passes all gates behind the upgrade."""
        try:
            if verdict is None:
                passed = await self._has_credentials(route, offered, context, admission)
                following = self.middleware_of(route) if route.middleware else ()
            else:
                passed = await verdict
            for name, function in following:
                passed = passed and await passes(name, function, context, admission)
        except asyncio.CancelledError:
            if not admission.late:
                raise
            passed = False
        finally:
            admission.is_through()
        if not passed:
            self._refused(context.ws)
            return False
        if RESUME in offered:
            await admission.resume()
            context.ws.lane.limit_messages(route.policy.limits.max_payload)
        return self._admit(route, context, admission)

    def _admit(self, route: Route, context: Context, admission: Admission) -> bool:
        """Admit a connection that has passed all gates, unless it has been closed meanwhile."""
        connection = context.ws
        if not connection.is_open:
            self._refused(connection)
            return False
        if route.functions.answers:
            session = context.auth.session
            session_id = None if session is None else session.id
            self._calls.prepare(connection, route.functions.answers, context.for_call, session_id, admission.user_id)
        admission.admit()
        return True

    def _refused(self, connection: Connection) -> None:
        if self._hub.history is not None:
            self._hub.history.refused(connection)

    async def _has_credentials(self, route: Route, offered: list[str], context: Context, admission: Admission) -> bool:
        """Whether the connection has the user and the token that its route requires; closes it if not."""
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
        return not route.needs_token or self._brings_token(route, offered, context)

    def _brings_token(self, route: Route, offered: list[str], context: Context) -> bool:
        """Whether the client's CSRF token is valid for its session; closes the connection if not."""
        connection, session = context.ws, context.auth.session
        session_id = None if session is None else session.id
        token = offered_token(offered)
        if self._tokens.verify(token, session_id):
            connection.session_id = session_id
            return True
        if self._tokens.is_current(token):
            warn("token", _OTHER_SESSION if session_id is not None else _NO_SESSION, route.path)
        connection.begin_close(CloseCode.INVALID_TOKEN, "Invalid or missing token")
        return False
