"""The messages between processes: msgpack, strictly validated and bounded; nothing in them is ever executed."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from odac.brokers.base import MAX_PAYLOAD
from odac.realtime.audience import Audience, check_room
from odac.wire.frames import TEXT, check_close

__all__ = [
    "ORIGIN_BYTES",
    "UNNUMBERED",
    "CountAnswer",
    "CountQuestion",
    "Beat",
    "Bye",
    "Close",
    "Envelope",
    "GarbageError",
    "Item",
    "Move",
    "SubsystemMessage",
    "Piece",
    "RoomMessage",
    "Unkept",
    "Tails",
    "decode",
    "encode",
    "mark",
]

VERSION: Final = 2
ORIGIN_BYTES: Final = 16
UNNUMBERED: Final = -1
"""The number of an envelope that does not belong to the counted items of its channel."""


class GarbageError(ValueError):
    """A payload that no process of this version publishes."""


class RoomMessage(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=0, gc=False):
    """A prepared message for an audience.

    Args:
        audience: the connections that it is sent to.
        opcode: 1 for text, 2 for binary.
        payload: the message, without a frame.
    """

    audience: Audience
    opcode: Annotated[int, Meta(ge=1, le=2)]
    payload: bytes


class Close(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1, gc=False):
    """Close the connections of an audience that were opened before the order was given.

    Args:
        audience: the connections to close.
        code: the close code.
        reason: the close reason that clients get.
        id: random; a process that gets the order twice recognises it.
        given: when it was given, in seconds on the sender's clock.
        sent: when it is sent, on the same clock; the two differ for an order that is sent again after an outage.
        keep: this is the copy on the channel of all processes, which they keep for processes that are cut off now. It
            is executed only where the other copy, which is in order with the messages to the rooms, does not arrive.
    """

    audience: Audience
    code: int
    reason: str
    id: Annotated[int, Meta(ge=0)]
    given: float
    sent: float
    keep: bool = False


class Move(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=8, gc=False):
    """Have the connections of an audience join a room, or leave it."""

    audience: Audience
    room: str
    joins: bool


class Beat(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2, gc=False):
    """A heartbeat: the sender runs. Its return to the sender proves that the connection to the broker works.

    Args:
        nonce: random, different in each heartbeat.
        sent: the sender's clock.
        greeting: the sender asks all others to answer, and to send again what it may have missed.
        away: seconds for which the sender may have received nothing before this greeting.
    """

    nonce: int
    sent: float
    greeting: bool = False
    away: Annotated[float, Meta(ge=0)] = 0.0


class Bye(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3, gc=False):
    """The sender shuts down normally."""


class CountQuestion(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=4, gc=False):
    """A question: how many connections of an audience does each process have? Answers go to the sender's inbox."""

    question: int
    audience: Audience


class Tails(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=6, gc=False):
    """How many items the sender has published on some channels, so that a receiver can count what it missed.

    Without it, a loss at the end of a run of messages would be noticed only with the next message.

    Args:
        sent: the sender's clock.
        tails: for each channel: its name, how many numbered items were published on it, and when the first of them
            was, on the sender's clock.
    """

    sent: float
    tails: list[tuple[str, Annotated[int, Meta(ge=0)], float]]


class Piece(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=7, gc=False):
    """A part of an encoded envelope that is larger than the broker carries at once. It is the only item of its
    envelope.

    Args:
        message: a random number, the same for all pieces of one envelope.
        index: counted from 0.
        count: the number of pieces.
        data: the bytes of this piece.
    """

    message: Annotated[int, Meta(ge=0)]
    index: Annotated[int, Meta(ge=0)]
    count: Annotated[int, Meta(ge=1)]
    data: bytes


class SubsystemMessage(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=9, gc=False):
    """A message of a subsystem, such as presence, to the same subsystem in other processes.

    Args:
        subsystem: its name.
        body: the message, which only the subsystem can decode.
    """

    subsystem: str
    body: bytes


class CountAnswer(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=5, gc=False):
    """The answer to one :class:`CountQuestion`: the number of connections in the answering process."""

    question: int
    total: Annotated[int, Meta(ge=0)]


class Unkept(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=10, gc=False):
    """A :class:`RoomMessage` to a room with history that the sender does not append to the history."""

    audience: Audience
    opcode: Annotated[int, Meta(ge=1, le=2)]
    payload: bytes


Item = RoomMessage | Unkept | Close | Beat | Bye | CountQuestion | CountAnswer | Tails | Piece | Move | SubsystemMessage


class Envelope(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Items that one process publishes on a channel together.

    Args:
        version: the version of this format.
        origin: the publishing process's random id: not its pid, host name or clock, which others may share.
        sequence: grows with every envelope of that process; an envelope on several channels has one.
        number: how many numbered items this process published on this channel before, so that a receiver detects what
            it missed (``sequence`` cannot show it, because a receiver does not get every channel). 0 starts again;
            -1 means not numbered.
        shared: the envelope was published on several channels, and a process gets it once for each that it listens to.
        items: the items, in order.
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
"""The first bytes of every envelope, up to the origin: one comparison detects most garbage."""


def mark(origin: bytes) -> bytes:
    """The bytes that every envelope of this process, and of no other process, begins with."""
    return _HEAD + origin


def encode(envelope: Envelope) -> bytes:
    """Return the bytes of an envelope."""
    return _encoder.encode(envelope)


def decode(payload: bytes, limit: int = MAX_PAYLOAD) -> Envelope:
    """Return the envelope in ``payload``.

    Raises:
        GarbageError: it is over ``limit`` bytes, of another version, malformed, or contains something that must not
            be sent to a client.
    """
    if len(payload) > limit:
        raise GarbageError(f"{len(payload)} bytes, more than {limit}")
    if not payload.startswith(_HEAD):
        raise GarbageError(f"it begins with {payload[:8]!r}: no envelope, or one of another version of Odac")
    try:
        envelope = _decoder.decode(payload)
        for item in envelope.items:
            # A browser fails the connection on text that is not UTF-8, so such text must not reach a client.
            if type(item) is RoomMessage or type(item) is Unkept:
                if item.opcode == TEXT and not item.payload.isascii():
                    item.payload.decode()
            elif type(item) is Close:
                check_close(item.code, item.reason)
            elif type(item) is Move:
                check_room(item.room)
    except (ValueError, RecursionError) as error:
        raise GarbageError(str(error)) from None
    return envelope
