"""What the realtime core needs of rooms with history, as a small protocol that :mod:`odac.history` fulfils."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from odac.protocol.message import Prepared
from odac.realtime.audience import Audience
from odac.realtime.receipts import HistoryEntry, Joined, KeptSend
from odac.realtime.sent import Sent

__all__ = ["RoomHistory"]


class RoomHistory(Protocol):
    """Rooms that keep their messages, as :mod:`odac.history` does it. Called on the event loop's thread."""

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
        """Keep a message, and deliver it from there on all processes."""
        ...

    def receipt(self) -> KeptSend:
        """A receipt for a send from another thread; from any thread."""
        ...

    def behind(self, rooms: tuple[str, ...], call: Callable[[], object]) -> bool:
        """Make a call behind this process's unconfirmed sends to the rooms; False: there are none."""
        ...

    def join(self, connection: Any, room: str, replay: int) -> Joined:
        """Let a connection that has entered a room catch up with it."""
        ...

    def is_leaving(self, connection: Any, room: str) -> bool:
        """Whether a connection leaves a room as soon as this process's unconfirmed sends to it are through."""
        ...

    def leaves(self, connection: Any, room: str, leave: Callable[[], None]) -> bool:
        """Call ``leave`` behind this process's unconfirmed sends to the room; False: there are none."""
        ...

    def departed(self, connection: Any, room: str) -> None:
        """A connection is in a room no more."""
        ...

    def expect(self, connection: Any) -> None:
        """A client has offered to say where it was."""
        ...

    async def resume(self, connection: Any, session_id: str | None, user_id: str | None) -> None:
        """Wait for what it says."""
        ...

    def refused(self, connection: Any) -> None:
        """A gate has refused a connection."""
        ...

    def greet(self, connection: Any, session_id: str | None, user_id: str | None) -> str:
        """The signed name that its ``hello`` carries."""
        ...

    def recognized(self, connection: Any, user_id: str) -> None:
        """The user of a connection is known now."""
        ...

    async def history(self, room: str, last: int | None, since: str | None) -> list[HistoryEntry]:
        """Entries of a room, oldest first; from any event loop."""
        ...

    async def forget(self, room: str) -> None:
        """Erase what a room keeps; from any event loop."""
        ...

    async def revoke(self, room: str, user: str) -> None:
        """Have a user leave a room and recover nothing of it; from any event loop."""
        ...
