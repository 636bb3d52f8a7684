"""The JSON that the docs page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from odac.contract.model import Contract
from odac.contract.schema import REFERENCE

__all__ = ["example", "facts"]

_DEEPEST: Final = 6
"""The most levels of an example, because definitions may refer to themselves."""


def facts(contract: Contract) -> dict[str, Any]:
    """Everything that the page shows: the routes, each message and call with an example, and the definitions.

    Args:
        contract: of the app.
    """
    definitions = contract.schemas.definitions
    routes = []
    for route in contract.routes:
        entry = asdict(route)
        for message in (*entry["takes"], *entry["gives"]):
            message["example"] = example(message["schema"], definitions)
        for call in entry["calls"]:
            call["example"] = example(call["arguments"], definitions)
        routes.append(entry)
    return {"prefix": contract.prefix, "routes": routes, "rooms": contract.rooms, "definitions": definitions}


def example(schema: Any, definitions: Mapping[str, Any], depth: int = 0) -> Any:
    """An example of a value that a JSON schema describes."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return example(definitions.get(reference.removeprefix(REFERENCE)), definitions, depth + 1)
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("enum"):
        return schema["enum"][0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            return example(schema[keyword][0], definitions, depth + 1)
    kind = schema.get("type")
    if kind == "object":
        required = schema.get("required", ())
        properties = schema.get("properties", {}).items()
        return {name: example(part, definitions, depth + 1) for name, part in properties if name in required}
    if kind == "array":
        return [example(part, definitions, depth + 1) for part in schema.get("prefixItems", ())]
    return {"string": "text", "integer": schema.get("minimum", 1), "number": 1.5, "boolean": True}.get(str(kind))
