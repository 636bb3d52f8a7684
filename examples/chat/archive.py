"""A room's messages in their present state, built from the room's history: with edits, deletions and reactions.

Each process that is asked for older messages keeps such an archive, and reads only the events since the last request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from odac import BrokerError, CallError

from .core import KEEPS, KEPT, KEPT_FOR, app
from .messages import Event, now_ms

__all__ = ["Archive", "archive_of", "forget_all"]

MOST_ARCHIVES: Final = 50


class Archive:
    """The messages of one room, oldest first, by their ids."""

    def __init__(self, room: str) -> None:
        self.messages: dict[str, Event] = {}
        self._room = room
        self._position: str | None = None
        self._reading = asyncio.Lock()

    async def refresh(self) -> None:
        """Read the events since the last call."""
        if not KEEPS:
            return
        async with self._reading:
            history = app.route.ws_server.history
            try:
                entries = await history(self._room, since=self._position)
            except LookupError:  # the position has expired: start again
                self.messages.clear()
                entries = await history(self._room)
            for entry in entries:
                self._position = entry.position
                self._apply(entry.data)
            self._forget_old()

    def before(self, id_: str | None, count: int) -> tuple[list[Event], bool]:
        """Up to ``count`` messages before ``id_``, or the last ones, oldest first; and whether there are older ones."""
        ids = list(self.messages)
        end = ids.index(id_) if id_ in self.messages else len(ids) if id_ is None else 0
        start = max(0, end - count)
        return [self.messages[each] for each in ids[start:end]], start > 0

    def containing(self, text: str, count: int) -> list[Event]:
        """The last ``count`` messages with this text in them, newest first."""
        wanted = text.casefold()
        found = (each for each in reversed(self.messages.values()) if wanted in each["text"].casefold())
        return [each for each, _ in zip(found, range(count), strict=False)]

    def since(self, at: int) -> Iterable[Event]:
        """The messages after this time, newest first."""
        for message in reversed(self.messages.values()):
            if message["at"] <= at:
                return
            yield message

    def _apply(self, event: Event) -> None:
        if isinstance(event, dict) and self.messages.get(event.get("id", ""), {}).get("deleted"):
            return  # an edit of or a reaction to a message that was deleted later
        match event:
            case {"type": "message", "id": str(id_), "from": dict(), "text": str(), "at": int()}:
                self.messages.setdefault(id_, {**event, "reactions": {}})
            case {"type": "edit", "id": id_, "text": text} if id_ in self.messages:
                self.messages[id_].update(text=text, edited=True)
            case {"type": "delete", "id": id_} if id_ in self.messages:
                self.messages[id_].update(text="", deleted=True, reactions={})
            case {"type": "react", "id": id_, "by": by, "emoji": emoji, "on": on} if id_ in self.messages:
                people = self.messages[id_]["reactions"].setdefault(emoji, {})
                if on:
                    people[by["id"]] = by["name"]
                else:
                    people.pop(by["id"], None)

    def _forget_old(self) -> None:
        oldest = now_ms() - KEPT_FOR * 1000
        while self.messages:
            id_ = next(iter(self.messages))
            if len(self.messages) <= KEPT and self.messages[id_]["at"] >= oldest:
                return
            del self.messages[id_]


_archives: dict[str, Archive] = {}


async def archive_of(room: str) -> Archive:
    """The room's archive, up to date.

    Raises:
        CallError: the broker cannot be reached; the text is for the caller.
    """
    archive = _archives.pop(room, None) or Archive(room)
    _archives[room] = archive  # the least recently used one is first
    while len(_archives) > MOST_ARCHIVES:
        del _archives[next(iter(_archives))]
    try:
        await archive.refresh()
    except BrokerError:
        raise CallError("away", "The server cannot look into the room just now.") from None
    return archive


def forget_all() -> None:
    """Forget all archives: the app starts again, with another event loop."""
    _archives.clear()
