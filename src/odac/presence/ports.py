"""The interfaces that presence uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from odac.presence.roster import News

__all__ = ["SUBSYSTEM", "Announce", "Viewer"]

SUBSYSTEM: Final = "presence"
"""The name of this subsystem in messages between processes."""


class Viewer(Protocol):
    """A connection that gets the members of a room."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def speaks_odac(self) -> bool:
        """Whether it understands control messages."""
        ...


Announce = Callable[[str, News, list[Viewer]], None]
"""Sends the changes of a room to members: called with the room, the changes and the receivers."""
