"""What a route allows its connections, computed once at start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from odac.config import Limits, OnInvalidMessage, Overflow
from odac.protocol.codec import decode_text

__all__ = ["Policy"]

INCOMING_BYTES: Final = 64 * 1024
"""The least value of ``incoming_bytes``: if a route accepts only small messages, pausing earlier gains nothing.
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits and the decoder of one route; every connection of the route refers to the same one.

    Args:
        path: of the route, for log lines.
        limits: the app's limits, overridden by the route's own.
        overflow: what happens when a reader is too slow.
        decode: converts the bytes of a text message, which are valid UTF-8, to what listeners get. It raises
            :class:`odac.errors.InvalidMessage` for a message of a type that the route did not declare.
        takes_binary: whether the route accepts binary messages.
        on_invalid: ``"close"`` closes with 1007 on an invalid message without an ``invalid`` listener; ``"answer"``
            sends the error to a client that speaks ``odac.v1``, and keeps the connection.

    Attributes:
        incoming_bytes: the bytes of queued messages at which reading pauses: one message of the largest size that the
            route accepts.
    """

    path: str
    limits: Limits
    overflow: Overflow = "close"
    decode: Callable[[bytes], object] = decode_text
    takes_binary: bool = True
    on_invalid: OnInvalidMessage = "close"
    incoming_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "incoming_bytes", max(self.limits.max_payload, INCOMING_BYTES))
