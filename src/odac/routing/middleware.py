"""Named middleware: functions that decide about a connection after its upgrade and before its handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from odac.errors import ConfigurationError
from odac.realtime.listeners import fit

__all__ = ["AUTH", "Middleware", "MiddlewareRegistry"]

Middleware = Callable[..., Any]
M = TypeVar("M", bound=Middleware)

AUTH: Final = "auth"
"""The name that stands for the authentication gate."""


class MiddlewareRegistry:
    """The middlewares of one app by name."""

    def __init__(self) -> None:
        self._named: dict[str, Middleware] = {}

    def register(self, name: str) -> Callable[[M], M]:
        """See ``Odac.middleware``."""
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"@app.middleware takes a name: @app.middleware('rate-limit'), not {name!r}")
        if name == AUTH:
            raise ConfigurationError(
                "the middleware name 'auth' stands for the authentication gate: choose another, or use"
                " @app.authenticate"
            )
        if name in self._named:
            raise ConfigurationError(f"there are two middlewares named {name!r}: rename one")

        def add(function: M) -> M:
            if not callable(function):
                raise ConfigurationError(
                    f"the middleware {name!r} is {function!r}: it must be a function that takes odac"
                )
            self._named[name] = function
            return function

        return add

    def resolve(self, each: str | Middleware, path: str) -> tuple[str, Middleware]:
        """The name and the function of what a route uses.

        Raises:
            ConfigurationError: no middleware has this name, or the function does not accept ``odac``.
        """
        if isinstance(each, str):
            function = self._named.get(each)
            if function is None:
                known = ", ".join(sorted(repr(name) for name in self._named))
                raise ConfigurationError(
                    f"the route {path!r} uses the middleware {each!r}, which does not exist: add"
                    f" @app.middleware({each!r})" + (f", or use one of these: {known}" if known else "")
                )
            name = each
        else:
            function = each
            name = getattr(each, "__name__", repr(each))
        try:
            return name, fit(function, 1)
        except TypeError as error:
            raise ConfigurationError(
                f"the middleware {name!r} of the route {path!r} must be a function of one argument, odac: {error}"
            ) from None
