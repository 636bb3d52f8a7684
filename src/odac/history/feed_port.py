"""The interface of a feed for its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from odac.history.cursor import Cursor, HistoryCounters
from odac.history.entries import Kept
from odac.history.log_reader import LogReader
from odac.history.ring import Ring
from odac.history.rules import History

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["FeedPort"]


class FeedPort(Protocol):
    """:class:`odac.history.feed.Feed`, as its parts use it."""

    room: str
    number: int
    history: History
    counters: HistoryCounters
    epoch: bytes | None
    top: int
    is_ready: bool
    ring: Ring
    store: LogReader

    def run(self, cursor: Cursor) -> None:
        """Let a member continue to catch up."""
        ...

    def emit(self, entries: Sequence[Kept]) -> None:
        """Deliver the entries that follow the top to the members."""
        ...

    def begin(self, epoch: bytes) -> None:
        """An empty room gets its first entry."""
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
