"""The interface of a history store, which belongs to a broker and keeps the messages of rooms, in one order.

The log of a room is a run of entries with the numbers ``base + 1`` to ``top``. Its *epoch* is a random name: it changes
whenever the log cannot be proved to continue the previous one (because it was erased or evicted, or the server was
restarted or failed over). The store does not interpret the bytes of entries, and gives each entry a time by its own
clock.
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
    "REVOCATIONS",
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
"""Seconds that a room's top is kept longer than its entries, so that a client that missed nothing in a quiet room can
recover."""
ORIGINS: Final = 16
"""Senders whose last number a room's log stores; above, it forgets those that have sent nothing for a minute."""
ORIGIN_AGE: Final = 60.0
REVOCATIONS: Final = 1000
"""Users that are revoked in one log, which stores them for as long as it exists, because a ticket from before a
revocation does not expire. Each read of the log carries them. One more erases the log: a new epoch ends all tickets."""
EVERYTHING: Final = 1 << 30

MAGIC: Final = b"\xc1"
"""The first byte of what a store publishes. msgpack never uses this byte, so it distinguishes it from envelopes."""
_ENTRIES, _TOP, _CHANGED, _PROBE = b"L", b"T", b"R", b"P"
_HEAD: Final = struct.Struct(">2s16sQI")
_ENTRY: Final = struct.Struct(">QI")


_NONE_REVOKED: Final[Mapping[str, int]] = {}


class StoreAway(BrokerError):
    """The store cannot be reached now. Whether the request was carried out is unknown; it may be retried."""


class GarbageError(ValueError):
    """Bytes on a room's channel that are not of the form that stores publish."""


class Entry(NamedTuple):
    """One entry of a log.

    Args:
        offset: its number in the log.
        time: when the store received it, in milliseconds since 1970.
        body: the bytes that were appended.
    """

    offset: int
    time: int
    body: bytes


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The content of an entry: a message for all members of the room except the excluded ones.

    Args:
        excluded: connection ids that are left out.
        opcode: 1 for text, 2 for binary.
        payload: the message, without a frame.
    """

    excluded: tuple[str, ...]
    opcode: int
    payload: bytes


class Appended(NamedTuple):
    """The confirmation of a batch: it was stored, now or by an earlier attempt.

    Args:
        epoch: the log's epoch.
        top: the log's last number; the batch is at or below it.
    """

    epoch: bytes
    top: int


class Slice(NamedTuple):
    """The result of reading a log.

    Args:
        epoch: None if there is no log: nothing was ever sent, or the log was lost.
        top: the number of the last entry.
        base: the number before the first entry that is still kept; ``top`` if none is.
        entries: the requested entries, as far as they are still kept, oldest first.
        revoked: how often users were revoked, by a hash of their id; nearly always empty.
    """

    epoch: bytes | None
    top: int
    base: int
    entries: tuple[Entry, ...] = ()
    revoked: Mapping[str, int] = _NONE_REVOKED


class Notice(NamedTuple):
    """A notice that a store publishes on a room's channel.

    Args:
        epoch: the log's epoch; zeros if it was erased.
        first: the number of the first entry; without entries, that of the top.
        entries: the appended entries; none if only the top is published again.
        changed: the room's revocations have changed.
        probe: it is a probe: ``epoch`` is the random id of the process that sent it, and ``first`` its number.
    """

    epoch: bytes
    first: int
    entries: tuple[Entry, ...] = ()
    changed: bool = False
    probe: bool = False


class HistoryStore(Protocol):
    """Keeps logs by the channel of their room. Reading never writes.

    Every method may raise :exc:`StoreAway` if a retry may succeed, and :exc:`odac.errors.BrokerError` if it cannot (out
    of memory, no permission).
    """

    async def start(self, wait: float = 2.0) -> None:
        """Begin to connect, and wait at most ``wait`` seconds for the connection.

        Raises:
            ConfigurationError: this server cannot give the guarantees of history; the message names the fix.
        """
        ...

    async def stop(self) -> None:
        """Release everything."""
        ...

    async def append(
        self, channel: str, history: History, origin: bytes, first: int, bodies: list[bytes], epoch: bytes
    ) -> Appended:
        """Append a batch, and publish it on the channel.

        A body whose number is not above the last one of its origin was stored by an earlier attempt, and is left out.

        Args:
            channel: the room's channel.
            history: how much is kept.
            origin: the sender's random id.
            first: the sender's number of the first body; the others follow.
            bodies: at least one body.
            epoch: the epoch if this batch begins a log.
        """
        ...

    async def read(self, channel: str, history: History, after: int, limit: int) -> Slice:
        """Read entries and the top, as of one moment.

        Args:
            channel: the room's channel.
            history: entries older than its ``ttl`` are not returned.
            after: the number before the first requested entry; a negative number requests so many of the last ones.
            limit: the maximum number of entries.
        """
        ...

    async def erase(self, channel: str) -> None:
        """Erase the log, and notify the channel's listeners."""
        ...

    async def revoke(self, channel: str, user: str) -> None:
        """Count a revocation of a user (a hash of the id) and notify the listeners; do nothing if there is no log.

        If the log would have more than :data:`REVOCATIONS` users, it is erased.
        """
        ...

    async def publish(self, channel: str, payload: bytes) -> None:
        """Publish on a channel in the way that entries are published: its return proves that entries arrive, too."""
        ...

    async def rules(self, keep: float = 0.0) -> tuple[int, bytes]:
        """The version and the text of the rules; version 0 if there are none, or they have expired.

        Args:
            keep: seconds that they are kept from now on; 0 does not change it.
        """
        ...

    async def write_rules(self, version: int, text: bytes, keep: float) -> bool:
        """Write the rules, kept for ``keep`` seconds; return False if the same or a higher version exists already."""
        ...


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Message)


def encode_message(message: Message) -> bytes:
    """The body of an entry."""
    return _encoder.encode(message)


def decode_message(body: bytes) -> Message:
    """Decode the body of an entry.

    Raises:
        GarbageError: no process of this version appends such a body.
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
    """Encode the notice of appended entries (the script for Redis builds the same bytes)."""
    parts = [_HEAD.pack(MAGIC + _ENTRIES, epoch, entries[0].offset, len(entries))]
    for _, time, body in entries:
        parts += (_ENTRY.pack(time, len(body)), body)
    return b"".join(parts)


def encode_notice(epoch: bytes, top: int, *, changed: bool = False) -> bytes:
    """Encode the notice that repeats the top, or reports an erased log or changed revocations."""
    return _HEAD.pack(MAGIC + (_CHANGED if changed else _TOP), epoch, top, 0)


def encode_probe(origin: bytes, number: int) -> bytes:
    """Encode a probe, which a process publishes to check that it gets its own messages."""
    return _HEAD.pack(MAGIC + _PROBE, origin, number, 0)


def decode_notice(payload: bytes) -> Notice:
    """Decode a payload from a room's channel that begins with :data:`MAGIC`.

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
