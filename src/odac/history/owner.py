"""The interface of the owner of all feeds, as each feed uses it."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from odac.config import Limits

if TYPE_CHECKING:
    from odac.history.cursor import Cursor
    from odac.realtime.connection import Connection

__all__ = ["Owner"]


class Owner(Protocol):
    """The owner of all feeds (:class:`odac.history.feeds.Feeds`), as a feed uses it."""

    origin: bytes
    agreed: asyncio.Event
    """Set once the eras of the rules are known."""

    @property
    def limits(self) -> Limits:
        """The app's limits."""
        ...

    def now(self) -> float:
        """Seconds since 1970, by the clock of this process's store or of this machine."""
        ...

    def era_of(self, room: str) -> bytes:
        """The era of the rule of a room, see :class:`odac.history.rules.RuleBook`."""
        ...

    def step_soon(self, cursor: Cursor) -> None:
        """Let a member continue to catch up, in turn with the others."""
        ...

    def ring_grew(self, size: int) -> None:
        """A feed's cache has grown by so many bytes; all caches share one limit."""
        ...

    def client_of(self, connection: Connection) -> str | None:
        """The name of a connection's client, if the client can resume after a reconnect; else None."""
        ...

    def user_of(self, connection: Connection) -> str | None:
        """The id of a connection's user, if it has been looked up; else None."""
        ...

    def connection_of(self, name: str) -> Connection | None:
        """The client's present connection to this process, or None."""
        ...

    def may_recover(self, connection: Connection, entries: int) -> bool:
        """Whether a connection's budget allows so many entries; if so, they are deducted from it."""
        ...

    def reading(self) -> AbstractAsyncContextManager[object]:
        """A context that bounds the number of feeds that read at the same time."""
        ...
