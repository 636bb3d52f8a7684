"""Adds routes, and finds the route of a path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar, Unpack, overload

from odac.config import Limits
from odac.context import Context
from odac.errors import ConfigurationError
from odac.hints import for_handler
from odac.realtime.listeners import fit
from odac.realtime.policy import Policy
from odac.routing.annotations import refuse_dependencies
from odac.routing.functions import Functions
from odac.routing.middleware import AUTH, Middleware
from odac.routing.options import OPTIONS, CheckedOptions, RouteOptions
from odac.routing.pattern import Pattern
from odac.routing.websocket_route import WebSocketRoute
from odac.security.origin import OriginPolicy
from odac.spelling import did_you_mean

__all__ = ["RouteBuilder", "Route", "Router"]

H = TypeVar("H", bound=Callable[..., Any])
_UNSET: Any = object()


@dataclass(frozen=True, slots=True)
class Route:
    """One WebSocket route, with the options of its decorator."""

    path: str
    handler: Callable[..., Any]
    policy: Policy
    needs_auth: bool
    needs_token: bool
    middleware: tuple[str | Middleware, ...]
    subprotocols: tuple[str, ...]
    origins: OriginPolicy | None
    compression: bool | None
    options: Mapping[str, object]
    functions: Functions = field(repr=False)
    pattern: Pattern = field(repr=False)

    def handling(self, context: Context[Any, Any]) -> Callable[[], Any]:
        """Return the function that calls the handler, and the message functions after it."""
        functions = self.functions
        return partial(functions.run, self.handler, context) if functions.by_class else partial(self.handler, context)


class Router:
    """All routes of an app; ``app.route`` adds to them.

    Args:
        limits: the app's limits, which a route's options override.
    """

    def __init__(self, limits: Limits) -> None:
        self.routes: list[Route] = []
        self._limits = limits
        self._fixed: dict[str, Route] = {}
        self._shapes: dict[str, Route] = {}

    def match(self, path: str) -> tuple[Route, dict[str, Any]] | None:
        """The route of a path and its parameters: one without parameters wins, then the first added that matches."""
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, {}
        for route in self.routes:
            if route.pattern.convertors:
                parameters = route.pattern.match(path)
                if parameters is not None:
                    return route, parameters
        return None

    def add(
        self,
        path: str,
        handler: Callable[..., Any],
        *,
        needs_auth: bool,
        middleware: tuple[str | Middleware, ...],
        functions: Functions | None = None,
        **options: Unpack[RouteOptions],
    ) -> None:
        """Add a route.

        Raises:
            ConfigurationError: something about it cannot work; the message names the fix.
        """
        pattern = Pattern(path)
        handler = _fitted(path, handler)
        same = self._shapes.get(pattern.shape)  # a path that differs only in the names of its parameters
        if same is not None:
            raise ConfigurationError(
                f"the path {path!r} has a route already ({same.path!r}): remove one, or give it another path"
            )
        try:
            checked = CheckedOptions(**options)
            policy, origins = checked.policy(path, self._limits), checked.origin_policy()
        except ConfigurationError as error:
            raise ConfigurationError(f"{path!r}: {error}") from None
        route = Route(
            path=path,
            handler=handler,
            policy=policy,
            needs_auth=needs_auth or AUTH in middleware,
            needs_token=checked.token,
            middleware=tuple(each for each in middleware if each != AUTH),
            subprotocols=tuple(checked.subprotocols),
            origins=origins,
            compression=checked.compression,
            options=checked.given(),
            functions=functions if functions is not None else Functions(path, checked.message),
            pattern=pattern,
        )
        self.routes.append(route)
        self._shapes[pattern.shape] = route
        if not pattern.convertors:
            self._fixed[path] = route

    def give_handler(self, functions: Functions, handler: Callable[..., Any]) -> bool:
        """Set the handler of a route that was added for its functions; return False if it has one or does not exist."""
        for index, route in enumerate(self.routes):
            if route.functions is functions and route.handler is no_handler:
                route = self.routes[index] = replace(route, handler=_fitted(route.path, handler))
                self._shapes[route.pattern.shape] = route
                if route.path in self._fixed:
                    self._fixed[route.path] = route
                return True
        return False


class RouteBuilder:
    """``app.route``, ``app.route.auth`` and ``app.route.use(…)``: adds routes with authentication and middlewares."""

    def __init__(self, router: Router, needs_auth: bool = False, middleware: tuple[str | Middleware, ...] = ()) -> None:
        self._router = router
        self._needs_auth = needs_auth
        self._middleware = middleware

    @property
    def auth(self) -> RouteBuilder:
        """Routes that close with 4001 unless the connection has a user."""
        return RouteBuilder(self._router, True, self._middleware)

    def use(self, *middleware: str | Middleware) -> RouteBuilder:
        """Routes with these middlewares, in this order, after those of an earlier ``use``.

        Args:
            middleware: functions, or the names given with ``@app.middleware(name)``. ``"auth"`` is the authentication
                gate, as ``.auth`` is.

        Raises:
            ConfigurationError: one is neither a function nor a name. An unknown name is found at start.
        """
        for each in middleware:
            if not isinstance(each, str) and not callable(each):
                raise ConfigurationError(f"use({each!r}): a middleware is a function or the name of one")
        return RouteBuilder(self._router, self._needs_auth, self._middleware + middleware)

    @overload
    def ws(self, path: str, handler: H, **options: Unpack[RouteOptions]) -> H: ...

    @overload
    def ws(self, path: str, **options: Unpack[RouteOptions]) -> WebSocketRoute: ...

    def ws(self, path: str, handler: Any = _UNSET, **options: Unpack[RouteOptions]) -> Any:
        """Add a WebSocket route: ``app.route.ws("/chat", handler)``, or ``@app.route.ws("/chat")`` above a function.

        Args:
            path: the path, with Starlette's parameters and convertors, such as ``/room/{id}`` or ``/room/{id:int}``. A
                pattern with several ``:path`` parameters, or with several parameters in one segment that are not all
                plain ``{name}``, matches only paths of up to 256 characters.
            handler: a ``def`` or ``async def`` that takes ``odac``.
            **options: ``token=True`` (require the CSRF token), ``max_payload`` (bytes), ``rate_limit=RateLimit(max,
                window)`` or None, ``raw=False`` (True: text arrives unparsed), ``subprotocols=()``, ``origins``
                (replaces the app's), ``overflow="close"`` or ``"drop_oldest"``, ``message=SomeType`` (incoming JSON is
                decoded and validated into it), ``sends=SomeType`` (the type that the route sends, for the contract),
                ``compression`` (replaces the app's), ``on_invalid="close"`` or ``"answer"`` (for a message that is not
                of the type ``message=``).

        Returns:
            the handler; without one, a decorator for it, which can be kept to add further functions: see
            :class:`WebSocketRoute`.

        Raises:
            ConfigurationError: an option is unknown; or, raised when the route gets its handler or its first function,
                the path has a route already or is malformed, the handler is not callable, or an option's value is not
                allowed. The message names the fix.
        """
        if callable(path):
            raise ConfigurationError('@app.route.ws needs a path, in parentheses: @app.route.ws("/chat")')
        unknown = options.keys() - OPTIONS
        if unknown:
            raise ConfigurationError(
                f"{path!r}: unknown option {', '.join(sorted(unknown))}: {did_you_mean(min(unknown), OPTIONS)}"
            )
        functions = Functions(path, options.get("message"))

        def add(function: Callable[..., Any] = no_handler) -> None:
            if not self._router.give_handler(functions, function):
                self._router.add(
                    path,
                    function,
                    needs_auth=self._needs_auth,
                    middleware=self._middleware,
                    functions=functions,
                    **options,
                )

        if handler is _UNSET:
            return WebSocketRoute(add, functions)
        add(handler)
        return handler


def no_handler(odac: object) -> None:
    """The placeholder handler of a route that has only functions for its messages and calls."""


def _fitted(path: str, handler: object) -> Callable[..., Any]:
    if not callable(handler):
        raise ConfigurationError(f"the handler of {path!r} is {handler!r}: it must be a function that takes odac")
    if (hint := for_handler(handler)) is not None:
        raise ConfigurationError(
            f"the handler of {path!r} cannot be {getattr(handler, '__qualname__', handler)}: {hint}"
        )
    refuse_dependencies(handler, f"the handler of {path!r}")
    try:
        return fit(handler, 1)
    except TypeError as error:
        name = getattr(handler, "__name__", "handler")
        raise ConfigurationError(
            f"the handler of {path!r} must be a function of one argument, def {name}(odac): {error}"
        ) from None
