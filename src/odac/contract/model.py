"""The contract of an app: what its routes receive, send and answer."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from odac.contract.schema import Schemas, referenced
from odac.protocol.types import union_members

if TYPE_CHECKING:
    from odac.routing.router import Route

__all__ = ["CallContract", "Contract", "MessageContract", "RouteContract", "class_names", "read"]


@dataclass(frozen=True, slots=True)
class MessageContract:
    """One type of message.

    Args:
        name: of its type; ``message``, ``message2`` and so on for types without a name.
        schema: its JSON schema.
    """

    name: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallContract:
    """One call that a route answers.

    Args:
        name: of the call.
        arguments: the JSON schema of the arguments.
        returns: the JSON schema of the answer.
        text: the docstring of the function.
        source: file name and line of the function: ``chess.py:12``.
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
        auth: whether a user must be logged in.
        token: whether the handshake needs a token.
        middleware: the names of its middleware.
        subprotocols: of the application.
        takes: the messages that it receives; empty if the route does not declare them.
        gives: the messages that it sends; empty if the route does not declare them.
        calls: the calls that it answers.
        text: the docstring of the handler.
        source: file name and line of the handler.
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
    """The contract of an app.

    Args:
        routes: in the order in which they were added.
        rooms: the rules of rooms, by their patterns.
        schemas: the definitions that the schemas of messages and calls refer to.
        prefix: the app's ``prefix``.
        cookie: the name of its session cookie over HTTP.
    """

    routes: tuple[RouteContract, ...]
    rooms: dict[str, dict[str, Any]]
    schemas: Schemas = field(repr=False)
    prefix: str
    cookie: str


def read(
    routes: Sequence[Route],
    room_rules: Sequence[tuple[str, object, object]] = (),
    *,
    prefix: str = "/odac",
    cookie: str = "odac",
) -> Contract:
    """Read the contract of an app's routes.

    Args:
        routes: the app's.
        room_rules: for each a pattern, its history and its presence, or None for one it does not have.
        prefix: the app's ``prefix``.
        cookie: the name of its session cookie over HTTP.
    """
    schemas = Schemas()
    used_names: set[str] = set()
    rooms: dict[str, dict[str, Any]] = {}
    for pattern, history, presence in room_rules:
        rules = {name: rule for name, rule in (("history", history), ("presence", presence)) if rule is not None}
        rooms.setdefault(pattern, {}).update(msgspec.to_builtins(rules))
    for route in routes:  # first, so that these types have their own names, and not what is sent
        for type_ in _received(route):
            schemas.add(type_, incoming=True)
    contracts = tuple(_route(route, schemas, used_names) for route in routes)
    return Contract(contracts, rooms, schemas, prefix, cookie)


def _received(route: Route) -> list[Any]:
    message = route.functions.message
    return [
        *([] if message is None else [message]),
        *(answer.arguments for answer in route.functions.answers.values()),
    ]


def _route(route: Route, schemas: Schemas, used_names: set[str]) -> RouteContract:
    functions = route.functions
    takes = _messages(functions.message, schemas, incoming=True)
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
        takes=takes,
        gives=_messages(route.options.get("sends"), schemas, incoming=False, before=len(takes)),
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
    """An identifier for a path, ``chess_id`` for ``/chess/{id}``, whose class name no other route has."""
    words = re.findall(r"[A-Za-z0-9]+", re.sub(r":\w+}", "}", path))
    base = "_".join(words) or "root"
    if base[0].isdigit():
        base = f"route_{base}"
    name, number = base, 1
    while _class_name(name) in used_names:
        number += 1
        name = f"{base}_{number}"
    used_names.add(_class_name(name))
    return name


def _class_name(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


def class_names(contract: Contract, reserved: Iterable[str], suffix: str = "") -> dict[str, str]:
    """The names of the classes of a generated client, by the routes' names: ``ChessId`` for ``chess_id``.

    Args:
        contract: of the app.
        reserved: names that the client uses for something else; a class with such a name gets a ``_`` behind it.
        suffix: the end of each name.
    """
    used_names = set(reserved)
    names = {}
    for route in contract.routes:
        name = _class_name(route.name) + suffix
        while name in used_names:
            name += "_"
        used_names.add(name)
        names[route.name] = name
    return names


def _messages(type_: Any, schemas: Schemas, *, incoming: bool, before: int = 0) -> tuple[MessageContract, ...]:
    """The messages of a type: one for each type in a union.

    Args:
        type_: the type, or None if the route does not declare one.
        schemas: to which the definitions are added.
        incoming: whether the messages are received.
        before: the number of messages that the route has already, so that two without a name have different ones.
    """
    if type_ is None:
        return ()
    schema = schemas.add(type_, incoming=incoming)
    if schema:
        parts = _choices(schema, schemas.definitions)
    else:  # a union of types of which no library makes one schema, such as a Struct and a pydantic model
        parts = [schemas.add(member, incoming=incoming) for member in union_members(type_)]
    found: list[MessageContract] = []
    for part in parts:
        number = before + len(found) + 1
        found.append(MessageContract(referenced(part) or (f"message{number}" if number > 1 else "message"), part))
    return tuple(found)


def _choices(schema: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas in a union and in the unions within it; any other schema is returned alone."""
    target = definitions.get(referenced(schema) or "", schema)
    for combination in ("anyOf", "oneOf"):
        if combination in target:
            found: list[dict[str, Any]] = []
            for part in target[combination]:
                found += [choice for choice in _choices(part, definitions) if choice not in found]
            return found
    return [schema]


def _text(function: Callable[..., Any]) -> str:
    from odac.routing.router import no_handler

    return "" if function is no_handler else inspect.getdoc(function) or ""


def _source(function: Callable[..., Any]) -> str:
    """File name and line, without the directory, which would differ between machines."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return "" if code is None else f"{code.co_filename.rpartition('/')[2]}:{code.co_firstlineno}"
