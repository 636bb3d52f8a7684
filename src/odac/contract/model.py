"""What an app's routes take and give, read from the routes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from odac.contract.schema import Schemas, referenced
from odac.protocol.types import union_members

if TYPE_CHECKING:
    from odac.routing.router import Route

__all__ = ["CallContract", "Contract", "MessageContract", "RouteContract", "class_name", "read"]


@dataclass(frozen=True, slots=True)
class MessageContract:
    """One type of message.

    Args:
        name: of its type, or one that says what it is.
        schema: JSON schema.
    """

    name: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallContract:
    """One question that the route answers.

    Args:
        name: of the call.
        arguments: schema of what is asked with.
        returns: schema of the answer.
        text: what the function's docstring says.
        source: where the function is: ``chess.py:12``.
    """

    name: str
    arguments: dict[str, Any]
    returns: dict[str, Any]
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class RouteContract:
    """One route.

    Args:
        name: made of the path, unique in the app.
        path: with its parameters: ``/chess/{id}``.
        parameters: names of the path's parameters, with their convertors.
        auth: whether somebody must be logged in.
        token: whether the handshake carries a token.
        middleware: names of what the connection passes besides.
        subprotocols: application subprotocols.
        takes: the messages that may come; empty where the route does not say.
        gives: the messages that may go out; the same.
        calls: what it answers.
        text: what the handler's docstring says.
        source: where the handler is.
    """

    name: str
    path: str
    parameters: dict[str, str]
    auth: bool
    token: bool
    middleware: tuple[str, ...]
    subprotocols: tuple[str, ...]
    takes: tuple[MessageContract, ...]
    gives: tuple[MessageContract, ...]
    calls: tuple[CallContract, ...]
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Contract:
    """All routes of an app, in the order in which they were added, and the rules of its rooms, by their patterns."""

    routes: tuple[RouteContract, ...]
    rooms: dict[str, dict[str, Any]]
    schemas: Schemas = field(repr=False)


def read(routes: Sequence[Route], room_rules: Sequence[tuple[str, object, object]] = ()) -> Contract:
    """Read the contract of an app's routes.

    Args:
        routes: the app's.
        room_rules: a pattern, its history and its presence, each or None.
    """
    schemas = Schemas()
    used_names: set[str] = set()
    rooms: dict[str, dict[str, Any]] = {}
    for pattern, history, presence in room_rules:
        rules = {name: rule for name, rule in (("history", history), ("presence", presence)) if rule is not None}
        rooms.setdefault(pattern, {}).update(msgspec.to_builtins(rules))
    return Contract(tuple(_route(route, schemas, used_names) for route in routes), rooms, schemas)


def _route(route: Route, schemas: Schemas, used_names: set[str]) -> RouteContract:
    functions = route.functions
    return RouteContract(
        name=_name(route.path, used_names),
        path=re.sub(r"{(\w+):\w+}", r"{\1}", route.path),
        parameters={
            name: type(convertor).__name__.removesuffix("Convertor").lower().replace("string", "str")
            for name, convertor in route.pattern.convertors.items()
        },
        auth=route.needs_auth,
        token=route.needs_token,
        middleware=tuple(
            named if isinstance(named, str) else getattr(named, "__name__", "middleware") for named in route.middleware
        ),
        subprotocols=route.subprotocols,
        takes=_messages(functions.message, schemas, incoming=True),
        gives=_messages(route.options.get("sends"), schemas, incoming=False),
        calls=tuple(
            CallContract(
                name,
                schemas.add(answer.arguments, incoming=True),
                schemas.add(answer.returns, incoming=False),
                _text(answer.source),
                _source(answer.source),
            )
            for name, answer in functions.answers.items()
        ),
        text=_text(route.handler),
        source=_source(route.handler),
    )


def _name(path: str, used_names: set[str]) -> str:
    """An identifier for a path: ``chess_id`` for ``/chess/{id}``. Not even in its class name does it equal another."""
    words = re.findall(r"[A-Za-z0-9]+", re.sub(r":\w+}", "}", path))
    base = "_".join(words) or "root"
    if base[0].isdigit():
        base = f"route_{base}"
    name, number = base, 1
    while class_name(name) in used_names:
        number += 1
        name = f"{base}_{number}"
    used_names.add(class_name(name))
    return name


def class_name(name: str) -> str:
    """The name of the class for a route with this name: ``ChessId`` for ``chess_id``."""
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


def _messages(type_: Any, schemas: Schemas, *, incoming: bool) -> tuple[MessageContract, ...]:
    if type_ is None:
        return ()
    found: list[MessageContract] = []
    for member in union_members(type_):
        schema = schemas.add(member, incoming=incoming)
        name = referenced(schema) or ("message" if not found else f"message{len(found) + 1}")
        found.append(MessageContract(name, schema))
    return tuple(found)


def _text(function: Callable[..., Any]) -> str:
    from odac.routing.router import no_handler

    return "" if function is no_handler else inspect.getdoc(function) or ""


def _source(function: Callable[..., Any]) -> str:
    """File name and line; without the folder, which is the machine's and not the contract's."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return "" if code is None else f"{code.co_filename.rpartition('/')[2]}:{code.co_firstlineno}"
