from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, Optional, TypedDict, Union

import msgspec
import pytest
from pydantic import BaseModel

from odac.errors import InvalidMessage
from odac.protocol.codec import make_decoder
from odac.protocol.types import class_of, make_converter, name_of, union_members


class Say(msgspec.Struct, tag=True):
    text: str


class Typing(msgspec.Struct, tag=True):
    on: bool


@dataclass
class Point:
    x: int
    day: date


class Typed(TypedDict):
    x: int


class Model(BaseModel):
    x: int
    day: date


@pytest.mark.parametrize(
    ("type_", "members"),
    [
        (Say, (Say,)),
        (Say | Typing, (Say, Typing)),
        (Union[Say, Union[Typing, Say]], (Say, Typing)),  # noqa: UP007
        (Optional[Say], (Say, type(None))),  # noqa: UP045
        (Annotated[Say | Annotated[Typing, "x"], "y"], (Say, Typing)),
        (list[int], (list[int],)),
        (None, (None,)),
    ],
)
def test_the_members_of_a_union(type_: Any, members: tuple[Any, ...]) -> None:
    assert union_members(type_) == members


@pytest.mark.parametrize(
    ("type_", "found"),
    [(Say, Say), (list[int], list), (Typed, dict), (None, type(None)), (Any, None), (dict[str, int], dict)],
)
def test_the_class_of_a_types_values(type_: Any, found: type | None) -> None:
    assert class_of(type_) is found


def test_names() -> None:
    assert name_of(Say | Typing | None) == "Say | Typing | None"
    assert name_of(list[int]) == "list[int]"
    either = Annotated[Say | Typing, "a note"]
    assert name_of(either) == "Say | Typing"
    assert name_of(list[either]) == "list[Say | Typing]"
    assert name_of(dict[str, list[either] | None]) == "dict[str, list[Say | Typing] | None]"
    assert name_of(tuple[Say, ...]) == "tuple[Say, ...]"
    assert name_of(Literal["a", 1]) == "Literal['a', 1]"
    assert name_of(Any) == "Any"
    assert name_of(list[Any]) == "list[Any]"


def test_converting() -> None:
    assert make_converter(Point)({"x": 1, "day": "2026-11-30"}) == Point(1, date(2026, 11, 30))
    assert make_converter(Model)({"x": 1, "day": "2026-11-30"}) == Model(x=1, day=date(2026, 11, 30))
    assert make_converter(Say | Typing)({"type": "Typing", "on": True}) == Typing(True)
    assert make_converter(int)(7) == 7


@pytest.mark.parametrize("type_", [Point, Model])
def test_what_does_not_fit_names_the_field(type_: Any) -> None:
    with pytest.raises(InvalidMessage, match=r"\$\.day"):
        make_converter(type_)({"x": 1, "day": "today"})


def test_what_neither_library_knows() -> None:
    class Unknown: ...

    for type_ in (Unknown, list[Unknown], lambda: None):
        with pytest.raises(TypeError):
            make_converter(type_)


@pytest.mark.parametrize("make", [make_converter, make_decoder])
def test_a_type_within_a_function_that_names_another_one_there(make: Callable[[Any], object]) -> None:
    class Corner(msgspec.Struct):
        x: int

    class Shape(msgspec.Struct):
        corners: list[Corner]

    with pytest.raises(TypeError, match=r"'Corner' is not defined: define the types .* at the top of a module"):
        make(Shape)
