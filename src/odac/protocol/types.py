"""Inspects declared types, and converts parsed values into them."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin, is_typeddict

import msgspec

from odac.errors import InvalidMessage
from odac.protocol.codec import UNKNOWN_CLASS, encode_json, has_unknown_class, json_decoder
from odac.protocol.pydantic_types import make_validator

__all__ = ["class_of", "make_converter", "name_of", "not_decodable", "takes_bytes", "union_members"]


def union_members(type_: Any) -> tuple[Any, ...]:
    """The types in a union and in the unions within it; for any other type, that type alone.

    ``Annotated`` and names of ``type`` statements (PEP 695) are resolved.
    """
    while True:
        if get_origin(type_) is Annotated:
            type_ = get_args(type_)[0]
        elif type(type_).__name__ == "TypeAliasType":
            type_ = type_.__value__
        else:
            break
    if get_origin(type_) in (Union, types.UnionType):
        return tuple(dict.fromkeys(member for part in get_args(type_) for member in union_members(part)))
    return (type_,)


def class_of(type_: Any) -> type | None:
    """The class of the values of a type that is not a union; None if there is no such class, as for Any and Literal."""
    if type_ is None:
        return types.NoneType
    if type_ is Any or type_ is object:
        return None
    if is_typeddict(type_):
        return dict
    found = get_origin(type_) or type_
    return found if isinstance(found, type) else None


def takes_bytes(type_: Any) -> bool:
    """Whether a binary message may be a value of a type: ``bytes``, or a union with it, or Any."""
    return any(member in (bytes, Any, object) for member in union_members(type_))


def name_of(type_: Any) -> str:
    """The name of a type for people: ``Say | Typing``, ``list[int]``."""
    members = union_members(type_)
    if len(members) != 1:
        return " | ".join(map(name_of, members))
    type_ = members[0]  # without Annotated, and the value of an alias
    if type_ is None or type_ is types.NoneType:
        return "None"
    origin, parts = get_origin(type_), get_args(type_)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, parts))}]"
    if isinstance(origin, type) and parts:
        return f"{origin.__name__}[{', '.join(map(name_of, parts))}]"
    if type_ is Ellipsis:
        return "..."
    return type_.__name__ if isinstance(type_, type) else str(type_).removeprefix("typing.")


def not_decodable(type_: Any, error: TypeError) -> str:
    """Why messages cannot have a type, and what to use instead: the end of an error message.

    Args:
        type_: the type.
        error: that :func:`make_converter` or :func:`odac.protocol.codec.make_decoder` raised.
    """
    return (
        f"JSON cannot be decoded into {name_of(type_)}: {error}. Use a msgspec Struct, dataclass, TypedDict or pydantic"
        " model, or types such as int, str, list and dict"
    )


def make_converter(type_: Any) -> Callable[[object], object]:
    """Return a function that validates a parsed JSON value and converts it into a ``type_``.

    Args:
        type_: as for :func:`odac.protocol.codec.make_decoder`.

    Returns:
        A function that raises :exc:`InvalidMessage` with a reason that names the field.

    Raises:
        TypeError: neither msgspec nor pydantic supports the type.
    """
    try:
        json_decoder(type_)
        if has_unknown_class(type_):
            raise TypeError(UNKNOWN_CLASS)
    except TypeError:
        validate = make_validator(type_)
        if validate is None:
            raise
        return lambda value: validate(encode_json(value))

    def convert(value: object) -> object:
        try:
            return msgspec.convert(value, type_)
        except msgspec.ValidationError as error:
            raise InvalidMessage(str(error)) from None

    return convert
