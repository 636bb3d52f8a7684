from __future__ import annotations

from typing import Any

import pytest

from odac.contract.model import read
from odac.contract.page import example, facts
from tests.unit.contract import chess


def test_every_message_and_call_has_an_example() -> None:
    shown = facts(read(chess.app.websocket_routes))
    first = shown["routes"][0]
    assert [message["example"] for message in first["takes"]] == [
        {"type": "say", "text": "text"},
        {"type": "typing", "on": True},
    ]
    assert first["gives"][0]["example"] == {"theText": "text", "by": None}
    assert [call["example"] for call in first["calls"]] == [{"to": "text"}, None]
    assert first["source"].startswith("chess.py:")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, None),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "number"}, 1.5),
        ({"const": 0}, 0),
        ({"enum": ["a", "b"]}, "a"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"type": "array", "items": {"type": "string"}}, []),
        ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]}, ["text", 1]),
        ({"examples": [7]}, 7),
        ({"$ref": "#/components/schemas/Nothing"}, None),
    ],
)
def test_examples(schema: dict[str, Any], value: Any) -> None:
    assert example(schema, {}) == value


def test_a_type_that_refers_to_itself_ends() -> None:
    reference = {"$ref": "#/components/schemas/Tree"}
    tree = {"type": "object", "properties": {"left": reference}, "required": ["left"]}
    assert isinstance(example(reference, {"Tree": tree}), dict)
