"""What a route allows its connections, settled once at start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from odac.config import Limits, Overflow
from odac.wire.codec import decode_text

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits and the decoder of one route; every connection of the route refers to the same one.

    Args:
        name: the route's path, for log lines.
        limits: the app's limits with the route's own put over them.
        overflow: what happens when a reader is too slow.
        decode: from the bytes of a text message, known to be UTF-8, to what listeners get. It raises
            :class:`odac.errors.InvalidMessage` for what the route did not declare.
    """

    name: str
    limits: Limits
    overflow: Overflow = "close"
    decode: Callable[[bytes], object] = decode_text
