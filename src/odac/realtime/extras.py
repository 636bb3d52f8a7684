"""State that only some connections need, in one object: other connections have None in its place."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from odac.realtime.ownership import Owned
    from odac.realtime.ping import Pings
    from odac.realtime.ports import CallsPort

__all__ = ["Extras"]


class Extras:
    """Parts of a connection that are made when they are first used.

    Attributes:
        calls: once the route answers calls, or the handler makes one.
        closing: code and reason with which this side closes, once it does.
        data: the application's namespace.
        ended: code and reason, once the connection has ended.
        on_release: called with the close code when the transport has ended, if somebody counts connections.
        owned: timers and tasks.
        pings: those that the application has sent.
        untracked: objects of the handshake that are left out of garbage collections with the connection.
    """

    __slots__ = ("calls", "closing", "data", "ended", "on_release", "owned", "pings", "untracked")

    def __init__(self) -> None:
        self.calls: CallsPort | None = None
        self.closing: tuple[int, str] | None = None
        self.data: SimpleNamespace | None = None
        self.ended: tuple[int, str] | None = None
        self.on_release: Callable[[int], None] | None = None
        self.owned: Owned | None = None
        self.pings: Pings | None = None
        self.untracked: tuple[object, ...] | None = None
