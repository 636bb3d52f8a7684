"""Encodes the control messages of calls in both directions, and reads those of peers, which may contain anything."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Final, NamedTuple

from odac.errors import CallError
from odac.protocol.codec import encode as prepare
from odac.protocol.codec import encode_json
from odac.protocol.message import SEPARATOR, Verbatim

__all__ = ["MAX_ID", "Request", "encode", "read_answer", "read_id", "read_request", "refusal"]

MAX_ID: Final = 2**53 - 1
"""The largest integer that every JSON parser keeps (RFC 8259 section 6)."""

_LONGEST: Final = 86_400_000.0
"""Milliseconds of any time that a peer may name."""

_FIELDS: Final = 6


class Request(NamedTuple):
    """A received call: ``["call", id, name, arguments, at, left, retry]``; the last three may be left out.

    Args:
        id: the caller's number of the call, which the answer repeats.
        name: the name that the call is for.
        arguments: any JSON.
        at: milliseconds since the hello at which the call was sent, by the caller's clock; None if not given.
        left: milliseconds from then to the caller's deadline; None if not given.
        origin: of a call with ``retry``: ``calls`` in the hello of the connection that it was first sent over.
        age: milliseconds since it was first sent; 0 if this is the first time.
    """

    id: int
    name: str
    arguments: Any
    at: float | None
    left: float | None
    origin: str | None
    age: float


def encode(kind: str, *values: object) -> Verbatim:
    """Encode a control message; its values may be anything that can be sent.

    Raises:
        TypeError: one of them cannot be encoded.
    """
    try:
        return Verbatim(SEPARATOR + encode_json((kind, *values)))
    except (TypeError, ValueError, OverflowError, RecursionError):
        for value in values:
            prepare(value)  # raises an error that says what is wrong with it
        raise


def read_id(value: object) -> int | None:
    """Return ``value`` if it is a call's id, else None."""
    return value if type(value) is int and 0 <= value <= MAX_ID else None


def _milliseconds(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value):
        return min(max(float(value), 0.0), _LONGEST)
    return None


def read_request(values: Sequence[Any]) -> Request | None:
    """Read the items after ``"call"``; None if they are no valid call, which is ignored."""
    id_, name, arguments, at, left, retry = [*values, *[None] * _FIELDS][:_FIELDS]
    number = read_id(id_)
    if number is None or not isinstance(name, str):
        return None
    origin, age = None, 0.0
    if isinstance(retry, list) and len(retry) == 2 and isinstance(retry[0], str):
        origin, age = retry[0], _milliseconds(retry[1]) or 0.0
    return Request(number, name, arguments, _milliseconds(at), _milliseconds(left), origin, age)


def read_answer(kind: str, values: Sequence[Any]) -> tuple[int, object, CallError | None] | None:
    """Read the items after ``"reply"`` or ``"fail"``: id, value and error; None if they are not valid."""
    number = read_id(values[0]) if values else None
    if number is None:
        return None
    if kind == "reply":
        return number, values[1] if len(values) > 1 else None, None
    code = values[1] if len(values) > 1 and isinstance(values[1], str) else "internal"
    text = values[2] if len(values) > 2 and isinstance(values[2], str) else ""
    return number, None, CallError(code[:100], text[:1000])


def refusal(id_: int, error: CallError) -> Verbatim:
    """The message that answers a call with an error."""
    return encode("fail", id_, error.code, error.text)
