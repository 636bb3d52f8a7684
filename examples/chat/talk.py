"""A room over its WebSocket: who enters, what they say, and what they ask."""

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
    """The person began or stopped to write."""

    on: bool


class Read(msgspec.Struct, tag="read"):
    """The person has seen the room up to the message of this time."""

    at: int


talk = app.route.use("cut", "rate-limit").auth.ws(
    "/ws/room/{room}", message=Typing | Read, max_payload=16 * 1024, rate_limit=RateLimit(30, 1.0)
)


@talk
async def enter(odac: Context[Typing | Read, Any]) -> None:
    """Somebody's tab comes into a room."""
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


# ---- messages: nobody waits for an answer


@talk.on(Typing)
def typing(odac: Context[Typing | Read, Any], message: Typing) -> None:
    """The others see that somebody writes."""
    event = {"type": "typing", "id": me(odac).id, "on": message.on}
    odac.ws.to(room_of(odac)).excluding(odac.ws).send(event, keep=False)


@talk.on(Read)
def read(odac: Context[Typing | Read, Any], message: Read) -> None:
    """How far somebody has read is part of their presence: it costs ten events a second and room at most."""
    odac.ws.join(room_of(odac), presence={**me(odac).as_json(), "read": message.at})


# ---- calls: each has an answer


@dataclass
class Say:
    """A new message. ``again``: the page cannot know whether an earlier try has arrived."""

    text: str
    key: str
    again: bool = False


class Taken(TypedDict):
    """The room has it; ``stored`` tells whether it is kept."""

    at: int
    stored: bool


_saying: dict[str, asyncio.Task[Taken]] = {}


@talk.answer("say")
async def say(odac: Context[Any, Any], say: Say) -> Taken:
    """Say something, once, however often the page sends it."""
    person, room = me(odac), room_of(odac)
    if not is_key(say.key):
        raise CallError("refused", "The message has no proper key. Please load the page again.")
    id_ = message_id(person, say.key)
    if say.again:
        # Over this process it may be on its way into the room; over another one it may be there already.
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
    """Send a message to a room, and a copy to the pages in other rooms; then wait until the broker has it."""
    server = app.route.ws_server
    sent = server.to_room(room, message)
    news.tell(room, message)
    try:
        await sent
    except BrokerError:
        raise CallError("away", "The server cannot store messages just now.") from None
    return {"at": message["at"], "stored": KEEPS}


def check_pace(odac: Context[Any, Any]) -> None:
    """Refuse a message of a person who sends too fast."""
    refuse_before(odac.ws.data.pace.wait(), "sending")


def check_lookups(odac: Context[Any, Any]) -> None:
    """Refuse a question about a room's history to a person who asks too often."""
    refuse_before(state.lookups.of(me(odac)).wait(), "looking things up")


def refuse_before(wait: float, doing: str) -> None:
    """Refuse a call if there are seconds to wait."""
    if wait:
        seconds = max(1, round(wait))
        raise CallError("slow", f"You are {doing} too fast. Wait {seconds} {'second' if seconds == 1 else 'seconds'}.")


@dataclass
class Edit:
    """Another text for a message."""

    id: str
    text: str


@talk.answer("edit")
async def edit(odac: Context[Any, Any], edit: Edit) -> None:
    """Write one's own message anew."""
    check_own(me(odac), edit.id)
    if reason := what_is_wrong(edit.text):
        raise CallError("refused", reason)
    await send(odac, changed(edit.id, edit.text.strip()))


@talk.answer("delete")
async def delete(odac: Context[Any, Any], id_: str) -> None:
    """Take one's own message back."""
    check_own(me(odac), id_)
    await send(odac, removed(id_))


def check_own(person: Person, id_: str) -> None:
    """Only the author may change a message; its id says who that is."""
    if not is_own(person, id_):
        raise CallError("refused", "Only its author can change a message.")


@dataclass
class React:
    """An emoji on a message."""

    id: str
    emoji: str
    on: bool


@talk.answer("react")
async def react(odac: Context[Any, Any], react: React) -> None:
    """Put an emoji on a message, or take it away."""
    if react.emoji not in REACTIONS or not is_message_id(react.id):
        raise CallError("refused", "That is no reaction.")
    await send(odac, reacted(react.id, me(odac), react.emoji, react.on))


async def send(odac: Context[Any, Any], event: Event) -> None:
    """Send what happened to a message to its room."""
    check_pace(odac)
    try:
        await odac.ws.to(room_of(odac)).send(event)
    except BrokerError:
        raise CallError("away", "The server cannot store changes just now.") from None


@dataclass
class Before:
    """Which older messages a page wants: those before this one, or the last."""

    id: str | None = None
    count: int = 100


class Page(TypedDict):
    """Messages, oldest first, and whether there are older ones."""

    messages: list[Event]
    more: bool


@talk.answer("older")
async def older(odac: Context[Any, Any], before: Before) -> Page:
    """Messages from before those that the page has."""
    check_lookups(odac)
    archive = await archive_of(room_of(odac))
    messages, more = archive.before(before.id, min(max(before.count, 1), 300))
    return {"messages": messages, "more": more}


@talk.answer("search")
async def search(odac: Context[Any, Any], text: str) -> list[Event]:
    """Find the last messages with a text in them."""
    if not text.strip():
        return []
    check_lookups(odac)
    return (await archive_of(room_of(odac))).containing(text.strip(), 50)


@talk.answer("ping")
def ping(odac: Context[Any, Any]) -> str:
    """Answer with the worker's name; the page measures how long that takes."""
    return worker()


talk.answer("cut")(cut)
talk.answer("kill")(kill)
