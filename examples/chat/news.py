"""Events of all rooms, over one connection that all tabs of a browser share."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final, TypedDict

from odac import BrokerError, CallError, Context, RateLimit

from .archive import archive_of
from .core import KEEPS, app, me, state
from .messages import Event, is_mention
from .people import NotAllowed
from .rooms import is_room_name

__all__ = ["ROOMS_EVERY", "listing", "opened", "tell", "tell_rooms", "tell_rooms_forever"]

NEWS: Final = "@news"
"""The room that all pages are in. No room of the chat can have this name."""
OPENED: Final = "@opened"
"""A room whose history lists the rooms in use, for all workers."""
ROOMS_EVERY: Final = 3.0
"""Seconds between two updates of the list of rooms, which depends on the people on other workers too."""
MOST_ASKED: Final = 30

news = app.route.use("rate-limit").auth.ws("/ws/news", max_payload=16 * 1024, rate_limit=RateLimit(10, 1.0))


@news
def follow(odac: Context[Any, Any]) -> None:
    """A browser has opened its shared connection."""
    odac.ws.join(NEWS)


def tell(room: str, message: Event) -> None:
    """Send an event of a room to all pages. It is not kept: a page that was disconnected calls "unread"."""
    app.route.ws_server.to(NEWS).send({"type": "said", "room": room, "message": message}, keep=False)


class Unread(TypedDict):
    """The unread messages of one person in one room."""

    count: int
    mentions: int


@news.answer("unread")
async def unread(odac: Context[Any, Any], seen: dict[str, int]) -> dict[str, Unread]:
    """Count the unread messages. ``seen`` has, for each room, the time of the last message that the person has seen."""
    person = me(odac)
    if state.lookups.of(person).wait():
        raise CallError("slow", "You are asking too often. Wait a second.")
    found: dict[str, Unread] = {}
    for room in list(seen)[:MOST_ASKED]:
        if not is_room_name(room):
            continue
        others = [each for each in (await archive_of(room)).since(seen[room]) if each["from"]["id"] != person.id]
        if others:
            mentions = sum(is_mention(each["text"], person) for each in others)
            found[room] = {"count": len(others), "mentions": mentions}
    return found


@news.answer("rooms")
async def rooms(odac: Context[Any, Any]) -> list[dict[str, Any]]:
    """The list of rooms, for a tab that joins a shared connection that is open already."""
    try:
        return await listing()
    except BrokerError:
        raise CallError("away", "The server cannot look for rooms just now.") from None


def opened(room: str) -> None:
    """Record, for the other workers, that this worker has people in a room."""
    if KEEPS:
        app.route.ws_server.to_room(OPENED, room)


_position: list[str] = []


async def learn() -> None:
    """Read the rooms that other workers have opened since the last call."""
    if not KEEPS:
        return
    history = app.route.ws_server.history
    try:
        entries = await history(OPENED, since=_position[0] if _position else None)
    except LookupError:
        entries = await history(OPENED)
    for entry in entries:
        _position[:] = [entry.position]
        with contextlib.suppress(NotAllowed):  # too many rooms
            state.rooms.room(entry.data)


async def listing() -> list[dict[str, Any]]:
    """The rooms in use, with the number of people in each."""
    server = app.route.ws_server
    await learn()
    names = state.rooms.names
    members = await asyncio.gather(*(server.presence(name) for name in names))
    return state.rooms.listing({name: there.total for name, there in zip(names, members, strict=True)})


_telling: list[asyncio.Task[None]] = []
_told: list[list[dict[str, Any]]] = []


def tell_rooms() -> None:
    """Send the list of rooms to all pages of this worker if it has changed; quick changes are sent once."""

    async def tell() -> None:
        await asyncio.sleep(0.3)
        _telling.clear()
        try:
            rooms = await listing()
        except BrokerError:
            return  # retried at the next update
        if _told != [rooms]:
            _told[:] = [rooms]
            for client in app.route.ws_server.clients.values():
                if NEWS in client.rooms:
                    client.send({"type": "rooms", "rooms": rooms})

    if not _telling:
        _telling.append(asyncio.create_task(tell()))


async def tell_rooms_forever() -> None:
    """Send the list of rooms again and again, for changes on other workers and the ends of grace periods."""
    _telling.clear()
    _told.clear()
    _position.clear()
    while True:
        await asyncio.sleep(ROOMS_EVERY)
        if app.route.ws_server.client_count:
            tell_rooms()
