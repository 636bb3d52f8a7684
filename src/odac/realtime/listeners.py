"""Calls listeners with as many arguments as they accept, which may be fewer than their event has."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, Final, Literal, TypeVar

from odac.errors import InvalidMessage
from odac.signatures import signature_of

__all__ = [
    "EVENTS",
    "Event",
    "Handler",
    "OnClose",
    "OnError",
    "OnInvalid",
    "OnMessage",
    "OnPong",
    "Registered",
    "entries_of",
    "fit",
    "listeners_of",
    "registered",
]

Handler = Callable[..., Any]

Event = Literal["message", "invalid", "close", "error", "pong"]
OnMessage = TypeVar("OnMessage", bound=Callable[[Any], object] | Callable[[], object])
OnClose = TypeVar("OnClose", bound=Callable[[int, str], object] | Callable[[int], object] | Callable[[], object])
OnError = TypeVar("OnError", bound=Callable[[Exception], object] | Callable[[], object])
OnInvalid = TypeVar("OnInvalid", bound=Callable[[InvalidMessage], object] | Callable[[], object])
OnPong = TypeVar("OnPong", bound=Callable[[], object])

EVENTS: Final = {"message": 1, "invalid": 1, "close": 2, "error": 1, "pong": 0}
"""The events of a connection, each with the number of arguments that its listeners get."""

Registered = tuple[Any, ...] | Handler
"""The listeners of a connection: for each its event, the function as registered, and the function to call. A flat tuple
to save memory; and where the only listener is one for messages that is called as it is, no more than that function,
because most connections have this one alone.
"""

_VARIADIC: Final = inspect.CO_VARARGS
_GENERATORS: Final = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_IS_GENERATOR: Final = (inspect.isgeneratorfunction, inspect.isasyncgenfunction)


def registered(entries: tuple[Any, ...]) -> Registered:
    """The shortest form of these listeners: of each its event, the function as registered, and the function to call."""
    if len(entries) == 3 and entries[0] == "message" and entries[1] is entries[2]:
        function: Handler = entries[1]
        return function
    return entries


def entries_of(registered: Registered) -> tuple[Any, ...]:
    """The opposite of :func:`registered`."""
    kept: Any = registered
    return kept if type(kept) is tuple else ("message", kept, kept)


def listeners_of(registered: Registered, event: str) -> list[Handler]:
    """The listeners of an event, as they are to be called."""
    kept: Any = registered
    if type(kept) is not tuple:
        return [kept] if event == "message" else []
    found = []
    for at in range(0, len(kept), 3):
        if kept[at] == event:
            found.append(kept[at + 2])  # noqa: PERF401 - a comprehension is a call before Python 3.12
    return found


def fit(handler: Handler, available: int) -> Handler:
    """Return ``handler``, or a callable around it that passes only the arguments that it accepts.

    Args:
        handler: the function that the application registered.
        available: the number of positional arguments that it will be called with.

    Raises:
        TypeError: it is not callable, needs more arguments than are available, or has a ``yield``.
    """
    accepted, required = _positional(handler)
    if required > available:
        raise TypeError(f"{handler!r} needs {required} arguments, but is called with {available}")
    if accepted >= available:
        return handler
    if accepted == 0:
        return lambda *_: handler()
    return lambda *arguments: handler(*arguments[:accepted])


def _positional(handler: Handler) -> tuple[int, int]:
    # Plain functions and methods first: signature_of() would cost more than the rest of a handshake.
    function, bound = (handler.__func__, 1) if isinstance(handler, MethodType) else (handler, 0)
    if type(function) is FunctionType and not function.__kwdefaults__ and not function.__code__.co_kwonlyargcount:
        code, defaults = function.__code__, function.__defaults__
        if code.co_flags & _GENERATORS:
            raise TypeError(f"{handler!r} contains a yield: calling it would run none of its code")
        accepted = code.co_argcount - bound
        required = accepted - len(defaults) if defaults else accepted
        return (1_000 if code.co_flags & _VARIADIC else accepted), max(0, required)
    if not callable(handler):
        raise TypeError(f"{handler!r} is not callable: a function is needed")
    if any(is_generator(function) for function in (handler, type(handler).__call__) for is_generator in _IS_GENERATOR):
        raise TypeError(f"{handler!r} contains a yield: calling it would run none of its code")
    try:
        parameters = signature_of(handler).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature
        return 1_000, 0
    unfilled = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if unfilled:
        raise TypeError(f"{handler!r} needs {', '.join(unfilled)}, which is not passed by name")
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 1_000, 0
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional), sum(p.default is p.empty for p in positional)
