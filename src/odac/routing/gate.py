"""The checks of a handshake before the upgrade: Host (400) → origin (403) → route (404) → maximum of connections (503).

The checks after the upgrade are in :mod:`odac.routing.entrance`. A refusal before the upgrade is an HTTP status; after
it, a close code, which a page can read.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from odac.calls.service import Calls
from odac.config import Limits
from odac.lanes.base import ImmediateHandshake, PendingHandshake
from odac.notices import limit_met, refused, warn
from odac.realtime.connection import Connection
from odac.realtime.hub import Hub
from odac.routing.addresses import Addresses
from odac.routing.entrance import Entrance
from odac.routing.middleware import MiddlewareRegistry
from odac.routing.no_route import NO_ROUTE, NoRoute
from odac.routing.router import Route, Router
from odac.security.authentication import AuthService
from odac.security.hosts import HostPolicy
from odac.security.origin import OriginPolicy
from odac.security.token import Tokens
from odac.wire.handshake import SUBPROTOCOL, select_subprotocol

__all__ = ["Gate"]

Refusal = tuple[int, str, Sequence[tuple[str, str]]]
"""An HTTP status, what a person reads, and headers."""

_NOT_FOUND: Final[Refusal] = (404, "There is no WebSocket route at this path.", ())
_FULL: Final[Refusal] = (503, "Too many connections. Try again later.", (("Retry-After", "5"),))


class Gate:
    """Admits connections or refuses them.

    Args:
        router: the routes.
        middlewares: the named middlewares.
        origins: the app's origin check.
        hosts: the host names for which handshakes are answered.
        auth: looks up a connection's user.
        tokens: verifies tokens.
        hub: gets the connections.
        limits: the app's limits.
        compression: whether permessage-deflate is negotiated.
        calls: the app's calls.
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
        self._origins = origins
        self._hosts = hosts
        self._hub = hub
        self._limits = limits
        self._compression = compression
        self._entrance = Entrance(
            middlewares=middlewares, auth=auth, tokens=tokens, hub=hub, limits=limits, calls=calls
        )
        self.addresses = Addresses(limits.connections_per_ip)

    def check(self) -> None:
        """Look up every name that the routes use.

        Raises:
            ConfigurationError: one is not registered.
        """
        for route in self._router.routes:
            self._entrance.middleware_of(route)
            route.functions.check(route.handler)

    async def admit(
        self, route: Route | None, parameters: dict[str, Any], scope: dict[str, Any], handshake: PendingHandshake
    ) -> None:
        """Run one handshake through all gates, and then the handler of its connection."""
        refusal = self._refusal(route, scope)
        if refusal is not None or route is None:
            await handshake.refuse(*(refusal or _NOT_FOUND))
            return
        key = self._room_for_one_more(route, scope)
        if key is None:
            await handshake.refuse(*_FULL)
            return
        offered: list[str] = list(scope.get("subprotocols") or ())
        subprotocol = select_subprotocol(offered, route.subprotocols) if offered else None
        # Counted from here until the transport has ended, so that connections refused after the upgrade count as well.
        self._hub.population += 1
        connection: Connection | None = None
        try:
            connection = await handshake.open(
                self._hub,
                route.policy,
                subprotocol,
                speaks_odac=subprotocol == SUBPROTOCOL,
                compression=self._compression if route.compression is None else route.compression,
            )
        finally:
            self._opened(connection, key)
        if connection is not None:
            entrance = self._entrance
            prepared = entrance.prepare(route, parameters, scope, connection, offered)
            handling = entrance.handle(route, offered, *prepared)
            del prepared  # a reference from here would count as the application's: see odac.routing.untracked_handshake
            await handshake.serve(connection, handling)

    def begin(
        self, route: Route, parameters: dict[str, Any], scope: dict[str, Any], handshake: ImmediateHandshake
    ) -> Coroutine[Any, Any, None] | None:
        """Do the same as :meth:`admit`, and return a coroutine only if something must be awaited.

        Returns:
            the coroutine for the rest, or None if everything is done.
        """
        refusal = self._refusal(route, scope)
        if refusal is not None:
            handshake.refuse_now(*refusal)
            return None
        key = self._room_for_one_more(route, scope)
        if key is None:
            handshake.refuse_now(*_FULL)
            return None
        offered: list[str] = scope["subprotocols"]
        subprotocol = select_subprotocol(offered, route.subprotocols) if offered else None
        self._hub.population += 1  # as in admit()
        connection: Connection | None = None
        try:
            connection = handshake.open_now(
                self._hub,
                route.policy,
                subprotocol,
                subprotocol == SUBPROTOCOL,
                self._compression if route.compression is None else route.compression,
            )
        finally:
            if connection is None or key:
                self._opened(connection, key)
        if connection is None:
            return None
        return self._entrance.begin(route, parameters, scope, connection, offered)

    def _refusal(self, route: Route | None, scope: dict[str, Any]) -> Refusal | None:
        """The HTTP answer to a handshake that is refused."""
        foreign = None if self._hosts.any else self._hosts.refusal(scope)
        if foreign is not None:
            warn("host", "a handshake for %r was refused with 400: %s", scope["path"][:200], foreign)
            refused(foreign)
            return 400, "This host is not served here.", ()
        why = ((route.origins if route is not None else None) or self._origins).refusal(scope)
        if why is not None:
            warn("origin", "a handshake for %r was refused with 403: %s", scope["path"][:200], why)
            refused(why)
            return 403, "This origin may not connect.", ()
        if route is None:
            no_route = NoRoute(self._router, scope)
            warn("path", NO_ROUTE, scope["path"][:200], no_route)
            refused(no_route)
            return _NOT_FOUND
        return None

    def _opened(self, connection: Connection | None, key: str) -> None:
        """Count the client's address until the connection has ended."""
        if connection is None:
            self._hub.population -= 1
            if key:
                self.addresses.release(key)
        elif key:
            connection.call_on_release(lambda _: self.addresses.release(key))

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
