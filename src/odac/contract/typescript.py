"""A contract as a TypeScript module: ``odac types``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from odac.contract.model import Contract, MessageContract, RouteContract, class_names
from odac.contract.schema import REFERENCE

__all__ = ["Hooks", "module"]

Hooks: TypeAlias = Literal["react", "vue"]

_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")

_RESERVED: Final = frozenset(
    {
        *("Odac", "OdacBaseSocket", "OdacCallOptions", "OdacOptions", "UseOdac", "UseOdacOptions", "MaybeRefOrGetter"),
        *("AppRooms", "Promise", "Record", "any", "bigint", "boolean", "never", "null", "number", "object", "string"),
        *("symbol", "undefined", "unknown", "void", "use", "useOdac", "ws"),
        *("await", "break", "case", "catch", "class", "const", "continue", "debugger", "default", "delete", "do"),
        *("else", "enum", "export", "extends", "false", "finally", "for", "function", "if", "implements", "import"),
        *("in", "instanceof", "interface", "let", "new", "package", "private", "protected", "public", "return"),
        *("static", "super", "switch", "this", "throw", "true", "try", "typeof", "var", "while", "with", "yield"),
    }
)
"""Names that the module itself uses, and reserved words: a definition with such a name gets a ``_`` in front of it."""

_ROOMS: Final = "AppRooms"

_HOOKS: Final[Mapping[Hooks, tuple[str, str, str]]] = {
    "react": ("hook `useOdac` of odac-client/react", "", "{path} | null | undefined"),
    "vue": (
        "composable `useOdac` of odac-client/vue",
        "import type { MaybeRefOrGetter } from 'vue'\n",
        "MaybeRefOrGetter<{path} | null | undefined>",
    ),
}
"""By framework: a description of its ``useOdac``, a further import, and the type of the argument ``path``."""


def module(contract: Contract, *, command: str, library: str, hooks: Hooks | None = None) -> str:
    """Return the source of the module.

    Args:
        contract: of the app.
        command: the command that makes it, for its first line.
        library: where the browser client is imported from: ``odac-client``, or the address of ``odac.mjs``.
        hooks: the framework whose ``useOdac`` is typed as well.
    """
    imports = f"import {{ Odac, type OdacBaseSocket, type OdacCallOptions, type OdacOptions }} from {_quoted(library)}"
    if hooks is not None:
        imports += (
            f"\nimport {{ useOdac as use, type UseOdac, type UseOdacOptions }} from 'odac-client/{hooks}'\n"
            + _HOOKS[hooks][1].rstrip()
        ).rstrip()
    names = class_names(contract, map(_name, contract.schemas.definitions), "Socket")
    blocks = [
        f"// Made by `{command}`: do not edit.",
        imports,
        *(_definition(name, schema) for name, schema in contract.schemas.definitions.items()),
        _rooms(contract.rooms),
        *(_socket(route, names[route.name]) for route in contract.routes),
        _function(contract.routes, names),
        *([_hook(contract.routes, names, hooks)] if hooks is not None else ()),
    ]
    return "\n\n".join(blocks) + "\n"


def _definition(name: str, schema: Mapping[str, Any]) -> str:
    text = schema.get("description")
    return f"{_comment(text)}export type {_name(name)} = {_type(schema)}"


def _comment(text: object) -> str:
    if not isinstance(text, str) or not text.strip():
        return ""
    lines = text.strip().replace("*/", "* /").splitlines()
    return "/**\n" + "".join(f" * {line.strip()}".rstrip() + "\n" for line in lines) + " */\n"


def _name(name: str) -> str:
    """A definition's name as an identifier."""
    word = re.sub(r"[^A-Za-z0-9_$]", "_", name)
    return f"_{word}" if word[:1].isdigit() or word in _RESERVED else word


def _union(messages: Sequence[MessageContract], otherwise: str) -> str:
    return " | ".join(dict.fromkeys(_type(message.schema) for message in messages)) or otherwise


def _rooms(rooms: Mapping[str, Mapping[str, Any]]) -> str:
    """The names of the rooms that have rules; the ``*`` of a pattern becomes ``${string}``."""
    lines = []
    for rule in ("history", "presence"):
        names = [_room(pattern) for pattern, rules in rooms.items() if rule in rules]
        lines.append(f"  {rule}: {' | '.join(names) or 'never'}\n")
    return f"/** The rooms with a history, and those that show who is in them. */\nexport interface {_ROOMS} {{\n" + (
        "".join(lines) + "}"
    )


def _room(pattern: str) -> str:
    if "*" not in pattern:
        return _quoted(pattern)
    return "`" + re.sub(r"([\\`$])", r"\\\1", pattern).replace("*", "${string}") + "`"


def _socket(route: RouteContract, name: str) -> str:
    calls = [
        (
            _comment(call.text).replace("\n", "\n  ").rstrip(" ")
            and "  " + _comment(call.text).replace("\n", "\n  ").rstrip(" ")
        )
        + f"  call(name: {_quoted(call.name)}, {_arguments(call.arguments)}, options?: OdacCallOptions):"
        + f" Promise<{_type(call.returns)}>\n"
        for call in route.calls
    ] or ["  call(name: never): Promise<never>\n"]
    return (
        _comment(f"{route.path}\n{route.text}")
        + f"export interface {name}"
        + f" extends OdacBaseSocket<{_union(route.gives, 'unknown')}, {_ROOMS}> {{\n"
        + (
            f"  send(data: {_union(route.takes, '')}): boolean\n"
            if route.takes
            else "  send(data: string | number | boolean | null | object): boolean\n"
        )
        + "".join(calls)
        + "}"
    )


def _arguments(schema: Mapping[str, Any]) -> str:
    """The parameter for a call's arguments; it is optional if the function takes none."""
    return "args?: null" if schema.get("type") == "null" else f"args: {_type(schema)}"


def _most_exact_first(routes: Sequence[RouteContract]) -> list[RouteContract]:
    """TypeScript takes the first overload that fits."""
    return sorted(routes, key=lambda route: (bool(route.parameters), -len(route.path), route.path))


def _function(routes: Sequence[RouteContract], names: Mapping[str, str]) -> str:
    lines = ["/** Open a connection to one of the app's routes; the path says which. */"]
    lines += [
        f"export function ws(path: {_path(route)}, options?: OdacOptions): {names[route.name]}"
        for route in _most_exact_first(routes)
    ]
    lines += [
        "export function ws(path: string, options?: OdacOptions): unknown {"
        if routes
        else "export function ws(path: never, options?: OdacOptions): unknown {",
        "  return Odac.ws(path, options)",
        "}",
    ]
    return "\n".join(lines)


def _hook(routes: Sequence[RouteContract], names: Mapping[str, str], hooks: Hooks) -> str:
    what, _, path = _HOOKS[hooks]
    options = "UseOdacOptions" if hooks == "react" else "MaybeRefOrGetter<UseOdacOptions>"
    lines = [f"/** The {what}, for one of the app's routes; the path says which. */"]
    for route in _most_exact_first(routes):
        given = f"{_union(route.gives, 'unknown')}, {_ROOMS}"
        lines.append(
            f"export function useOdac(path: {path.format(path=_path(route))},"
            f" options?: {options.replace('UseOdacOptions', f'UseOdacOptions<{given}>')}):"
            f" UseOdac<{given}, {names[route.name]}>"
        )
    any_path = path.format(path="string" if routes else "never")
    any_options = options.replace("UseOdacOptions", "UseOdacOptions<any, any>")
    lines += [
        f"export function useOdac(path: {any_path}, options?: {any_options}): unknown {{",
        "  return use(path, options)",
        "}",
    ]
    return "\n".join(lines)


def _path(route: RouteContract) -> str:
    if not route.parameters:
        return f"{_quoted(route.path)} | `{route.path}?${{string}}`"
    pattern = re.sub(
        r"{(\w+)}",
        lambda found: "${number}" if route.parameters[found[1]] in ("integer", "float") else "${string}",
        route.path.replace("`", "\\`"),
    )
    return f"`{pattern}`"


def _quoted(value: str) -> str:
    return "'" + json.dumps(value, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


def _type(schema: Any) -> str:
    """A JSON schema as a type; a schema that is not understood becomes unknown."""
    if not isinstance(schema, Mapping) or not schema:
        return "unknown"
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return _name(reference.removeprefix(REFERENCE))
    if "const" in schema:
        return _literal(schema["const"])
    if "enum" in schema:
        return " | ".join(map(_literal, schema["enum"])) or "never"
    for combination in ("anyOf", "oneOf"):
        if combination in schema:
            return " | ".join(dict.fromkeys(map(_type, schema[combination])))
    if "allOf" in schema:
        return " & ".join(f"({_type(part)})" for part in schema["allOf"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": type_}) for type_ in kind)
    if kind == "object":
        return _object(schema)
    if kind == "array":
        return _array(schema)
    return {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}.get(
        str(kind), "unknown"
    )


def _literal(value: object) -> str:
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _object(schema: Mapping[str, Any]) -> str:
    properties = schema.get("properties")
    if not properties:
        values = schema.get("additionalProperties")
        return f"Record<string, {_type(values) if isinstance(values, Mapping) else 'unknown'}>"
    required = schema.get("required", ())
    fields = [
        f"{name if _IDENTIFIER.fullmatch(name) else _quoted(name)}{'' if name in required else '?'}: {_type(part)}"
        for name, part in properties.items()
    ]
    return "{ " + "; ".join(fields) + " }"


def _array(schema: Mapping[str, Any]) -> str:
    first = schema.get("prefixItems")
    if first:
        rest = schema.get("items")
        more = [f"...({_type(rest)})[]"] if isinstance(rest, Mapping) and rest else []
        return "[" + ", ".join([*map(_type, first), *more]) + "]"
    return f"({_type(schema.get('items'))})[]"
