"""What a history store is: the small interface beside the broker that keeps the messages of rooms, in one order.

The log of a room is a run of entries with the numbers ``base + 1`` to ``top``. Its *epoch* is a random name: it changes
whenever the log cannot be proved to be a continuation of what was there before (erased, evicted, or kept by a server
that has started again or failed over). Entries are bytes that the store does not look into, but for their time, which
is the store's own.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

import msgspec

from odac.errors import BrokerError
from odac.history.rules import History

__all__ = [
    "EPOCH_BYTES",
    "EVERYTHING",
    "KEPT_LONGER",
    "MAGIC",
    "ORIGIN_AGE",
    "ORIGINS",
    "Appended",
    "Entry",
    "GarbageError",
    "HistoryStore",
    "Message",
    "Notice",
    "Slice",
    "StoreAway",
    "decode_message",
    "decode_notice",
    "encode_entries",
    "encode_message",
    "encode_notice",
    "encode_probe",
]

EPOCH_BYTES: Final = 16
KEPT_LONGER: Final = 86_400.0
"""Seconds that a room's top outlives its entries, so that a client that missed nothing in a quiet room recovers."""
ORIGINS: Final = 16
"""Senders whose last number a room's log remembers before it looks which it may forget: those quiet for a minute."""
ORIGIN_AGE: Final = 60.0
EVERYTHING: Final = 1 << 30

MAGIC: Final = b"\xc1"
"""Begins what a store publishes: the one byte that msgpack never uses, so that it is told from every envelope."""
_ENTRIES, _TOP, _CHANGED, _PROBE = b"L", b"T", b"R", b"P"
_HEAD: Final = struct.Struct(">2s16sQI")
_ENTRY: Final = struct.Struct(">QI")


_NONE_REVOKED: Final[Mapping[str, int]] = {}


class StoreAway(BrokerError):
    """The store cannot be reached now. What was asked may have been done or not; asking again is right."""


class GarbageError(ValueError):
    """Bytes on a room's channel that no store publishes."""


class Entry(NamedTuple):
    """One entry of a log.

    Args:
        offset: its number in the log.
        time: when the store took it, in milliseconds since 1970.
        body: what was appended.
    """

    offset: int
    time: int
    body: bytes


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What an entry holds: a message, for all members of the room but those excluded.

    Args:
        excluded: connection ids that are left out.
        opcode: 1 text, 2 binary.
        payload: unframed.
    """

    excluded: tuple[str, ...]
    opcode: int
    payload: bytes


class Appended(NamedTuple):
    """Where a batch ended up: it was stored, now or by an earlier attempt.

    Args:
        epoch: of the log.
        top: the log's last number; the batch is at or below it.
    """

    epoch: bytes
    top: int


class Slice(NamedTuple):
    """What was read of a log.

    Args:
        epoch: None where there is no log: nothing was ever sent, or what there was cannot be trusted.
        top: the number of the last entry.
        base: the number before the first entry that is still there; ``top`` where none is.
        entries: the entries asked for, as far as they are still there, oldest first.
        revoked: how often users were revoked, by a hash of their id; nearly always empty.
    """

    epoch: bytes | None
    top: int
    base: int
    entries: tuple[Entry, ...] = ()
    revoked: Mapping[str, int] = _NONE_REVOKED


class Notice(NamedTuple):
    """What a store publishes on a room's channel.

    Args:
        epoch: of the log; zeros where it was erased.
        first: the number of the first entry; of the top where there are none.
        entries: what was appended, or none: the top is told once more.
        changed: the room's revocations have changed.
        probe: it is a probe, and ``epoch`` is the random id of the process that sent it, ``first`` its number.
    """

    epoch: bytes
    first: int
    entries: tuple[Entry, ...] = ()
    changed: bool = False
    probe: bool = False


class HistoryStore(Protocol):
    """Keeps logs by the channel of their room. Reading never writes.

    Every method may raise :exc:`StoreAway` where asking again may help, and :exc:`odac.errors.BrokerError` where it
    cannot (out of memory, no permission).
    """

    async def start(self, wait: float = 2.0) -> None:
        """Begin to connect; wait so many seconds at most for it.

        Raises:
            ConfigurationError: the server can never keep what is promised; the message names the fix.
        """
        ...

    async def stop(self) -> None:
        """Release everything."""
        ...

    async def append(
        self, channel: str, history: History, origin: bytes, first: int, bodies: list[bytes], epoch: bytes
    ) -> Appended:
        """Append a batch, and publish it on the channel.

        A number at or below the last one of its origin was stored by an earlier attempt, and is left out.

        Args:
            channel: of the room.
            history: how much is kept.
            origin: the sender's random id.
            first: the sender's number of the first body; the others follow.
            bodies: at least one.
            epoch: what a log that begins with this batch is named.
        """
        ...

    async def read(self, channel: str, history: History, after: int, limit: int) -> Slice:
        """Read entries and the top, as of one moment.

        Args:
            channel: of the room.
            history: what is older than its ``ttl`` is not read.
            after: the number before the first entry asked for; a negative one asks for so many of the last.
            limit: how many entries at most.
        """
        ...

    async def erase(self, channel: str) -> None:
        """Forget the log, and tell the channel's listeners."""
        ...

    async def revoke(self, channel: str, user: str) -> None:
        """Count a revocation of a user (by a hash of the id) and tell the listeners; nothing where there is no log."""
        ...

    async def publish(self, channel: str, payload: bytes) -> None:
        """Publish on a channel by the way that entries take: what comes back proves that those will come, too."""
        ...

    async def rules(self, keep: float = 0.0) -> tuple[int, bytes]:
        """The version and the text of the rules; version 0 where there are none, or they have expired.

        Args:
            keep: seconds that they are kept from now on; 0 changes nothing.
        """
        ...

    async def write_rules(self, version: int, text: bytes, keep: float) -> bool:
        """Write the rules, to be kept for so many seconds; return False where a version as high is there already."""
        ...


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Message)


def encode_message(message: Message) -> bytes:
    """The body of an entry."""
    return _encoder.encode(message)


def decode_message(body: bytes) -> Message:
    """What an entry holds.

    Raises:
        GarbageError: nothing that a process of this version appends.
    """
    try:
        message = _decoder.decode(body)
        if message.opcode == 1:
            if not message.payload.isascii():
                message.payload.decode()  # a browser fails the connection on text that is not UTF-8
        elif message.opcode != 2:
            raise ValueError(f"opcode {message.opcode}")
    except (ValueError, RecursionError) as error:
        raise GarbageError(str(error)) from None
    return message


def encode_entries(epoch: bytes, entries: list[Entry]) -> bytes:
    """What a store publishes when entries were appended (the script for Redis builds the same)."""
    parts = [_HEAD.pack(MAGIC + _ENTRIES, epoch, entries[0].offset, len(entries))]
    for _, time, body in entries:
        parts += (_ENTRY.pack(time, len(body)), body)
    return b"".join(parts)


def encode_notice(epoch: bytes, top: int, *, changed: bool = False) -> bytes:
    """What tells the top once more, or that a log was erased, or that its revocations have changed."""
    return _HEAD.pack(MAGIC + (_CHANGED if changed else _TOP), epoch, top, 0)


def encode_probe(origin: bytes, number: int) -> bytes:
    """What a process publishes to hear itself."""
    return _HEAD.pack(MAGIC + _PROBE, origin, number, 0)


def decode_notice(payload: bytes) -> Notice:
    """What arrived on a room's channel and begins with :data:`MAGIC`.

    Raises:
        GarbageError: it is malformed.
    """
    try:
        kind, epoch, first, count = _HEAD.unpack_from(payload)
        if kind[1:] in (_TOP, _CHANGED, _PROBE):
            return Notice(epoch, first, (), kind[1:] == _CHANGED, kind[1:] == _PROBE)
        if kind != MAGIC + _ENTRIES or count > len(payload) // _ENTRY.size:
            raise GarbageError(f"it begins with {payload[:4]!r}")
        entries: list[Entry] = []
        at = _HEAD.size
        for offset in range(first, first + count):
            time, size = _ENTRY.unpack_from(payload, at)
            at += _ENTRY.size
            body = payload[at : at + size]
            if len(body) != size:
                raise GarbageError("an entry is cut off")
            entries.append(Entry(offset, time, body))
            at += size
    except struct.error as error:
        raise GarbageError(str(error)) from None
    if at != len(payload) or not entries:
        raise GarbageError("its length is wrong")
    return Notice(epoch, first, tuple(entries))
