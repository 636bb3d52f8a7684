"""The app's requests to rooms with history: read, erase, revoke; from any thread."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from odac.history.entries import prepare
from odac.history.feeds import Feeds
from odac.history.position import epoch_of, epoch_text, user_hash
from odac.history.rules import History, RuleBook
from odac.history.store import HistoryStore
from odac.protocol.codec import decode_text
from odac.realtime.audience import Audience, check_room, user_room
from odac.realtime.receipts import HistoryEntry

if TYPE_CHECKING:
    from odac.realtime.hub import Hub

__all__ = ["HistoryQuestions"]


class Rooms(Protocol):
    """:class:`odac.history.rooms.HistoryRooms`, as :class:`HistoryQuestions` uses it."""

    book: RuleBook
    channel_of: Callable[[str], str]
    feeds: Feeds

    @property
    def store(self) -> HistoryStore:
        """The store of the logs; raises RuntimeError if the app is not running."""
        ...


class HistoryQuestions:
    """Answers from the store, on the event loop of the hub.

    Args:
        rooms: the rules, the store and the feeds.
        hub: the members' hub.
    """

    __slots__ = ("_hub", "_rooms")

    def __init__(self, rooms: Rooms, hub: Hub) -> None:
        self._rooms = rooms
        self._hub = hub

    async def history(self, room: str, last: int | None, since: str | None) -> list[HistoryEntry]:
        """Entries of a room, oldest first."""
        history = self._history_of(room)
        limit = history.size
        if since is not None:
            epoch, after = _position(since)
        else:
            epoch, after = None, -min(limit, limit if last is None else last)
            if after == 0:
                return []
        rooms = self._rooms
        found = await self._on_loop(lambda: rooms.store.read(rooms.channel_of(room), history, after, limit))
        if since is not None and (found.epoch != epoch or not found.base <= after <= found.top):
            raise LookupError(
                f"position {since!r} of room {room!r} can no longer be used: it has expired, or the history has"
                " started again; load the state, and continue with last="
            )
        entries = []
        for entry in found.entries:
            kept = prepare(entry)
            text = f"{epoch_text(found.epoch)}.{entry.offset}"
            message = kept.message
            data = decode_text(message.payload) if message.is_text else message.payload
            entries.append(HistoryEntry(text, data, entry.time / 1000))
        return entries

    async def forget(self, room: str) -> None:
        """Erase a room's history."""
        self._history_of(room)

        async def erase() -> None:
            await self._rooms.store.erase(self._rooms.channel_of(room))
            feed = self._rooms.feeds.read_again(room)
            if feed is not None:
                feed.tell_gap_to_all()

        await self._on_loop(erase)

    async def revoke(self, room: str, user: str) -> None:
        """Make a user leave a room, and refuse the user recovery from it."""
        self._history_of(room)

        async def revoke() -> None:
            await self._rooms.store.revoke(self._rooms.channel_of(room), user_hash(user))
            self._rooms.feeds.read_again(room)
            self._hub.orders.move(Audience((user_room(user),)), room, joins=False)

        await self._on_loop(revoke)

    def _history_of(self, room: str) -> History:
        history = self._rooms.book.of(check_room(room))
        if history is None:
            raise ValueError(f"room {room!r} has no history: app.rooms({room!r}, history=History(…)) gives it one")
        return history

    async def _on_loop(self, make: Callable[[], Any]) -> Any:
        delivery = self._hub.delivery
        if get_ident() == delivery.thread:
            return await make()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(make(), delivery.loop))


def _position(text: str) -> tuple[bytes | None, int]:
    epoch, dot, offset = text.rpartition(".") if isinstance(text, str) else ("", "", "")
    found = epoch_of(epoch)
    if not dot or found is None or not offset.isdecimal():
        raise ValueError(f"since={text!r}: must be the position of a HistoryEntry")
    return found, int(offset)
