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
    "Answer",
    "Ask",
    "Beat",
    "Bye",
    "Close",
    "Envelope",
    "GarbageError",
    "Item",
    "Move",
    "PartMessage",
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
    """A payload is not what any process of this version publishes."""


class RoomMessage(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=0, gc=False):
    """A prepared message for an audience.

    Args:
        audience: whose connections it is sent to.
        opcode: 1 text, 2 binary.
        payload: the message, unframed.
    """

    audience: Audience
    opcode: Annotated[int, Meta(ge=1, le=2)]
    payload: bytes


class Close(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1, gc=False):
    """Close the connections of an audience that were opened before the order was given.

    Args:
        audience: whose connections.
        code: the close code.
        reason: for the client.
        id: a random one, by which a process that is told twice knows the order.
        given: when it was given, in seconds on the clock of the process that sends this.
        sent: when it is sent, on the same clock; the two differ for an order that is told again after an outage.
        keep: this is the copy on the channel of all processes, which is kept for those that hear nothing now. It is
            executed only where the other copy, which keeps its place among the messages to the rooms, does not arrive.
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
    """The sender runs. When it comes back to the sender, it proves that the connection to the broker works.

    Args:
        nonce: another one each time.
        sent: the sender's clock.
        greeting: the sender asks all others to answer, and to tell what it may have missed.
        away: seconds for which the sender may have heard nothing before it greets.
    """

    nonce: int
    sent: float
    greeting: bool = False
    away: Annotated[float, Meta(ge=0)] = 0.0


class Bye(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3, gc=False):
    """The sender stops in good order."""


class Ask(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=4, gc=False):
    """Asks how many connections of an audience the other processes have. The answer goes to the sender's inbox."""

    question: int
    audience: Audience


class Tails(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=6, gc=False):
    """How many items the sender has published on some channels, so that a receiver can count what it missed.

    Without it, what is lost at the end of a run of messages would show only with the next message.

    Args:
        sent: the sender's clock.
        tails: channel; how many counted items were published on it; when the first of them was, on the sender's clock.
    """

    sent: float
    tails: list[tuple[str, Annotated[int, Meta(ge=0)], float]]


class Piece(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=7, gc=False):
    """A part of an encoded envelope that is larger than the broker carries at once. It is the only item of its
    envelope.

    Args:
        message: a random number, the same for all pieces of one envelope.
        index: counted from 0.
        count: of the pieces.
        data: the bytes.
    """

    message: Annotated[int, Meta(ge=0)]
    index: Annotated[int, Meta(ge=0)]
    count: Annotated[int, Meta(ge=1)]
    data: bytes


class PartMessage(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=9, gc=False):
    """Something that a part of the library tells itself in other processes; only the part can read it.

    Args:
        part: its name.
        body: what it tells.
    """

    part: str
    body: bytes


class Answer(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=5, gc=False):
    """The answer to one question: so many connections in this process."""

    question: int
    total: Annotated[int, Meta(ge=0)]


class Unkept(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=10, gc=False):
    """A :class:`RoomMessage` to a room with history, of which the sender knows that it does not go into it."""

    audience: Audience
    opcode: Annotated[int, Meta(ge=1, le=2)]
    payload: bytes


Item = RoomMessage | Unkept | Close | Beat | Bye | Ask | Answer | Tails | Piece | Move | PartMessage


class Envelope(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Items that one process publishes on a channel in one go.

    Args:
        version: of this format.
        origin: the publishing process's random id: not its pid, host name or clock, which others may share.
        sequence: grows with every envelope of that process; an envelope on several channels has one.
        number: how many counted items this process published on this channel before, so that a receiver sees what it
            missed (it cannot from ``sequence``, because it does not get every channel). 0 starts again, -1 is not
            counted.
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
"""The first bytes of every envelope, up to the origin: one comparison detects most garbage."""


def mark(origin: bytes) -> bytes:
    """The bytes that every envelope of a process begins with, and no envelope of another."""
    return _HEAD + origin


def encode(envelope: Envelope) -> bytes:
    """Return the bytes of an envelope."""
    return _encoder.encode(envelope)


def decode(payload: bytes, limit: int = MAX_PAYLOAD) -> Envelope:
    """Return the envelope in ``payload``.

    Raises:
        GarbageError: it is over ``limit`` bytes, of another version, malformed, or holds what may not be sent to a
            client.
    """
    if len(payload) > limit:
        raise GarbageError(f"{len(payload)} bytes, more than {limit}")
    if not payload.startswith(_HEAD):
        raise GarbageError(f"it begins with {payload[:8]!r}: no envelope, or one of another version of Odac")
    try:
        envelope = _decoder.decode(payload)
        for item in envelope.items:
            # A browser fails the connection on text that is not UTF-8, so it must not get as far as that.
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
