"""The rules for presence in rooms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from odac.errors import ConfigurationError
from odac.spelling import check_fields

__all__ = ["MAX_DATA_BYTES", "Presence", "encode_data"]

MAX_DATA_BYTES: Final = 1024
"""The most bytes of a person's data as JSON text: every member of the room gets it."""
_LONGEST_GRACE: Final = 3600.0
_MOST: Final = 10_000


@check_fields
@dataclass(frozen=True, slots=True)
class Presence:
    """Presence in a room: which people its members see.

    Args:
        grace: seconds for which a person stays in the list after a connection was lost, a page was closed or reloaded,
            or a server stopped; a person who reconnects in that time has not left. 0 to 3600. It must be longer than
            a client takes to reconnect: 10 covers the delay after a first failed attempt.
        limit: the number of people up to which the members get the list, 1 to 10,000. In a larger room they get only
            the total, until it is below 90 % of the limit again.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    grace: float = 10.0
    limit: int = 100

    def __post_init__(self) -> None:
        if (
            isinstance(self.grace, bool)
            or not isinstance(self.grace, (int, float))
            or not 0 <= self.grace <= _LONGEST_GRACE  # refuses NaN as well
        ):
            raise ConfigurationError(f"Presence(grace={self.grace!r}): must be a number of seconds from 0 to 3600")
        if type(self.limit) is not int or not 1 <= self.limit <= _MOST:
            raise ConfigurationError(f"Presence(limit={self.limit!r}): must be a whole number from 1 to {_MOST}")


_encoder: Final = msgspec.json.Encoder()


def encode_data(data: Any) -> bytes:
    """Encode a person's data as JSON text.

    Raises:
        TypeError: it cannot be encoded.
        ValueError: it takes more than 1,024 bytes.
    """
    text = _encoder.encode(data)
    if len(text) > MAX_DATA_BYTES:
        raise ValueError(
            f"join(presence=…) of {len(text)} bytes: at most {MAX_DATA_BYTES}, because every member of the room gets"
            " it; put a name and a link there"
        )
    return text
