"""What happens in all rooms, over one connection that all tabs of a browser share."""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypedDict

from odac import Context, RateLimit

from .archive import archive_of
from .core import app, me, state
from .messages import Event, is_mention

__all__ = ["ROOMS_EVERY", "listing", "tell", "tell_rooms", "tell_rooms_forever"]

NEWS: Final = "@news"
"""The room that all pages are in. No room of the chat can have this name."""
ROOMS_EVERY: Final = 3.0
"""Seconds after which the list of rooms is looked at again, because other workers' people come and go too."""
MOST_ASKED: Final = 30

news = app.route.use("rate-limit").auth.ws("/ws/news", max_payload=16 * 1024, rate_limit=RateLimit(10, 1.0))


@news
def follow(odac: Context[Any, Any]) -> None:
    """A browser's first tab has come."""
    odac.ws.join(NEWS)


def tell(room: str, message: Event) -> None:
    """Tell all pages what was said in a room. It is not kept: a page that was away asks "unread"."""
    app.route.ws_server.to(NEWS).send({"type": "said", "room": room, "message": message}, keep=False)


class Unread(TypedDict):
    """What somebody has not read in a room."""

    count: int
    mentions: int


@news.answer("unread")
async def unread(odac: Context[Any, Any], seen: dict[str, int]) -> dict[str, Unread]:
    """Count what was said since the person last looked: for each room, the time of the last message that they saw."""
    person = me(odac)
    found: dict[str, Unread] = {}
    for room in list(seen)[:MOST_ASKED]:
        others = [each for each in (await archive_of(room)).since(seen[room]) if each["from"]["id"] != person.id]
        if others:
            mentions = sum(is_mention(each["text"], person) for each in others)
            found[room] = {"count": len(others), "mentions": mentions}
    return found


@news.answer("rooms")
async def rooms(odac: Context[Any, Any]) -> list[dict[str, Any]]:
    """The rooms, for a tab that comes to a connection that is open already."""
    return await listing()


async def listing() -> list[dict[str, Any]]:
    """The rooms that this worker knows, and how many people are in them."""
    server = app.route.ws_server
    names = state.rooms.names
    members = await asyncio.gather(*(server.presence(name) for name in names))
    return state.rooms.listing({name: there.total for name, there in zip(names, members, strict=True)})


_telling: list[asyncio.Task[None]] = []
_told: list[list[dict[str, Any]]] = []


def tell_rooms() -> None:
    """Send the rooms to all pages of this worker, if they have changed. Many changes within a moment are sent once."""

    async def tell() -> None:
        await asyncio.sleep(0.3)
        _telling.clear()
        rooms = await listing()
        if _told != [rooms]:
            _told[:] = [rooms]
            for client in app.route.ws_server.clients.values():
                if NEWS in client.rooms:
                    client.send({"type": "rooms", "rooms": rooms})

    if not _telling:
        _telling.append(asyncio.create_task(tell()))


async def tell_rooms_forever() -> None:
    """Tell of people who come and go on other workers, and of those whose grace is over."""
    _telling.clear()
    _told.clear()
    while True:
        await asyncio.sleep(ROOMS_EVERY)
        tell_rooms()
