"""What presence needs of the parts around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from odac.presence.roster import News

__all__ = ["PART", "Announce", "ProcessLine", "Viewer"]

PART: Final = "presence"
"""The name under which processes tell each other about presence."""


class Viewer(Protocol):
    """A connection that is told who is in a room."""

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


class ProcessLine(Protocol):
    """The way to the presence of other processes. Nothing raises for a lost broker."""

    @property
    def healthy(self) -> bool:
        """Whether messages reach the other processes, as far as this one knows."""
        ...

    @property
    def origins(self) -> frozenset[bytes]:
        """The other processes that give signs of life."""
        ...

    def tell_room(self, room: str, part: str, body: bytes) -> None:
        """Tell the processes that have members of a room."""
        ...

    def tell_all(self, part: str, body: bytes) -> None:
        """Tell all processes."""
        ...

    def tell(self, origin: bytes, part: str, body: bytes) -> None:
        """Tell one process."""
        ...
