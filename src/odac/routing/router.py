"""From a path to a route."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, Unpack, overload

from odac.config import Limits
from odac.errors import ConfigurationError
from odac.realtime.listeners import fit
from odac.realtime.policy import Policy
from odac.routing.middleware import AUTH, Middleware
from odac.routing.options import OPTIONS, CheckedOptions, RouteOptions
from odac.routing.pattern import Pattern
from odac.security.origin import OriginPolicy

__all__ = ["RouteBuilder", "Route", "Router"]

H = TypeVar("H", bound=Callable[..., Any])
_UNSET: Any = object()


@dataclass(frozen=True, slots=True)
class Route:
    """One WebSocket route, with the options that its decorator was given."""

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
    pattern: Pattern = field(repr=False)


class Router:
    """All routes of an app; ``app.route`` adds to them.

    Args:
        limits: the app's, which a route's options are put over.
    """

    def __init__(self, limits: Limits) -> None:
        self.routes: list[Route] = []
        self._limits = limits
        self._fixed: dict[str, Route] = {}
        self._shapes: dict[str, Route] = {}

    def match(self, path: str) -> tuple[Route, dict[str, Any]] | None:
        """The route of a path and its parameters: one without parameters first, then the first added that fits."""
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
        **options: Unpack[RouteOptions],
    ) -> None:
        """Add a route.

        Raises:
            ConfigurationError: something about it cannot work; the message names the fix.
        """
        pattern = Pattern(path)
        if not callable(handler):
            raise ConfigurationError(f"the handler of {path!r} is {handler!r}: it must be a function that takes odac")
        try:
            handler = fit(handler, 1)
        except TypeError as error:
            name = getattr(handler, "__name__", "handler")
            raise ConfigurationError(
                f"the handler of {path!r} must be a function of one argument, def {name}(odac): {error}"
            ) from None
        same = self._shapes.get(pattern.shape)  # two paths that differ only in their parameters' names
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
            pattern=pattern,
        )
        self.routes.append(route)
        self._shapes[pattern.shape] = route
        if not pattern.convertors:
            self._fixed[path] = route


class RouteBuilder:
    """``app.route``, ``app.route.auth`` and ``app.route.use(…)``: what a connection passes before the handler."""

    def __init__(self, router: Router, needs_auth: bool = False, middleware: tuple[str | Middleware, ...] = ()) -> None:
        self._router = router
        self._needs_auth = needs_auth
        self._middleware = middleware

    @property
    def auth(self) -> RouteBuilder:
        """Routes that close with 4001 unless somebody is logged in."""
        return RouteBuilder(self._router, True, self._middleware)

    def use(self, *middleware: str | Middleware) -> RouteBuilder:
        """Routes that pass these middlewares, in this order, after those of an earlier ``use``.

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
    def ws(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]: ...

    def ws(self, path: str, handler: Any = _UNSET, **options: Unpack[RouteOptions]) -> Any:
        """Add a WebSocket route: ``app.route.ws("/chat", handler)``, or ``@app.route.ws("/chat")`` above a function.

        Args:
            path: with Starlette's parameters and convertors, such as ``/room/{id}`` or ``/room/{id:int}``. Where one has
                several ``:path`` parameters, or several in one segment of which some are more than a plain ``{name}``,
                only paths of up to 256 characters are looked at.
            handler: a ``def`` or ``async def`` that takes ``odac``.
            **options: ``token=True`` (ask for the CSRF token), ``max_payload`` (bytes), ``rate_limit=RateLimit(max,
                window)`` or None, ``raw=False`` (True: text arrives unparsed), ``subprotocols=()``, ``origins`` (in place
                of the app's), ``overflow="close"`` or ``"drop_oldest"``, ``message=SomeType`` (incoming JSON is decoded
                and validated into it), ``compression`` (in place of
                the app's).

        Raises:
            ConfigurationError: the path is taken or malformed, the handler is not callable, or an option is unknown or
                out of range. The message names the fix.
        """
        if handler is _UNSET:

            def register(function: H) -> H:
                self._add(path, function, options)
                return function

            return register
        self._add(path, handler, options)
        return handler

    def _add(self, path: str, handler: Any, options: RouteOptions) -> None:
        unknown = options.keys() - OPTIONS
        if unknown:
            raise ConfigurationError(
                f"{path!r}: unknown option {', '.join(sorted(unknown))}; there are {', '.join(OPTIONS)}"
            )
        self._router.add(path, handler, needs_auth=self._needs_auth, middleware=self._middleware, **options)
