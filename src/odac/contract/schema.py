"""Python types as JSON schemas, whose definitions are shared by all types of a contract."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import GenericAlias
from typing import Any, Final, get_origin

import msgspec

from odac.protocol.codec import has_unknown_class, parts_of

__all__ = ["REFERENCE", "Schemas", "referenced"]

REFERENCE: Final = "#/components/schemas/"
"""The beginning of every reference to a definition."""


class Schemas:
    """Makes JSON schemas, and collects the definitions that they refer to.

    A type that is received, and is sent in another form, has two definitions: ``Move`` and ``MoveOutput``, if the
    received one is added first.
    """

    def __init__(self) -> None:
        self._definitions: dict[str, Any] = {}
        self._contents: dict[str, str] = {}
        self._received: set[str] = set()

    @property
    def definitions(self) -> dict[str, Any]:
        """By name, in the order of the names."""
        return dict(sorted(self._definitions.items()))

    def add(self, type_: Any, *, incoming: bool) -> dict[str, Any]:
        """Return the schema of a type; the definitions that it refers to are added.

        Args:
            type_: anything that a route takes as ``message=``.
            incoming: whether the type is received. In what is sent, fields with a default are required, because they
                are always sent; in what is received, only those that tell the types of a union apart are.
        """
        if type_ is Any or type_ is object:
            return {}
        schema, definitions = _of_msgspec(type_, incoming) or _of_pydantic(type_, incoming) or ({}, {})
        if incoming:
            _require_tags(schema, definitions)
        names = {name: self._name(name, _content(name, definitions), incoming) for name in definitions}
        for name, definition in definitions.items():
            self._definitions.setdefault(names[name], _renamed(definition, names))
        renamed: dict[str, Any] = _renamed(schema, names)
        return renamed

    def _name(self, wanted: str, content: str, incoming: bool) -> str:
        """The name for a definition: another one if a definition with another content has it."""
        base = wanted
        if not incoming and wanted in self._received and self._contents[wanted] != content:
            base = f"{wanted}Output"
        name, number = base, 1
        while self._contents.get(name, content) != content:
            number += 1
            name = f"{base}{number}"
        self._contents[name] = content
        if incoming:
            self._received.add(name)
        return name


def _content(name: str, definitions: Mapping[str, Any]) -> str:
    """A definition's content, with that of the definitions that it refers to."""
    reached: dict[str, Any] = {}
    waiting: list[Any] = [{"$ref": REFERENCE + name}]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting.extend(part.values())
            other = referenced(part)
            if other is not None and other in definitions and other not in reached:
                reached[other] = definitions[other]
                waiting.append(definitions[other])
        elif isinstance(part, (list, tuple)):
            waiting.extend(part)
    return json.dumps([name, reached], sort_keys=True, default=repr)


def _of_msgspec(type_: Any, incoming: bool) -> tuple[dict[str, Any], dict[str, Any]] | None:
    try:
        if has_unknown_class(type_):
            return None
        kinds = [
            part
            for part in parts_of(type_)
            if not incoming and isinstance(part, (msgspec.inspect.StructType, msgspec.inspect.DataclassType))
        ]
        (schema, *references), definitions = msgspec.json.schema_components(
            [type_, *(kind.cls for kind in kinds)], ref_template=REFERENCE + "{name}"
        )
    except TypeError:
        return None
    for kind, reference in zip(kinds, references, strict=True):
        definition = definitions[referenced(reference) or ""]
        if "properties" in definition:
            left_out = _left_out(kind)
            definition["required"] = [name for name in definition["properties"] if name not in left_out]
    return schema, definitions


def _left_out(kind: msgspec.inspect.StructType | msgspec.inspect.DataclassType) -> set[str]:
    """The fields that msgspec may leave out when it encodes: by ``omit_defaults``, and those that may be ``UNSET``."""
    config = getattr(get_origin(kind.cls) or kind.cls, "__struct_config__", None)
    omits = config is not None and config.omit_defaults
    return {
        field.encode_name
        for field in kind.fields
        # Of the default UNSET, msgspec's description says only that the field is not required.
        if not field.required and (omits or field.default is field.default_factory is msgspec.NODEFAULT)
    }


def _of_pydantic(type_: Any, incoming: bool) -> tuple[dict[str, Any], dict[str, Any]] | None:
    try:
        from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
        from pydantic.json_schema import GenerateJsonSchema
    except ImportError:
        return None

    class Sent(GenerateJsonSchema):
        """Fields with a default are required, as with ``json_schema_serialization_defaults_required``."""

        def field_is_required(self, field: Any, total: bool) -> bool:
            if field["type"] == "typed-dict-field":  # a key that is not there is not sent
                return super().field_is_required(field, total)
            return field.get("serialization_exclude_if") is None

    # In a list, because pydantic writes the schema of a model alone out instead of naming it in the definitions.
    several: Any = GenericAlias(list, (type_,))
    try:
        schema = TypeAdapter(several).json_schema(
            mode="validation" if incoming else "serialization",
            by_alias=True,
            ref_template=REFERENCE + "{model}",
            schema_generator=GenerateJsonSchema if incoming else Sent,
        )
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError):
        return None
    return schema.get("items", {}), schema.get("$defs", {})


def _require_tags(schema: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Require the fields that tell types apart, although they have defaults: without them the decoder cannot choose.

    These are the fields that have one possible value, and the ``discriminator`` of a union. The former are required
    outside of unions as well, as msgspec requires its tags, so that a type has one definition, and so that the clients
    of a route that takes one type are still understood when it takes a second one.
    """
    for definition in definitions.values():
        for name, part in definition.get("properties", {}).items():
            values = part.get("enum", [part["const"]] if "const" in part else [])
            if [part.get("default")] == values and isinstance(values[0], (str, int)):
                _require(definition, name, definitions)
    waiting: list[Any] = [schema, definitions]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting.extend(part.values())
            if _is_discriminator(part.get("discriminator")):
                _require(part, part["discriminator"]["propertyName"], definitions)
        elif isinstance(part, (list, tuple)):
            waiting.extend(part)


def _require(schema: dict[str, Any], name: str, definitions: Mapping[str, Any]) -> None:
    """Require a field of an object, or of each object in a union."""
    schema = definitions.get(referenced(schema) or "", schema)
    for choice in schema.get("oneOf", ()):
        _require(choice, name, definitions)
    properties = schema.get("properties", {})
    if name in properties:
        required = {*schema.get("required", ()), name}
        schema["required"] = [other for other in properties if other in required]


def _is_discriminator(value: Any) -> bool:
    """Whether this is OpenAPI's discriminator object, and not the schema of a field of that name."""
    return isinstance(value, dict) and isinstance(value.get("propertyName"), str)


def _renamed(part: Any, names: Mapping[str, str]) -> Any:
    """A schema with its references renamed, and without OpenAPI's discriminator object: AsyncAPI's is a string."""
    if isinstance(part, dict):
        kept = {key: value for key, value in part.items() if not (key == "discriminator" and _is_discriminator(value))}
        reference = kept.get("$ref")
        if isinstance(reference, str) and reference.startswith(REFERENCE):
            name = reference.removeprefix(REFERENCE)
            kept["$ref"] = REFERENCE + names.get(name, name)
        return {key: value if key == "$ref" else _renamed(value, names) for key, value in kept.items()}
    if isinstance(part, (list, tuple)):
        return [_renamed(item, names) for item in part]
    return part


def referenced(schema: Mapping[str, Any]) -> str | None:
    """The name of the definition, if a schema is only a reference to one, or None."""
    reference = schema.get("$ref")
    return reference.removeprefix(REFERENCE) if isinstance(reference, str) else None
