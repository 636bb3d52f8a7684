from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, Field

from odac.contract.schema import Schemas, referenced


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


def test_what_may_be_anything() -> None:
    assert Schemas().add(Any, incoming=True) == {}
    assert Schemas().add(object, incoming=True) == {}
    assert Schemas().add(None, incoming=True) == {"type": "null"}
    assert referenced({}) is None
