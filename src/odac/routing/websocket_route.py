"""A route that is kept in a variable, to add functions to: ``chess = app.route.ws("/chess")``."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

from odac.errors import ConfigurationError
from odac.routing.annotations import local_names

if TYPE_CHECKING:
    from odac.context import Context
    from odac.routing.functions import Functions

__all__ = ["WebSocketRoute"]

H = TypeVar("H", bound=Callable[..., Any])
M = TypeVar("M")
R = TypeVar("R")


class WebSocketRoute:
    """A decorator that makes a function the handler of a route, and to which further functions can be added.

    Args:
        add: adds the route to the app with this handler or, without an argument, without one; sets the handler of a
            route that was added without one.
        functions: the route's functions.
    """

    __slots__ = ("_add", "_added", "_functions")

    def __init__(self, add: Callable[..., None], functions: Functions) -> None:
        self._add = add
        self._added = False
        self._functions = functions

    def __call__(self, handler: H) -> H:
        """Make a function the route's handler: ``@chess`` above a ``def`` or ``async def`` that takes ``odac``.

        Raises:
            ConfigurationError: the path has a route already, or the function cannot be a handler.
        """
        self._add(handler)
        self._added = True
        return handler

    def on(self, type: type[M]) -> Callable[[Callable[[Context[Any, Any], M], R]], Callable[[Context[Any, Any], M], R]]:  # noqa: A002
        """Register a function for the messages of one type: ``@chess.on(Say)``.

        It takes ``odac`` and the message, may be ``async``, and is called like a message listener: one message at a
        time, in the order of arrival, once the route's handler has returned. If one type has a function, each type that
        ``message=`` names must have one; this is checked at start.

        Args:
            type: a class that the route's ``message=`` names: a msgspec Struct, dataclass or pydantic model.

        Raises:
            ConfigurationError: the route does not accept this type, or the type has a function already.
        """
        if isinstance(type, FunctionType):
            raise ConfigurationError("@route.on needs the type of the messages: write @route.on(Type)")

        def register(function: Callable[[Context[Any, Any], M], R]) -> Callable[[Context[Any, Any], M], R]:
            self._functions.add_message(type, function)
            self._begin()
            return function

        return register

    def answer(self, name: str) -> Callable[[H], H]:
        """Register a function that answers the client's ``call(name, arguments)``: ``@chess.answer("move")``.

        It takes ``odac`` and the arguments, whose annotation is their type, and may be ``async``. Its result is the
        answer; to refuse a call, it raises :class:`odac.CallError`, which the caller gets.

        Args:
            name: the name of the call, 1 to 100 characters.

        Raises:
            ConfigurationError: the name is used already, or the function's annotation cannot be used.
        """
        if callable(name):
            own = getattr(name, "__name__", "move")
            raise ConfigurationError(f"@route.answer needs the name of the call: write @route.answer({own!r})")
        names = local_names(1)

        def register(function: H) -> H:
            self._functions.add_answer(name, function, names)
            self._begin()
            return function

        return register

    def _begin(self) -> None:
        """Add the route of these functions, with or without a handler."""
        if not self._added:
            self._add()
            self._added = True
