"""An entry of a log, ready to be sent."""

from __future__ import annotations

from typing import Final

from odac.history.store import Entry, GarbageError, decode_message
from odac.protocol.message import Prepared
from odac.wire.frames import TEXT

__all__ = ["ENTRY_COST", "Kept", "Unreadable", "name_of", "prepare"]

ENTRY_COST: Final = 400
"""Bytes of a process that an entry takes besides its message's bytes, about."""


class Kept:
    """An entry with its message, prepared once for all members.

    Args:
        offset: its number.
        time: when the store took it, in milliseconds since 1970.
        message: to be sent.
        excluded: connection ids that are left out, with the pages behind them: a page is the same client after a
            reconnect.
    """

    __slots__ = ("_names", "excluded", "message", "offset", "time")

    def __init__(self, offset: int, time: int, message: Prepared, excluded: tuple[str, ...] = ()) -> None:
        self.offset = offset
        self.time = time
        self.message = message
        self.excluded = excluded
        self._names = frozenset(map(name_of, excluded)) if excluded else None

    def is_for(self, connection_id: str) -> bool:
        """Whether a connection is to get it."""
        return self._names is None or name_of(connection_id) not in self._names

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return len(self.message.frame) + len(self.message.payload) + ENTRY_COST


def name_of(connection_id: str) -> str:
    """The name of the client in the id of one of its connections: they differ in the generation behind the dot."""
    return connection_id.partition(".")[0]


class Unreadable(Kept):
    """An entry of another version: it is not delivered, and the order goes on behind it."""

    __slots__ = ()

    def is_for(self, connection_id: str) -> bool:
        """It is not delivered to any connection."""
        return False


def prepare(entry: Entry) -> Kept:
    """Make an entry ready."""
    try:
        message = decode_message(entry.body)
    except GarbageError:
        return Unreadable(entry.offset, entry.time, Prepared(TEXT, b""))
    return Kept(entry.offset, entry.time, Prepared(message.opcode, message.payload), message.excluded)
