"""The interface of rooms with history that the realtime core uses; :mod:`odac.history` implements it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from odac.protocol.message import Prepared
from odac.realtime.audience import Audience
from odac.realtime.receipts import HistoryEntry, Joined, KeptSend
from odac.realtime.sent import Sent

__all__ = ["RoomHistory"]


class RoomHistory(Protocol):
    """Rooms that keep their messages. Methods are called on the event loop's thread unless they say otherwise."""

    replay_of_users: int
    """How many entries of a user's inbox a new page gets."""

    def keeps(self, room: str) -> bool:
        """Whether a room has history; from any thread."""
        ...

    def concerns(self, audience: Audience) -> bool:
        """Whether any room of an audience has history; from any thread."""
        ...

    def check(self, audience: Audience) -> None:
        """Refuse, with a ValueError, to keep a message whose audience is more than one room; from any thread."""
        ...

    def send(self, room: str, excluded: frozenset[str], message: Prepared, receipt: KeptSend | None = None) -> Sent:
        """Append a message to the history, which delivers it on all processes."""
        ...

    def receipt(self) -> KeptSend:
        """A receipt for a send from another thread; from any thread."""
        ...

    def behind(self, rooms: tuple[str, ...], call: Callable[[], object]) -> bool:
        """Make a call after this process's unconfirmed sends to the rooms; return False if there are none."""
        ...

    def join(self, connection: Any, room: str, replay: int) -> Joined:
        """Send a connection that has joined a room the messages that it missed."""
        ...

    def is_leaving(self, connection: Any, room: str) -> bool:
        """Whether a connection will leave a room, or join it again, once this process's sends to it are confirmed."""
        ...

    def leaves(self, connection: Any, room: str, leave: Callable[[], None]) -> bool:
        """Call ``leave`` after this process's unconfirmed sends to the room; return False if there are none."""
        ...

    def departed(self, connection: Any, room: str) -> None:
        """A connection has left a room."""
        ...

    async def resume(self, connection: Any, session_id: str | None, user_id: str | None) -> None:
        """Wait for the positions that a client has offered to send."""
        ...

    def refused(self, connection: Any) -> None:
        """A gate has refused a connection."""
        ...

    def greet(self, connection: Any, session_id: str | None, user_id: str | None) -> str:
        """Return the signed name for the connection's ``hello``."""
        ...

    def recognized(self, connection: Any, user_id: str) -> None:
        """The user of a connection has become known."""
        ...

    async def history(self, room: str, last: int | None, since: str | None) -> list[HistoryEntry]:
        """Entries of a room, oldest first; from any event loop."""
        ...

    async def forget(self, room: str) -> None:
        """Erase a room's history; from any event loop."""
        ...

    async def revoke(self, room: str, user: str) -> None:
        """Make a user leave a room, and refuse the user its history; from any event loop."""
        ...
