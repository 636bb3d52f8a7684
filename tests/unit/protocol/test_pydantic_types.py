from __future__ import annotations

import subprocess
import sys
from datetime import date
from typing import Annotated, Literal

import msgspec
import pytest
from pydantic import BaseModel, Field, field_validator

from odac.errors import InvalidMessage
from odac.protocol.codec import encode, make_decoder


class Item(BaseModel):
    kind: Literal["item"] = "item"
    unit_price: float = Field(alias="unitPrice", gt=0)
    days: list[date] = []

    @field_validator("days")
    @classmethod
    def few(cls, days: list[date]) -> list[date]:
        if len(days) > 2:
            raise ValueError("at most two days")
        return days


class Note(BaseModel):
    kind: Literal["note"] = "note"
    text: str


EITHER = Annotated[Item | Note, Field(discriminator="kind")]


def test_models_are_parsed_and_validated() -> None:
    decode = make_decoder(Item)
    assert decode(b'{"unitPrice": 2, "days": ["2026-11-30"]}') == Item(unitPrice=2, days=[date(2026, 11, 30)])
    assert make_decoder(EITHER)(b'{"kind": "note", "text": "x"}') == Note(text="x")
    assert make_decoder(list[Note])(b'[{"text": "x"}]') == [Note(text="x")]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"unitPrice": -1}', r"greater than 0 - at `\$\.unitPrice`"),
        (b"{}", r"Field required - at `\$\.unitPrice`"),
        (b'{"unitPrice": 1, "days": ["x"]}', r"\$\.days\[0\]"),
        (b'{"unitPrice": 1, "days": ["2026-11-30", "2026-11-30", "2026-11-30"]}', "at most two days"),
        (b"{", "Invalid JSON"),
        (b"", "Invalid JSON"),
        (b"[1]", "Input should be an object"),
        (b"[" * 5_000, "recursion|deep"),
    ],
)
def test_what_is_invalid_says_why_and_names_the_field(payload: bytes, reason: str) -> None:
    with pytest.raises(InvalidMessage, match=reason):
        make_decoder(Item)(payload)


@pytest.mark.parametrize(
    ("type_", "payload", "place"),
    [
        (EITHER, b'{"kind": "item", "unitPrice": -1}', "$.unitPrice"),
        (EITHER, b'{"kind": "item", "unitPrice": 1, "days": ["x"]}', "$.days[0]"),
        (EITHER, b'{"kind": "note"}', "$.text"),
        (list[EITHER], b'[{"kind": "note", "text": 1}]', "$[0].text"),
        (dict[str, EITHER], b'{"note": {"kind": "note", "text": 1}}', "$.note.text"),
    ],
    ids=["value", "list", "missing", "in a list", "a key like the tag"],
)
def test_in_a_union_the_place_is_that_in_the_message(type_: object, payload: bytes, place: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        make_decoder(type_)(payload)
    assert caught.value.reason.endswith(f" - at `{place}`")


def test_a_message_that_is_of_no_type_of_a_union_has_no_place() -> None:
    with pytest.raises(InvalidMessage) as caught:
        make_decoder(EITHER | list[Note])(b"1")
    assert " - at " not in caught.value.reason


def test_models_are_sent_by_their_aliases_wherever_they_are() -> None:
    item = Item(unitPrice=2, days=[date(2026, 11, 30)])
    wire = {"kind": "item", "unitPrice": 2.0, "days": ["2026-11-30"]}
    assert msgspec.json.decode(encode(item).payload) == wire
    assert msgspec.json.decode(encode({"items": [item]}).payload) == {"items": [wire]}


def test_other_objects_are_still_refused() -> None:
    class Thing: ...

    for data in (Thing(), [Thing()], {"a": Thing()}):
        with pytest.raises(TypeError, match="type Thing is unsupported"):
            encode(data)


def test_it_is_not_imported_before_it_is_used() -> None:
    code = "import sys, odac, odac.protocol.codec as c; c.make_decoder(dict); c.encode({}); assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_it_its_types_are_refused_with_a_reason() -> None:
    class Other: ...

    sys.modules["pydantic"], kept = None, sys.modules["pydantic"]  # type: ignore[assignment]
    try:
        with pytest.raises(TypeError, match="a class whose fields are not declared"):
            make_decoder(Other)
    finally:
        sys.modules["pydantic"] = kept
