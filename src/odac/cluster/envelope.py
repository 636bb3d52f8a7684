"""What travels between processes: msgpack, strict, bounded, and nothing in it is ever executed."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from odac.brokers.base import MAX_PAYLOAD
from odac.realtime.audience import Audience
from odac.wire.frames import TEXT, check_close

__all__ = [
    "ORIGIN_BYTES",
    "UNNUMBERED",
    "Answer",
    "Ask",
    "Beat",
    "Bye",
    "Close",
    "Envelope",
    "GarbageError",
    "Item",
    "RoomMessage",
    "decode",
    "encode",
    "mark",
]

VERSION: Final = 1
ORIGIN_BYTES: Final = 16
UNNUMBERED: Final = -1
"""The number of an envelope that is no part of a channel's counted messages."""


class GarbageError(ValueError):
    """A payload is not what any process of this version publishes."""


class RoomMessage(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=0, gc=False):
    """A prepared message for an audience.

    Args:
        audience: whom it is for.
        opcode: 1 text, 2 binary.
        payload: the message, unframed.
    """

    audience: Audience
    opcode: Annotated[int, Meta(ge=1, le=2)]
    payload: bytes


class Close(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1, gc=False):
    """Close the connections of an audience.

    Args:
        audience: whom it is for.
        code: the close code.
        reason: for the client.
        id: a random one where the order may come again after an outage, and 0 where it does not.
    """

    audience: Audience
    code: int
    reason: str
    id: Annotated[int, Meta(ge=0)] = 0


class Beat(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2, gc=False):
    """The sender is there; to itself, when it comes back, the proof that the way is open.

    Args:
        nonce: another one each time.
        greeting: the sender has just arrived and would like to hear who else is there.
        away: seconds for which the sender may have heard nothing before it greets.
    """

    nonce: int
    greeting: bool = False
    away: Annotated[float, Meta(ge=0)] = 0.0


class Bye(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3, gc=False):
    """The sender leaves in good order."""


class Ask(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=4, gc=False):
    """How many connections of an audience are there? The answer goes to the sender's inbox."""

    question: int
    audience: Audience


class Answer(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=5, gc=False):
    """So many."""

    question: int
    total: Annotated[int, Meta(ge=0)]


Item = RoomMessage | Close | Beat | Bye | Ask | Answer


class Envelope(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Items that one process publishes on a channel in one go.

    Args:
        version: of this format.
        origin: the publishing process's random id: not its pid, host name or clock, which others may share.
        sequence: grows with every envelope of that process; an envelope on several channels has one.
        number: how many counted items this process published on this channel before, so that a receiver sees what it
            missed (it cannot from ``sequence``, because it does not get every channel). 0 begins anew, -1 is not counted.
        shared: the envelope was published on several channels, and a process gets it once for each that it listens to.
        items: in order.
    """

    version: int
    origin: Annotated[bytes, Meta(min_length=ORIGIN_BYTES, max_length=ORIGIN_BYTES)]
    sequence: Annotated[int, Meta(ge=0)]
    number: Annotated[int, Meta(ge=UNNUMBERED)]
    shared: bool
    items: list[Item]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Envelope)
_HEAD: Final = _encoder.encode((VERSION, bytes(ORIGIN_BYTES), 0, 0, False, ()))[: -ORIGIN_BYTES - 4]
"""The first bytes of every envelope, as far as the origin: one comparison tells most garbage."""


def mark(origin: bytes) -> bytes:
    """The bytes that every envelope of a process begins with, and no envelope of another."""
    return _HEAD + origin


def encode(envelope: Envelope) -> bytes:
    """Return the bytes of an envelope."""
    return _encoder.encode(envelope)


def decode(payload: bytes, limit: int = MAX_PAYLOAD) -> Envelope:
    """Return the envelope in ``payload``.

    Raises:
        GarbageError: it is over ``limit`` bytes, of another version, malformed, or holds what may not be sent to a client.
    """
    if len(payload) > limit:
        raise GarbageError(f"{len(payload)} bytes, more than {limit}")
    if not payload.startswith(_HEAD):
        raise GarbageError(f"it begins with {payload[:8]!r}: no envelope, or one of another version of Odac")
    try:
        envelope = _decoder.decode(payload)
        for item in envelope.items:
            # A browser fails the connection on text that is not UTF-8, so it must not get as far as that.
            if type(item) is RoomMessage:
                if item.opcode == TEXT and not item.payload.isascii():
                    item.payload.decode()
            elif type(item) is Close:
                check_close(item.code, item.reason)
    except (ValueError, RecursionError) as error:
        raise GarbageError(str(error)) from None
    return envelope
