"""Python types as JSON schemas, whose definitions are shared by all types of a contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from odac.protocol.codec import has_unknown_class

__all__ = ["REFERENCE", "Schemas", "referenced"]

REFERENCE: Final = "#/components/schemas/"
"""The beginning of every reference to a definition."""


class Schemas:
    """Makes JSON schemas, and collects the definitions that they refer to.

    Attributes:
        definitions: by name, in the order of the names.
    """

    def __init__(self) -> None:
        self._definitions: dict[str, Any] = {}

    @property
    def definitions(self) -> dict[str, Any]:
        """By name, in the order of the names."""
        return dict(sorted(self._definitions.items()))

    def add(self, type_: Any, *, incoming: bool) -> dict[str, Any]:
        """Return the schema of a type; the definitions that it refers to are added.

        Args:
            type_: anything that a route takes as ``message=``.
            incoming: whether the type is received; pydantic has another schema for what is sent.
        """
        if type_ is Any or type_ is object:
            return {}
        schema, definitions = _of_msgspec(type_) or _of_pydantic(type_, incoming) or ({}, {})
        names = {name: self._name(name, definition) for name, definition in definitions.items()}
        for name, definition in definitions.items():
            self._definitions[names[name]] = _renamed(definition, names)
        renamed: dict[str, Any] = _renamed(schema, names)
        return renamed

    def _name(self, wanted: str, definition: Any) -> str:
        """The name for a definition, with a number if another definition has it."""
        name, number = wanted, 1
        while name in self._definitions and self._definitions[name] != _renamed(definition, {wanted: name}):
            number += 1
            name = f"{wanted}{number}"
        return name


def _of_msgspec(type_: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    try:
        if has_unknown_class(type_):
            return None
        (schema,), definitions = msgspec.json.schema_components([type_], ref_template=REFERENCE + "{name}")
    except TypeError:
        return None
    return schema, definitions


def _of_pydantic(type_: Any, incoming: bool) -> tuple[dict[str, Any], dict[str, Any]] | None:
    try:
        from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
    except ImportError:
        return None
    try:
        schema = TypeAdapter(type_).json_schema(
            mode="validation" if incoming else "serialization", by_alias=True, ref_template=REFERENCE + "{model}"
        )
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError):
        return None
    definitions = schema.pop("$defs", {})
    title = schema.get("title")
    if isinstance(title, str) and schema.get("type") == "object" and title not in definitions:
        definitions[title] = schema
        schema = {"$ref": REFERENCE + title}
    return schema, definitions


def _renamed(part: Any, names: Mapping[str, str]) -> Any:
    """A schema with its references renamed, and without OpenAPI's discriminator object: AsyncAPI's is a string."""
    if isinstance(part, dict):
        kept = {key: value for key, value in part.items() if not (key == "discriminator" and isinstance(value, dict))}
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
