"""A feed as its parts see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from odac.history.cursor import Counters, Cursor
from odac.history.entries import Kept
from odac.history.log_reader import LogReader
from odac.history.ring import Ring
from odac.history.rules import History

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["FeedPort"]


class FeedPort(Protocol):
    """What the parts of :class:`odac.history.feed.Feed` share, and ask of it."""

    room: str
    number: int
    history: History
    counters: Counters
    epoch: bytes | None
    top: int
    is_ready: bool
    ring: Ring
    store: LogReader

    def run(self, cursor: Cursor) -> None:
        """Let a member go on catching up."""
        ...

    def emit(self, entries: Sequence[Kept]) -> None:
        """Hand entries to the members, right behind the top."""
        ...

    def begin(self, epoch: bytes) -> None:
        """The first entry of a room that was empty has come."""
        ...

    def sync(self, *, prove: bool) -> None:
        """Bring the feed up to the store's top."""
        ...

    def tell_gap(self, connection: Connection, offset: int) -> None:
        """Tell a member that some messages are missing."""
        ...

    def tell_gap_to_all(self) -> None:
        """Tell every member that some messages are missing."""
        ...
