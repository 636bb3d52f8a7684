"""Types of pydantic, if it is installed; it is imported only for a declared type that msgspec does not support."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from odac.errors import InvalidMessage

__all__ = ["encode_unknown", "make_validator"]


def make_validator(type_: Any) -> Callable[[bytes], object] | None:
    """Return a function that parses and validates JSON with pydantic's ``TypeAdapter``.

    Args:
        type_: a pydantic model, or any other type that a ``TypeAdapter`` takes.

    Returns:
        A function from JSON to a ``type_`` that raises :exc:`InvalidMessage` with the name of the first field that is
        wrong; None where pydantic is not installed or has no schema for such a type.
    """
    if inspect.isroutine(type_):
        return None  # a TypeAdapter takes functions, and would validate their arguments
    try:
        from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
    except ImportError:
        return None
    try:
        validate = TypeAdapter(type_).validator.validate_json
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError):
        return None

    def decode(payload: bytes) -> object:
        try:
            return validate(payload)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            is_missing = first["type"].startswith("missing")
            raise InvalidMessage(first["msg"] + _place(_in_message(first["loc"], payload, is_missing))) from None
        except RecursionError:
            raise InvalidMessage("JSON that cannot be read: nested too deeply") from None

    return decode


def _in_message(path: tuple[int | str, ...], payload: bytes, is_missing: bool) -> tuple[int | str, ...]:
    """Leave out the steps of pydantic's path that the message does not have.

    In a union, pydantic's path also has the type that it tried (its tag, or ``int``), which is not in the message.

    Args:
        path: pydantic's ``loc``.
        payload: the message.
        is_missing: the last step is a field that the message lacks.
    """
    if not path:
        return path  # also where the message is not JSON
    try:
        value: Any = msgspec.json.decode(payload)
    except (ValueError, RecursionError):
        return path  # pydantic accepts more than msgspec, such as NaN
    steps: list[int | str] = []
    for number, step in enumerate(path, 1):
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        elif isinstance(value, dict) and step in value:
            value = value[step]
        elif not (is_missing and number == len(path)):
            continue
        steps.append(step)
    return tuple(steps)


def _place(path: tuple[int | str, ...]) -> str:
    """The place in the message, as msgspec writes it for its own types."""
    if not path:
        return ""
    return " - at `$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path) + "`"


def encode_unknown(data: Any) -> object:
    """Return the value to encode instead of one of an unknown type: msgspec's hook.

    A pydantic model becomes its fields, by their aliases, as in FastAPI's responses.

    Raises:
        TypeError: the value is not a pydantic model either.
    """
    serializer = getattr(type(data), "__pydantic_serializer__", None)
    if serializer is None:
        if isinstance(data, (tuple, frozenset)):  # msgspec encodes these as values, so here one is a dict's key
            raise TypeError("Only dicts with str-like or number-like keys are supported")
        raise TypeError(f"Encoding objects of type {type(data).__name__} is unsupported")
    return serializer.to_python(data, mode="json", by_alias=True)
