"""A contract as a Python module: ``odac client``."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from odac.contract.model import CallContract, Contract, MessageContract, RouteContract, class_names
from odac.contract.schema import REFERENCE

__all__ = ["module"]

_HEAD: Final = '''"""Made by `{command}`: do not edit.

``async with {first}(...) as ws:`` opens a connection to {path}.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from types import TracebackType
from typing import Any, Literal, NotRequired, Self, TypeAlias, TypedDict
from urllib.parse import quote

import odac
from odac.client import ClientConnection, Sent

__all__ = [{names}]
'''

_IMPORTED: Final = frozenset(
    name for names in re.findall(r"^from .* import (.*)$", _HEAD, re.MULTILINE) for name in names.split(", ")
)
"""Names that the module imports, which no class of a route may have."""

_CLASS: Final = '''class {name}:
    {text}

    def __init__(self, base: str, {parameters}**options: Any) -> None:
        """Set the address to connect to.

        Args:
            base: the server, such as ``wss://example.com``.{parameter_docs}
            options: those of :func:`odac.connect`.
        """
        self.connection: ClientConnection = odac.connect(base + {path}, **({defaults} | options))

    async def __aenter__(self) -> Self:
        await self.connection.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.connection.__aexit__(kind, error, traceback)

    def send(self, data: {takes}) -> Sent:
        """Send a message, or queue it until the connection is open."""
        return self.connection.send(data)

    async def receive(self) -> {gives}:
        """The next message."""
        message: {gives} = await self.connection.receive()
        return message

    async def __aiter__(self) -> AsyncIterator[{gives}]:
        async for message in self.connection:
            yield message

    def close(self, code: int = 1000, reason: str = "") -> Awaitable[None]:
        """End the connection for good."""
        return self.connection.close(code, reason)
'''

_CALL: Final = """
    async def {method}(self, {arguments}*, timeout: float = 10.0, retry: bool = False) -> {returns}:
        {text}
        answer: {returns} = await self.connection.call({name!r}, {given}, timeout=timeout, retry=retry)
        return answer
"""

_RESERVED: Final = frozenset({"send", "receive", "close", "connection"})


def module(contract: Contract, *, command: str) -> str:
    """Return the source of the module.

    Args:
        contract: of the app.
        command: the command that makes it, for its first line.
    """
    definitions = contract.schemas.definitions
    classes = class_names(contract, {*map(_name, definitions), *_IMPORTED})
    first = contract.routes[0] if contract.routes else None
    head = _HEAD.format(
        command=command,
        first=classes[first.name] if first else "…",
        path=first.path if first else "the app, which has no routes",
        names=", ".join(f'"{name}"' for name in (*classes.values(), *map(_name, definitions))),
    )
    parts = [head, *(_definition(name, schema) for name, schema in definitions.items())]
    return "\n\n".join([*parts, *(_class(route, classes[route.name]) for route in contract.routes)])


def _name(name: str) -> str:
    """A definition's name as an identifier; ``Data`` at its end keeps it from being a keyword."""
    word = re.sub(r"\W", "_", name)
    return f"_{word}Data" if word[:1].isdigit() else f"{word}Data"


def _definition(name: str, schema: Mapping[str, Any]) -> str:
    properties = schema.get("properties")
    if schema.get("type") != "object" or not properties:
        return f"{_name(name)}: TypeAlias = {_type(schema)!r}\n"
    required = schema.get("required", ())
    fields = {
        key: _type(part) if key in required else f"NotRequired[{_type(part)}]" for key, part in properties.items()
    }
    if all(key.isidentifier() and not keyword.iskeyword(key) for key in fields):
        lines = "".join(f"    {key}: {type_}\n" for key, type_ in fields.items())
        return f"class {_name(name)}(TypedDict):\n    {_docstring(schema.get('description'), name)}\n\n{lines}"
    entries = ", ".join(f"{key!r}: {type_!r}" for key, type_ in fields.items())
    return f"{_name(name)} = TypedDict({_name(name)!r}, {{{entries}}})\n"


def _docstring(text: object, otherwise: str) -> str:
    """A docstring of one line."""
    words = " ".join(text.split()) if isinstance(text, str) and text.strip() else otherwise
    return '"""' + words.replace("\\", "\\\\").replace('"', "'") + '"""'


def _class(route: RouteContract, class_: str) -> str:
    path = repr(route.path)
    if route.parameters:
        filled = re.sub(r"{(\w+)}", lambda found: "{quote(str(" + found[1] + "), safe='')}", route.path)
        path = f'f"{filled}"'
    source = _CLASS.format(
        name=class_,
        text=_docstring(route.text.partition("\n")[0], route.path),
        parameters="".join(f"{name}: {_parameter(kind)}, " for name, kind in route.parameters.items()),
        parameter_docs="".join(f"\n            {name}: a part of the path." for name in route.parameters),
        path=path,
        defaults="{}" if route.token else '{"token": False}',
        takes=_union(route.takes),
        gives=_union(route.gives),
    )
    return source + "".join(map(_call, route.calls))


def _parameter(convertor: str) -> str:
    return {"integer": "int", "float": "float"}.get(convertor, "str")


def _union(messages: Sequence[MessageContract]) -> str:
    return " | ".join(dict.fromkeys(_type(message.schema) for message in messages)) or "Any"


def _call(call: CallContract) -> str:
    method = re.sub(r"\W", "_", call.name)
    if keyword.iskeyword(method) or method[:1].isdigit() or method in _RESERVED or method.startswith("__"):
        method = f"call_{method}"
    arguments = _type(call.arguments)
    takes_none = arguments == "None"
    return _CALL.format(
        method=method,
        arguments="" if takes_none else f"arguments: {arguments}{' = None' if arguments == 'Any' else ''}, ",
        given="None" if takes_none else "arguments",
        returns=_type(call.returns),
        name=call.name,
        text=_docstring(call.text.partition("\n")[0], f"Call {call.name}."),
    )


def _type(schema: Any) -> str:
    """A JSON schema as a type; a schema that is not understood becomes Any."""
    if not isinstance(schema, Mapping) or not schema:
        return "Any"
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return _name(reference.removeprefix(REFERENCE))
    if "const" in schema:
        return _literal([schema["const"]])
    if "enum" in schema:
        return _literal(schema["enum"])
    for combination in ("anyOf", "oneOf"):
        if combination in schema:
            return " | ".join(dict.fromkeys(map(_type, schema[combination])))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": type_}) for type_ in kind)
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"dict[str, {_type(values) if isinstance(values, Mapping) else 'Any'}]"
    if kind == "array":
        return f"list[{_type(schema.get('items'))}]"
    return {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}.get(
        str(kind), "Any"
    )


def _literal(values: Sequence[Any]) -> str:
    if all(value is None for value in values):
        return "None"
    if not all(value is None or isinstance(value, (str, int, bool)) for value in values):
        return "Any"
    return f"Literal[{', '.join(map(repr, values))}]"
