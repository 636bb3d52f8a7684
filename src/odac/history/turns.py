"""Gives turns to the members of a process that catch up, so that they do not block the event loop."""

from __future__ import annotations

from collections import deque
from typing import Final

from odac.history.cursor import Cursor
from odac.realtime.hub import Hub

__all__ = ["Turns"]

SLICE: Final = 0.005
"""Seconds that catching up may use in one turn of the event loop."""


class Turns:
    """The cursors that have more to write at once.

    Args:
        hub: the members' hub.
    """

    __slots__ = ("_hub", "_is_scheduled", "_waiting")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting: deque[Cursor] = deque()
        self._is_scheduled = False

    def add(self, cursor: Cursor) -> None:
        """Let a member continue in its turn."""
        self._waiting.append(cursor)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._hub.delivery.loop.call_soon(self._take)

    def _take(self) -> None:
        loop = self._hub.delivery.loop
        end = loop.time() + SLICE
        waiting = self._waiting
        while waiting:
            cursor = waiting.popleft()
            if cursor.feed.cursors.get(cursor.connection) is cursor:
                cursor.feed.run(cursor)
            if loop.time() >= end:
                break
        if waiting:
            loop.call_soon(self._take)
        else:
            self._is_scheduled = False
