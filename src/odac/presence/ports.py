"""What presence needs of the parts around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from odac.presence.roster import News

__all__ = ["SUBSYSTEM", "Announce", "Viewer"]

SUBSYSTEM: Final = "presence"
"""The name under which processes tell each other about presence."""


class Viewer(Protocol):
    """A connection that gets the members of a room."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def speaks_odac(self) -> bool:
        """Whether it takes control messages."""
        ...


Announce = Callable[[str, News, list[Viewer]], None]
"""Sends members of a room what they are to be told: the room, the news, and to whom."""
