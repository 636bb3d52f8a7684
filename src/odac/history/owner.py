"""What the feeds of a process share: the part that owns all of them, as each one sees it."""

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
    """What a feed asks of the part that owns all feeds."""

    origin: bytes
    agreed: asyncio.Event
    """Set once the eras of the rules are known."""

    @property
    def limits(self) -> Limits:
        """Of the app."""
        ...

    def now(self) -> float:
        """Seconds since 1970, by the clock of this process's store or of this machine."""
        ...

    def era_of(self, room: str) -> bytes:
        """The era of the rule of a room, see :class:`odac.history.rules.RuleBook`."""
        ...

    def step_soon(self, cursor: Cursor) -> None:
        """Let a member go on catching up, in turn with the others."""
        ...

    def ring_grew(self, size: int) -> None:
        """A feed's ring holds so many bytes more; all rings share one cap."""
        ...

    def client_of(self, connection: Connection) -> str | None:
        """The name of the client behind a connection that can come back as the same one."""
        ...

    def user_of(self, connection: Connection) -> str | None:
        """The id of a connection's user, as far as anybody has asked."""
        ...

    def connection_of(self, name: str) -> Connection | None:
        """The connection that a client has to this process now."""
        ...

    def may_recover(self, connection: Connection, entries: int) -> bool:
        """Whether a connection's budget allows it, which is used up then."""
        ...

    def reading(self) -> AbstractAsyncContextManager[object]:
        """Bounds how many feeds read at once."""
        ...
