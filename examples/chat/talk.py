"""A room over its WebSocket: joining, messages, and calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec

from odac import BrokerError, CallError, CloseCode, Context, RateLimit

from . import news
from .archive import archive_of
from .core import KEEPS, app, me, state
from .demo import can_kill, cut, kill, seed_lobby, worker
from .messages import (
    REACTIONS,
    Event,
    changed,
    is_key,
    is_message_id,
    is_own,
    message_id,
    reacted,
    removed,
    said,
    what_is_wrong,
)
from .people import NAME_TAKEN, NotAllowed, Person
from .rooms import LOBBY, REMEMBERED, Room, clean_room_name

__all__ = ["talk"]


class Typing(msgspec.Struct, tag="typing"):
    """The person has started or stopped typing."""

    on: bool


class Read(msgspec.Struct, tag="read"):
    """The person has seen the room up to the message of this time."""

    at: int


talk = app.route.use("cut", "rate-limit").auth.ws(
    "/ws/room/{room}", message=Typing | Read, max_payload=16 * 1024, rate_limit=RateLimit(30, 1.0)
)


@talk
async def enter(odac: Context[Typing | Read, Any]) -> None:
    """A tab has connected to a room."""
    ws, person = odac.ws, me(odac)
    try:
        here = state.rooms.room(clean_room_name(odac.request.data.url["room"]))
    except NotAllowed as problem:
        ws.close(CloseCode.FORBIDDEN, str(problem))
        return
    if not state.names.keep(person):
        ws.close(CloseCode.FORBIDDEN, NAME_TAKEN)
        return
    ws.data.here = here
    here.tabs += 1
    if here.tabs == 1:
        news.opened(here.name)
    odac.set_interval(60, lambda: state.names.seen(person))

    @ws.on("close")
    def gone() -> None:
        state.names.seen(person)
        here.tabs -= 1
        news.tell_rooms()

    @ws.on("invalid")
    def not_ours() -> None:
        ws.send({"type": "notice", "text": "This page is out of date. Please load it again."})

    if here.name == LOBBY:
        await seed_lobby()
    ws.join(here.name, REMEMBERED if KEEPS else 0, presence=person.as_json())
    ws.send({"type": "welcome", "worker": worker(), "canKill": can_kill(odac.request)})
    news.tell_rooms()


def room_of(odac: Context[Any, Any]) -> str:
    """The room's name."""
    here: Room = odac.ws.data.here
    return here.name


# ---- messages, which have no answer


@talk.on(Typing)
def typing(odac: Context[Typing | Read, Any], message: Typing) -> None:
    """Tell the other members that a person is typing."""
    event = {"type": "typing", "id": me(odac).id, "on": message.on}
    odac.ws.to(room_of(odac)).excluding(odac.ws).send(event, keep=False)


@talk.on(Read)
def read(odac: Context[Typing | Read, Any], message: Read) -> None:
    """Update the last message that a person has read, in their presence: at most ten events a second for each room."""
    odac.ws.join(room_of(odac), presence={**me(odac).as_json(), "read": message.at})


# ---- calls: each has an answer


@dataclass
class Say:
    """A new message. ``again``: the page has sent it before, and does not know whether it arrived."""

    text: str
    key: str
    again: bool = False


class Taken(TypedDict):
    """The answer to a message that was sent to the room; ``stored`` tells whether the history has it."""

    at: int
    stored: bool


_saying: dict[str, asyncio.Task[Taken]] = {}


@talk.answer("say")
async def say(odac: Context[Any, Any], say: Say) -> Taken:
    """Send a message to the room, once, even if the page sends it several times."""
    person, room = me(odac), room_of(odac)
    if not is_key(say.key):
        raise CallError("refused", "The message has no proper key. Please load the page again.")
    id_ = message_id(person, say.key)
    if say.again:
        # This process may be sending it right now, or another process may have sent it.
        if id_ in _saying:
            return await asyncio.shield(_saying[id_])
        if earlier := (await archive_of(room)).messages.get(id_):
            return {"at": earlier["at"], "stored": True}
    if reason := what_is_wrong(say.text):
        raise CallError("refused", reason)
    check_pace(odac)
    _saying[id_] = task = asyncio.create_task(publish(room, said(person, say.key, say.text.strip())))
    task.add_done_callback(lambda _: _saying.pop(id_, None))
    return await asyncio.shield(task)


async def publish(room: str, message: Event) -> Taken:
    """Send a message to a room, and a copy to the pages in other rooms; then wait until the broker has stored it."""
    server = app.route.ws_server
    sent = server.to_room(room, message)
    news.tell(room, message)
    try:
        await sent
    except BrokerError:
        raise CallError("away", "The server cannot store messages just now.") from None
    return {"at": message["at"], "stored": KEEPS}


def check_pace(odac: Context[Any, Any]) -> None:
    """Refuse a message from a person who sends too fast."""
    refuse_before(odac.ws.data.pace.wait(), "sending")


def check_lookups(odac: Context[Any, Any]) -> None:
    """Refuse a lookup in a room's history by a person who requests too many."""
    refuse_before(state.lookups.of(me(odac)).wait(), "looking things up")


def refuse_before(wait: float, doing: str) -> None:
    """Refuse a call if the caller must wait."""
    if wait:
        seconds = max(1, round(wait))
        raise CallError("slow", f"You are {doing} too fast. Wait {seconds} {'second' if seconds == 1 else 'seconds'}.")


@dataclass
class Edit:
    """A new text for a message."""

    id: str
    text: str


@talk.answer("edit")
async def edit(odac: Context[Any, Any], edit: Edit) -> None:
    """Change the text of one's own message."""
    check_own(me(odac), edit.id)
    if reason := what_is_wrong(edit.text):
        raise CallError("refused", reason)
    await send(odac, changed(edit.id, edit.text.strip()))


@talk.answer("delete")
async def delete(odac: Context[Any, Any], id_: str) -> None:
    """Delete one's own message."""
    check_own(me(odac), id_)
    await send(odac, removed(id_))


def check_own(person: Person, id_: str) -> None:
    """Refuse a change of another person's message; the id contains the author."""
    if not is_own(person, id_):
        raise CallError("refused", "Only its author can change a message.")


@dataclass
class React:
    """A reaction with an emoji to a message."""

    id: str
    emoji: str
    on: bool


@talk.answer("react")
async def react(odac: Context[Any, Any], react: React) -> None:
    """Add a reaction to a message, or remove it."""
    if react.emoji not in REACTIONS or not is_message_id(react.id):
        raise CallError("refused", "That is no reaction.")
    await send(odac, reacted(react.id, me(odac), react.emoji, react.on))


async def send(odac: Context[Any, Any], event: Event) -> None:
    """Send an edit, a deletion or a reaction to the message's room."""
    check_pace(odac)
    try:
        await odac.ws.to(room_of(odac)).send(event)
    except BrokerError:
        raise CallError("away", "The server cannot store changes just now.") from None


@dataclass
class Before:
    """A request for older messages: those before this one, or the last ones."""

    id: str | None = None
    count: int = 100


class Page(TypedDict):
    """Messages, oldest first, and whether there are older ones."""

    messages: list[Event]
    more: bool


@talk.answer("older")
async def older(odac: Context[Any, Any], before: Before) -> Page:
    """Return messages older than those that the page has."""
    check_lookups(odac)
    archive = await archive_of(room_of(odac))
    messages, more = archive.before(before.id, min(max(before.count, 1), 300))
    return {"messages": messages, "more": more}


@talk.answer("search")
async def search(odac: Context[Any, Any], text: str) -> list[Event]:
    """Find the last messages that contain a text."""
    if not text.strip():
        return []
    check_lookups(odac)
    return (await archive_of(room_of(odac))).containing(text.strip(), 50)


@talk.answer("ping")
def ping(odac: Context[Any, Any]) -> str:
    """Answer with the worker's name; the page measures the time until the answer."""
    return worker()


talk.answer("cut")(cut)
talk.answer("kill")(kill)
