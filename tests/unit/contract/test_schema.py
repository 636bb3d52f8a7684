from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, NotRequired, TypeVar

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on

from odac.contract.schema import Schemas, referenced
from odac.errors import InvalidMessage
from odac.protocol.codec import decode_json, encode, make_decoder


class Inner(msgspec.Struct):
    x: int


class Outer(msgspec.Struct):
    inner: Inner
    more: list[Inner] = []


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    friend: Cat


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    items: list[T] = []


class Titled(BaseModel):
    model_config = ConfigDict(title="Another title")
    x: int


class Holder(BaseModel):
    page: Page[int]
    titled: Titled


class Ask(BaseModel):
    kind: Literal["ask", "query"] = Field("ask", alias="type")
    text: str = ""


class Busy(BaseModel):
    kind: Literal["busy"] = Field("busy", alias="type")


class Desk(BaseModel):
    first: Annotated[Ask | Busy, Field(discriminator="kind")]
    discriminator: int = 0


@dataclass
class On:
    kind: Literal["on"] = "on"
    at: int = 0


@dataclass
class Off:
    kind: Literal["off"] = "off"
    rooms: list[str] = field(default_factory=list)


class Tagged(msgspec.Struct, tag="tagged"):
    x: int = 0


class OtherTag(msgspec.Struct, tag="other"):
    x: int = 0


class Sparse(msgspec.Struct, omit_defaults=True):
    to: str
    x: int = 0


class Unset(msgspec.Struct):
    x: int | msgspec.UnsetType = msgspec.UNSET
    y: Literal[1] = 1
    z: list[int] = []


class Keys(TypedDict):
    x: int
    y: NotRequired[int]


class Hidden(BaseModel):
    x: int = 0
    secret: str = Field("", exclude=True)


def required_in(definitions: dict[str, Any]) -> dict[str, list[str]]:
    return {name: definition.get("required", []) for name, definition in definitions.items()}


def other() -> Any:
    class Inner(msgspec.Struct):
        y: str

    return Inner


def test_definitions_are_shared_and_sorted() -> None:
    schemas = Schemas()
    assert schemas.add(Outer, incoming=True) == {"$ref": "#/components/schemas/Outer"}
    assert schemas.add(list[Inner], incoming=True) == {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}}
    assert list(schemas.definitions) == ["Inner", "Outer"]


def test_two_types_of_one_name_get_two_schemas() -> None:
    schemas = Schemas()
    schemas.add(Inner, incoming=True)
    assert schemas.add(other(), incoming=True) == {"$ref": "#/components/schemas/Inner2"}
    assert schemas.add(Inner, incoming=True) == {"$ref": "#/components/schemas/Inner"}
    assert schemas.definitions["Inner2"]["properties"] == {"y": {"type": "string"}}


def test_models_of_pydantic_and_no_form_of_discriminator_that_asyncapi_does_not_know() -> None:
    schemas = Schemas()
    schema = schemas.add(Annotated[Cat | Dog, Field(discriminator="kind")], incoming=True)
    assert "discriminator" not in schema
    assert list(schemas.definitions) == ["Cat", "Dog"]
    assert referenced(schemas.add(Dog, incoming=True)) == "Dog"


@pytest.mark.parametrize(
    ("type_", "without", "required"),
    [
        pytest.param(
            Annotated[Ask | Busy, Field(discriminator="kind")], {}, {"Ask": ["type"], "Busy": ["type"]}, id="pydantic"
        ),
        pytest.param(
            Annotated[On | Off, Field(discriminator="kind")], {}, {"Off": ["kind"], "On": ["kind"]}, id="dataclasses"
        ),
        pytest.param(Tagged | OtherTag, {}, {"OtherTag": ["type"], "Tagged": ["type"]}, id="structs"),
        pytest.param(Desk, {"first": {}}, {"Ask": ["type"], "Busy": ["type"], "Desk": ["first"]}, id="in a field"),
        pytest.param(
            dict[str, list[Annotated[Ask | Busy, Field(discriminator="kind")]]],
            {"a": [{}]},
            {"Ask": ["type"], "Busy": ["type"]},
            id="in a container",
        ),
    ],
)
def test_a_field_that_tells_types_apart_is_required_in_what_is_received(
    type_: Any, without: object, required: dict[str, list[str]]
) -> None:
    schemas = Schemas()
    schemas.add(type_, incoming=True)
    assert required_in(schemas.definitions) == required
    with pytest.raises(InvalidMessage):
        make_decoder(type_)(encode(without).payload)


def test_a_field_with_one_value_is_required_outside_of_unions_too_so_that_a_type_has_one_definition() -> None:
    schemas = Schemas()
    for type_ in (Cat, Busy, Dog, Cat | Dog, Annotated[Cat | Dog, Field(discriminator="kind")]):
        schemas.add(type_, incoming=True)
    assert required_in(schemas.definitions) == {"Busy": ["type"], "Cat": ["kind"], "Dog": ["kind", "friend"]}


@pytest.mark.parametrize(
    ("least", "required"),
    [
        pytest.param(Ask.model_validate({}), ["type", "text"], id="pydantic"),
        pytest.param(Hidden.model_validate({}), ["x"], id="excluded"),
        pytest.param(Off(), ["kind", "rooms"], id="dataclass"),
        pytest.param(Tagged(), ["type", "x"], id="struct"),
        pytest.param(Sparse(to="a"), ["to"], id="omit_defaults"),
        pytest.param(Unset(), ["y", "z"], id="unset"),
    ],
)
def test_a_field_that_is_always_sent_is_required_in_what_is_sent(least: Any, required: list[str]) -> None:
    schemas = Schemas()
    schemas.add(list[type(least)], incoming=False)  # type: ignore[misc]
    (definition,) = schemas.definitions.values()
    assert definition["required"] == required
    assert list(decode_json(encode(least).payload)) == required


def test_a_key_that_a_typed_dict_may_lack_is_not_required_in_what_is_sent() -> None:
    schemas = Schemas()
    schemas.add(Keys, incoming=False)
    schemas.add(dict[str, Keys | Hidden], incoming=False)  # through pydantic
    assert {name: sorted(found) for name, found in required_in(schemas.definitions).items()} == {
        "Hidden": ["x"],
        "Keys": ["x"],
        "Keys2": ["x"],
    }


def test_a_type_that_is_received_and_sent_in_two_forms_has_two_definitions_however_often_it_is_added() -> None:
    schemas = Schemas()
    for _ in range(3):
        assert schemas.add(Outer, incoming=True) == {"$ref": "#/components/schemas/Outer"}
        assert schemas.add(Outer, incoming=False) == {"$ref": "#/components/schemas/OuterOutput"}
        assert schemas.add(Dog, incoming=False) == schemas.add(Dog, incoming=True)
        schemas.add(list[other()], incoming=False)  # type: ignore[misc]
    assert list(schemas.definitions) == ["Cat", "Dog", "Inner", "InnerOutput", "Outer", "OuterOutput"]


def test_a_field_may_be_called_discriminator() -> None:
    schemas = Schemas()
    schemas.add(Desk, incoming=True)
    assert list(schemas.definitions["Desk"]["properties"]) == ["first", "discriminator"]
    assert "discriminator" not in schemas.definitions["Desk"]["properties"]["first"]


def test_a_model_has_one_name_alone_and_within_other_types() -> None:
    schemas = Schemas()
    for type_ in (Page[int], list[Page[int]], Titled, dict[str, Titled], Holder):
        schemas.add(type_, incoming=True)
    assert list(schemas.definitions) == ["Holder", "Page_int_", "Titled"]


def test_what_may_be_anything() -> None:
    assert Schemas().add(Any, incoming=True) == {}
    assert Schemas().add(object, incoming=True) == {}
    assert Schemas().add(None, incoming=True) == {"type": "null"}
    assert referenced({}) is None
