"""The ASGI application, which creates and connects all components."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from odac.brokers.registry import default_url
from odac.calls.service import Calls
from odac.close_codes import CloseCode
from odac.cluster.factory import make_bus
from odac.config import Limits, SessionOptions
from odac.dispatch import Dispatch
from odac.errors import BrokerError, ConfigurationError
from odac.hints import no_attribute
from odac.history.rules import History
from odac.http.docs import DocsPage
from odac.http.endpoints import Endpoints, Health, Services
from odac.http.publish import Publication
from odac.lanes.base import LANE_EXTENSION
from odac.life import Life
from odac.lifespan import Lifespan
from odac.presence.rules import Presence
from odac.protocol.codec import encode
from odac.realtime.audience import Audience, browser_room, session_of, session_room
from odac.realtime.hub import Hub
from odac.realtime.sent import Sent
from odac.realtime.ws_server import WsServer
from odac.request import Request, with_lower_names, with_whole_path
from odac.room_rules import RoomRules
from odac.routing.addresses import Addresses
from odac.routing.gate import Gate
from odac.routing.middleware import MiddlewareRegistry
from odac.routing.router import Route, RouteBuilder, Router
from odac.security.authentication import AuthService
from odac.security.hosts import HostPolicy
from odac.security.origin import OriginPolicy
from odac.security.secret import Secret, Secrets
from odac.security.session import Session, Sessions
from odac.security.token import Tokens
from odac.signatures import signature_of
from odac.spelling import check_fields, check_names

if TYPE_CHECKING:
    from odac.lanes.base import ImmediateHandshake

__all__ = ["Odac"]

logger = logging.getLogger("odac")

F = TypeVar("F", bound=Callable[..., Any])
AsgiApp = Callable[..., Awaitable[Any]]


def _check_asgi(http: object) -> None:
    if not callable(http):
        raise ConfigurationError(f"Odac(http={http!r}): must be an ASGI app")
    try:
        signature_of(http).bind("environ", "start_response")
    except (TypeError, ValueError):  # it needs three arguments, or has no signature
        return
    raise ConfigurationError(
        f"Odac(http={http!r}): is a WSGI app, and must be an ASGI app: wrap it, such as in a2wsgi.WSGIMiddleware(…)"
    )


class Routes(RouteBuilder):
    """``app.route``: adds routes; its ``ws_server`` sends to all connections."""

    def __init__(self, router: Router, ws_server: WsServer) -> None:
        super().__init__(router)
        self.ws_server = ws_server

    if not TYPE_CHECKING:  # a type checker must not take every name for one of this class

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name)

        def __call__(self, *_: object, **__: object) -> Any:
            raise TypeError("app.route is not called: write @app.route.ws(path)")


@check_fields
class Odac:
    """A realtime application for any ASGI server: alone, around another app, or mounted in another app.

    Args:
        secret: signs sessions and tokens: a str or bytes, or a list of them of which the first signs and all verify.
            Default: ``$ODAC_SECRET``, else a random one with a warning, which is lost when the process ends.
        http: any ASGI app; it answers all HTTP requests and WebSocket paths for which Odac has no endpoint or route.
        prefix: the path below which the client script and the token endpoint are.
        broker: the URL of the broker, which connects the processes: ``memory://``, ``local://``, ``redis://…``,
            ``nats://…``. Default: ``$ODAC_BROKER``, else the private broker of ``odac run --workers``, else memory.
        origins: further allowed origins besides the request's own host, such as ``["https://example.com"]``; ``"*"``
            turns the check off.
        hosts: the host names of this site, as Django's ``ALLOWED_HOSTS``: handshakes and requests below ``prefix`` with
            another one in their Host header are refused with 400. ``".example.com"`` means a name and all its
            subdomains; ports are ignored. ``{prefix}/health`` answers for every name. Default: every name.
        limits: the limits for clients.
        compression: whether permessage-deflate (RFC 7692) is negotiated with clients that offer it.
        user_id: takes a user, returns the id for ``ws_server.user(id)``; by default its ``id`` or ``pk``, or the
            ``"id"``, ``"pk"`` or ``"sub"`` of a mapping.
        publish_keys: bearer keys for ``POST {prefix}/publish``; without any, there is no such endpoint. Default:
            ``$ODAC_PUBLISH_KEY``.
        session: the session cookie's name, and how long a login lasts.
        docs: whether a request may read ``GET {prefix}/docs``, a page to see and try the routes: True, False, or a
            function that takes the request (sync or async). Default: True while the app signs with a random secret.
        takeover: whether the app, when it starts, installs Odac's WebSocket class in a running uvicorn (also under
            gunicorn) that was started without ``--ws``, so that its connections use the direct lane.

    Raises:
        ConfigurationError: an argument cannot work; the message names the fix.
    """

    def __init__(
        self,
        secret: Secret = None,
        *,
        http: AsgiApp | None = None,
        prefix: str = "/odac",
        broker: str | None = None,
        origins: Sequence[str] | str | None = None,
        hosts: Sequence[str] | None = None,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
        compression: bool = False,
        user_id: Callable[[Any], Any] | None = None,
        publish_keys: Sequence[str] | None = None,
        session: SessionOptions = SessionOptions(),  # noqa: B008 - a frozen value
        docs: bool | Callable[[Request], Any] | None = None,
        takeover: bool = True,
    ) -> None:
        if not isinstance(limits, Limits):
            raise ConfigurationError(f"Odac(limits={limits!r}): must be Limits(…)")
        if not isinstance(session, SessionOptions):
            raise ConfigurationError(f"Odac(session={session!r}): must be SessionOptions(…)")
        if not isinstance(compression, bool):
            raise ConfigurationError(f"Odac(compression={compression!r}): must be True or False")
        if docs is not None and not isinstance(docs, bool) and not callable(docs):
            raise ConfigurationError(f"Odac(docs={docs!r}): must be True, False, or a function that takes a request")
        if not isinstance(takeover, bool):
            raise ConfigurationError(f"Odac(takeover={takeover!r}): must be True or False")
        if user_id is not None and not callable(user_id):
            raise ConfigurationError(f"Odac(user_id={user_id!r}): must be a function that takes a user")
        if broker is not None and not isinstance(broker, str):
            raise ConfigurationError(f"Odac(broker={broker!r}): must be a URL such as 'redis://localhost'")
        if http is not None:
            _check_asgi(http)
        if publish_keys is None:
            publish_keys = [os.environ["ODAC_PUBLISH_KEY"]] if os.environ.get("ODAC_PUBLISH_KEY") else []
        self.limits = limits
        self.prefix = prefix
        broker_url = broker or default_url()
        self.http = http
        secrets = Secrets(secret)
        tokens = Tokens(secrets)
        self._hub = Hub(limits, on_close=self._revoke_sessions, issue_token=tokens.issue)
        make_bus(broker_url, self._hub)  # so that a wrong URL or a missing library is found now
        self.uses_environment_secret = secret is None
        self.auth = AuthService(Sessions(secrets, session), user_id=user_id, on_logout=self._close_session)
        self._router = Router(limits)
        self._middlewares = MiddlewareRegistry()
        self.route = Routes(self._router, WsServer(self._hub, self.auth.address))
        host_policy = HostPolicy(hosts)
        self._gate = Gate(
            router=self._router,
            middlewares=self._middlewares,
            origins=OriginPolicy(origins),
            hosts=host_policy,
            auth=self.auth,
            tokens=tokens,
            hub=self._hub,
            limits=limits,
            compression=compression,
            calls=Calls(self._hub),
        )
        endpoints = Endpoints(
            Services(
                auth=self.auth,
                tokens=tokens,
                health=self._health,
                publish=self._publish,
                publish_keys=publish_keys,
                prefix=prefix,
                docs=DocsPage(self._docs, secrets.is_random if docs is None else docs),
            )
        )
        self._rules = RoomRules(self._hub, secrets, broker_url)
        self._life = Life(
            hub=self._hub,
            rules=self._rules,
            check=self.check,
            limits=limits,
            takes_over=takeover,
        )
        self._dispatch = Dispatch(
            runs_here=self._life.runs_here,
            start=self.startup,
            router=self._router,
            gate=self._gate,
            endpoints=endpoints,
            hosts=host_policy,
            http=http,
            prefix=prefix,
        )
        # See odac.lanes.base.BEGINS_WITHOUT_TASK; a subclass may await anything in its own __call__.
        self.begins_without_task = type(self).__call__ is Odac.__call__

    @property
    def addresses(self) -> Addresses:
        """The number of connections of each client address; a server counts its HTTP connections here as well."""
        return self._gate.addresses

    # Configuration by the application

    def middleware(self, name: str) -> Callable[[F], F]:
        """Name a middleware: ``@app.middleware("rate-limit")`` above a function that takes ``odac``.

        With True or None the connection continues; False closes it with 4003; anything else with 4000; an exception
        with 1011.

        Raises:
            ConfigurationError: there is a middleware with this name already.
        """
        return self._middlewares.register(name)

    def authenticate(self, function: F) -> F:
        """Register the function that finds a request's user: it gets the request and returns a user or None."""
        return self.auth.authenticate(function)

    @check_names
    def rooms(self, pattern: str, *, history: History | None = None, presence: Presence | None = None) -> None:
        """Keep a history of rooms, so that a reconnecting client gets what it missed, or show their members to each
        other.

        ::

            app.rooms("chat-*", history=History(size=256, ttl=3600.0), presence=Presence(grace=10.0))

        Args:
            pattern: a room's name, or one with ``*``, which stands for any text. Exact names win, then the first
                pattern that matches.
            history: the number of messages kept, and for how long.
            presence: members that join with ``presence=`` see each other.

        Raises:
            ConfigurationError: the pattern has a rule already, or is no valid name; the broker keeps no history; or
                the app is running.
            TypeError: ``history`` is not a :class:`odac.History`, or ``presence`` not a :class:`odac.Presence`.
        """
        self._rules.add(pattern, history, presence)

    @property
    def broker_url(self) -> str:
        """The URL of the broker. ``odac run --broker`` sets it, before the app starts."""
        return self._rules.broker_url

    @broker_url.setter
    def broker_url(self, url: str) -> None:
        self._rules.use_broker(url)

    @property
    def room_rules(self) -> Sequence[tuple[str, History | None, Presence | None]]:
        """The rules that were added by :meth:`rooms`, in that order."""
        return tuple(self._rules.declared)

    @check_names
    def users(self, *, history: History, replay: int = 0) -> None:
        """Keep the messages of every user's inbox: those that ``ws_server.user(id).send(…)`` sends.

        Args:
            history: the number of messages kept, and for how long.
            replay: how many of the latest messages a newly opened page gets.

        Raises:
            ConfigurationError: the broker keeps no history; or the app is running.
            TypeError: ``history`` is not a :class:`odac.History`.
            ValueError: ``replay`` is not from 0 to 1,000.
        """
        self._rules.add_inboxes(history, replay)

    # Start and stop

    @property
    def websocket_routes(self) -> Sequence[Route]:
        """The WebSocket routes, in the order in which they were added.

        The name ``routes`` is taken: Starlette looks there for an app's HTTP routes.
        """
        return tuple(self._router.routes)

    def check(self) -> None:
        """Check the whole configuration before the start.

        Raises:
            ConfigurationError: a route uses an unknown middleware; the message names the fix.
        """
        self._gate.check()

    async def startup(self) -> None:
        """Start on the running event loop and connect to the broker. A server with lifespan calls this by itself.

        Raises:
            ConfigurationError: see :meth:`check`.
        """
        await self._life.start()

    @property
    def is_running(self) -> bool:
        """Whether the app has been started and not stopped since."""
        return self._life.loop is not None

    def drain(self) -> None:
        """Begin to stop: ``GET {prefix}/health`` answers 503, and every connection is closed with 1001 after its
        pending messages.

        Connections are closed one after the other, at most 500 a second, within ``Limits.drain_timeout``.
        """
        self._life.drain()

    async def shutdown(self) -> None:
        """Close every connection with 1001 and leave the broker. A server with lifespan calls this by itself."""
        self.drain()
        await self._life.stop()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Start and stop this app with the app that it is mounted in: ``FastAPI(lifespan=odac_app.lifespan)``.

        Without it, a mounted app starts with its first request.
        """
        await self.startup()
        try:
            yield
        finally:
            await self.shutdown()

    def figures(self) -> dict[str, int]:
        """This process's counters: connections and rooms now, and messages dropped or lost since its start.

        ``limit_rate_limit`` and so on count how often each of ``Limits`` was exceeded, in all apps of the process.
        """
        return self._life.figures()

    # ASGI

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        kind = scope["type"]
        if kind == "websocket":
            if LANE_EXTENSION not in (scope.get("extensions") or ()):
                scope = with_lower_names(scope)
            await self._dispatch.websocket(with_whole_path(scope), receive, send)
        elif kind == "http":
            await self._dispatch.request(with_whole_path(with_lower_names(scope)), receive, send)
        elif kind == "lifespan":
            await Lifespan(self, self.http)(scope, receive, send)
        else:
            raise RuntimeError(f"unknown ASGI scope type {kind!r}")

    def begin_handshake(self, scope: dict[str, Any], handshake: ImmediateHandshake) -> Coroutine[Any, Any, None] | None:
        """See :data:`odac.lanes.base.BEGINS_WITHOUT_TASK`.

        Args:
            scope: of ``odac run``: with lower-case names and the whole path.
            handshake: has no answer yet.
        """
        if self._life.loop is not handshake.loop:
            return self(scope, handshake.receive, handshake.send)
        return self._dispatch.begin(scope, handshake)

    # Callbacks

    def _close_session(self, session: Session) -> None:
        if self._life.loop is not None:
            room = browser_room(session.id) if session.user is None else session_room(session.id)
            self._hub.orders.close(Audience((room,)), CloseCode.UNAUTHORIZED, "Logged out")

    def _revoke_sessions(self, audience: Audience) -> None:
        """After a logout, here or in another process: refuse copies of the session's cookie in this process too."""
        for room in audience.rooms:
            session_id = session_of(room)
            if session_id is not None:
                self.auth.sessions.revoke(session_id)

    def _docs(self) -> dict[str, Any]:
        from odac.contract.model import read
        from odac.contract.page import facts

        cookie = self.auth.sessions.cookie
        return facts(read(self.websocket_routes, self.room_rules, prefix=self.prefix, cookie=cookie))

    def _health(self) -> Health:
        hub, bus = self._hub, self._life.bus
        details: dict[str, Any] = {"connections": len(hub.connections), "draining": hub.draining}
        if bus is not None:
            details["broker"] = {"healthy": bus.healthy, "processes": bus.processes}
        return Health(self.route.ws_server.healthy, details)

    def _publish(self, publication: Publication) -> Sent:
        if not self._hub.bus.healthy:
            # It is not sent to this process's own connections either: they would get it twice if the caller retries.
            raise BrokerError("The broker is away, so other processes would not get it. Try again.")
        return self._hub.send(Audience(publication.rooms), encode(publication.data))

    if not TYPE_CHECKING:  # a type checker must not take every name for one of this class

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name)

    def __repr__(self) -> str:
        return f"<Odac {len(self._router.routes)} WebSocket routes>"
