"""The messages of presence between processes, in msgpack."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

from odac.presence.rules import MAX_DATA_BYTES

__all__ = ["MAX_PAGES", "Ask", "Compare", "Delta", "Entry", "Last", "Page", "Told", "Versions", "decode", "encode"]

MAX_PAGES: Final = 4096

Name = Annotated[str, Meta(max_length=1024)]
Count = Annotated[int, Meta(ge=0, le=2**62)]
Index = Annotated[int, Meta(ge=0, lt=MAX_PAGES)]
Pages = Annotated[int, Meta(ge=0, le=MAX_PAGES)]


class Entry(NamedTuple):
    """The person of one connection.

    Args:
        person: the person's id on all processes.
        data: a JSON text.
        since: seconds since 1970 at which the connection joined, by the clock of its process.
        changed: milliseconds since 1970 of the last change of ``data``, by the same clock.
        away: the connection has ended; the person stays until the grace period is over.
    """

    person: Name
    data: Annotated[bytes, Meta(max_length=MAX_DATA_BYTES)]
    since: float
    changed: Count
    away: bool = False


class Delta(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=0, gc=False):
    """A change of a share. With ``base == version`` nothing changed: the version is repeated.

    Args:
        room: the room's name.
        base: the version that the delta changes; 0 starts the share again.
        version: the version afterwards.
        changed: entries by connection.
        removed: connections.
    """

    room: Name
    base: Count
    version: Count
    changed: dict[Name, Entry] = {}
    removed: list[Name] = []


class Ask(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1, gc=False):
    """Asks a process, or all of them, for their shares of a room.

    Args:
        room: the room's name.
        question: repeated in each page, so that the answers to one question can be counted.
        known: the version of the asked process's share that the asking process has; 0 if several are asked.
    """

    room: Name
    question: Count
    known: Count = 0


class Page(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2, gc=False):
    """A part of a whole share, in answer to :class:`Ask`.

    Args:
        room: the room's name.
        question: the question of the :class:`Ask`.
        version: the share's version. If the process has no share: the last version that it assigned to any share, so
            that the answer replaces an earlier share and is replaced by a later one.
        index: the page's index, from 0.
        pages: the number of pages; 0 if the asking process has this version already.
        entries: by connection.
    """

    room: Name
    question: Count
    version: Count
    index: Index = 0
    pages: Pages = 1
    entries: dict[Name, Entry] = {}


class Compare(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3, gc=False):
    """Asks a process, or all of them, for the versions of all their shares.

    Args:
        question: repeated in the answer.
        since: name only the shares that changed after this version; 0: all shares with people.
    """

    question: Count
    since: Count = 0


class Versions(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=4, gc=False):
    """A part of the versions of all shares of a process, in answer to :class:`Compare`.

    Args:
        question: the question of the :class:`Compare`.
        index: the part's index, from 0.
        pages: the number of parts.
        versions: the versions by room.
        since: the shares that changed after this version are included, even empty ones; 0: all shares with people.
        last: the last version that the process had assigned to any share.
    """

    question: Count
    index: Index
    pages: Annotated[int, Meta(ge=1, le=MAX_PAGES)]
    versions: dict[Name, Count]
    since: Count = 0
    last: Count = 0


class Last(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=5, gc=False):
    """The contents of a heartbeat.

    Args:
        version: the last version that the process has assigned to any of its shares.
    """

    version: Count


Told = Delta | Ask | Page | Compare | Versions | Last

_check_json: Final = msgspec.json.Decoder(msgspec.Raw).decode
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Told]] = msgspec.msgpack.Decoder(Told)


def encode(item: Told) -> bytes:
    """Encode a message."""
    return _encoder.encode(item)


def decode(body: bytes) -> Told:
    """Decode a message of another process.

    Raises:
        ValueError: no process of this version sends such a message.
    """
    told = _decoder.decode(body)
    if isinstance(told, Delta):
        _check(told.changed)
    elif isinstance(told, Page):
        _check(told.entries)
    return told


def _check(entries: dict[str, Entry]) -> None:
    """Check that data is JSON: it is sent to clients unchanged, and other text would close their connections."""
    for entry in entries.values():
        _check_json(entry.data)
        entry.data.decode()
