"""The server's control message about a message that its route does not take."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Invalid", "read_invalid"]


class Invalid(NamedTuple):
    """What is wrong with a message that was sent.

    Args:
        field: the field's place in the message, such as ``moves[0].x``; empty for the message as a whole.
        reason: what is wrong, for people.
    """

    field: str
    reason: str


def read_invalid(values: list[Any]) -> Invalid | None:
    """Read the values after ``"invalid"`` in a control message; None if they are malformed, and to be ignored."""
    match values:
        case [{"field": str() as field, "reason": str() as reason}, *_]:
            return Invalid(field, reason)
    return None
