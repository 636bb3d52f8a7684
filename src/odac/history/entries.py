"""Entries of a log, prepared for sending."""

from __future__ import annotations

from typing import Final

from odac.history.store import Entry, GarbageError, decode_message
from odac.protocol.message import Prepared
from odac.wire.frames import TEXT

__all__ = ["ENTRY_COST", "Kept", "Unreadable", "name_of", "prepare"]

ENTRY_COST: Final = 400
"""Bytes of memory that an entry takes besides its message's bytes, approximately."""


class Kept:
    """An entry with its message, prepared once for all members.

    Args:
        offset: its number.
        time: when the store received it, in milliseconds since 1970.
        message: the prepared message.
        excluded: connection ids that are left out. This excludes their clients: after a reconnect, a client has another
            connection id.
    """

    __slots__ = ("_names", "excluded", "message", "offset", "time")

    def __init__(self, offset: int, time: int, message: Prepared, excluded: tuple[str, ...] = ()) -> None:
        self.offset = offset
        self.time = time
        self.message = message
        self.excluded = excluded
        self._names = frozenset(map(name_of, excluded)) if excluded else None

    def is_for(self, connection_id: str) -> bool:
        """Whether a connection gets it."""
        return self._names is None or name_of(connection_id) not in self._names

    @property
    def size(self) -> int:
        """Bytes of memory that it takes, approximately."""
        return len(self.message.frame) + len(self.message.payload) + ENTRY_COST


def name_of(connection_id: str) -> str:
    """The client's name in a connection id; a client's connections differ only in the generation after the dot."""
    return connection_id.partition(".")[0]


class Unreadable(Kept):
    """An entry of another version: it is not delivered, and the entries after it are."""

    __slots__ = ()

    def is_for(self, connection_id: str) -> bool:
        """It is not delivered to any connection."""
        return False


def prepare(entry: Entry) -> Kept:
    """Prepare an entry for sending."""
    try:
        message = decode_message(entry.body)
    except GarbageError:
        return Unreadable(entry.offset, entry.time, Prepared(TEXT, b""))
    return Kept(entry.offset, entry.time, Prepared(message.opcode, message.payload), message.excluded)
