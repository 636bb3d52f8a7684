"""The chat's server: pages over HTTP, rooms over WebSocket.

Start it with ``make run``, or ``odac run examples.chat.app:app``. Settings come from the environment:

``ODAC_SECRET``
    signs the sessions; without it, all users have to sign in again after a restart.
``CHAT_ADMIN_KEY``
    lets its holder make announcements; without it, one is made at each start and printed.
``CHAT_URL``
    where the chat is, for what is printed.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from odac import CloseCode, Context, History, Limits, Odac, Presence, RateLimit

from . import pages
from .people import Names, NotAllowed, Paces, Person
from .rooms import REMEMBERED, Rooms, clean_room_name, now_ms, said

LONGEST_MESSAGE = 2_000
GRACE = 3.0
"""Seconds between the end of a person's last tab and "left": reloading a page is not leaving."""
ROOMS_EVERY = 3.0
"""Seconds after which the list of rooms is sent again, because other workers' people come and go too."""

ADMIN_KEY = os.environ.get("CHAT_ADMIN_KEY") or secrets.token_urlsafe(12)

logger = logging.getLogger("uvicorn.error")

names = Names()
rooms = Rooms()
messages = Paces(burst=5, seconds=1.0)
entries = Paces(burst=20, seconds=1.0)
sign_ins = Paces(burst=100, seconds=10.0)
"""Per address, of which an office has one for all of its people."""


# ---- pages


async def home(request: Request) -> Response:
    """Ask for a name, or go on to the room."""
    room = request.query_params.get("room", "lobby")
    if await signed_in(request):
        return RedirectResponse(f"/room/{room}", 303)
    return pages.sign_in(next_room=room)


async def sign_in(request: Request) -> Response:
    """Take a name."""
    form = parse_qs(await body(request))
    name, room = form.get("name", [""])[0], form.get("room", ["lobby"])[0]
    if is_from_elsewhere(request):
        return pages.problem("That form was sent from another site. Please sign in here.", status=403)
    if sign_ins.of(request.client.host if request.client else "").wait():
        return pages.sign_in(
            name=name,
            next_room=room,
            problem="Too many names were taken from your network. Try again soon.",
            status=429,
        )
    try:
        response = RedirectResponse(f"/room/{clean_room_name(room)}", 303)
        person = names.sign_in(name)
    except NotAllowed as problem:
        return pages.sign_in(name=name, next_room=room, problem=str(problem), status=409)
    app.auth.login(response, person.as_json())
    return response


def is_from_elsewhere(request: Request) -> bool:
    """Whether a page of another site sent this form. Browsers that say so are all current ones (Fetch Metadata)."""
    return request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}


async def sign_out(request: Request) -> Response:
    """Give the name back."""
    if is_from_elsewhere(request):
        return pages.problem("That form was sent from another site. Please sign out here.", status=403)
    person = await signed_in(request)
    if person is not None:
        names.give_up(person)
    response = RedirectResponse("/", 303)
    app.auth.logout(response)
    return response


async def room_page(request: Request) -> Response:
    """One room; its messages come over the WebSocket."""
    try:
        name = clean_room_name(request.path_params["room"])
    except NotAllowed as problem:
        return pages.problem(str(problem), status=404)
    person = await signed_in(request)
    if person is None:
        return pages.sign_in(next_room=name, status=401)
    return pages.room(name, person)


async def open_room(request: Request) -> Response:
    """From the form "open another room" to that room's address."""
    try:
        return RedirectResponse(f"/room/{clean_room_name(request.query_params.get('name', ''))}", 303)
    except NotAllowed as problem:
        return pages.problem(str(problem), status=400)


async def announce(request: Request) -> Response:
    """Send an announcement to all clients: a POST with the text and the admin key."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(key.encode(), ADMIN_KEY.encode()):
        return JSONResponse(
            {"error": "Send the key: -H 'Authorization: Bearer KEY'"}, 401, {"WWW-Authenticate": "Bearer"}
        )
    text = (await body(request)).strip()
    if not text or len(text) > LONGEST_MESSAGE:
        return JSONResponse({"error": f"Send 1 to {LONGEST_MESSAGE} characters of text as the body"}, 400)
    app.route.ws_server.broadcast({"type": "announcement", "text": text, "at": now_ms()})
    return JSONResponse({"announced": text, "connections": app.route.ws_server.client_count})


async def body(request: Request, most: int = 16 * 1024) -> str:
    """The request's body as text; past ``most`` bytes, 413."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise HTTPException(413, f"At most {most} bytes fit.")
    return data.decode(errors="replace")


async def signed_in(request: Request) -> Person | None:
    """The person who is signed in, or None."""
    user = await app.auth.user(request)
    return Person(**user) if user else None


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Log how to make announcements, unless the key was set from outside."""
    _telling.clear()
    telling = asyncio.create_task(tell_rooms_forever())
    if "CHAT_ADMIN_KEY" not in os.environ:
        logger.info(
            "Announce something from a second terminal: "
            "curl -H 'Authorization: Bearer %s' -d 'The kettle is on' %s/announce",
            ADMIN_KEY,
            os.environ.get("CHAT_URL", "http://127.0.0.1:8000"),
        )
    yield
    telling.cancel()


web = Starlette(
    routes=[
        Route("/", home),
        Route("/sign-in", sign_in, methods=["POST"]),
        Route("/sign-out", sign_out, methods=["POST"]),
        Route("/open-room", open_room),
        Route("/room/{room}", room_page),
        Route("/announce", announce, methods=["POST"]),
        Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
    ],
    lifespan=lifespan,
)

# A chat in one process has few clients: two seconds suffice to spread their return after a restart.
app = Odac(http=web, limits=Limits(drain_timeout=2.0))
# Who is here: on all workers, and a page that is loaded again has not left.
# And what was said: a page that comes back gets what it missed, over any worker. (NATS keeps no history.)
KEEPS = not app.broker_url.startswith(("nats://", "tls://"))
app.rooms(
    "*",
    presence=Presence(grace=GRACE, limit=200),
    history=History(size=500, ttl=86_400.0) if KEEPS else None,
)


# ---- rooms


@app.middleware("rate-limit")
async def rate_limit(odac: Context) -> bool:
    """Per user, however many tabs they open: so many entries; and the pace that their messages share."""
    odac.ws.data.me = me = Person(**await odac.auth.user())
    odac.ws.data.pace = messages.of(me)
    return entries.of(me).wait() == 0


@app.route.use("rate-limit").auth.ws("/ws/room/{room}", max_payload=16 * 1024, rate_limit=RateLimit(30, 1.0))
async def room(odac: Context) -> None:
    """Somebody's tab in a room, from its first moment to its last."""
    ws, me = odac.ws, odac.ws.data.me
    try:
        here = rooms.room(clean_room_name(odac.request.data.url["room"]))
    except NotAllowed as problem:
        return ws.close(CloseCode.FORBIDDEN, str(problem))
    if not names.keep(me):
        return ws.close(CloseCode.FORBIDDEN, "Somebody else took your name meanwhile. Sign out and choose another.")

    odac.set_interval(60, lambda: names.seen(me))
    ws.join(here.name, REMEMBERED if KEEPS else 0, presence=me.as_json())
    here.tabs += 1
    ws.send({"type": "welcome"})
    tell_rooms()
    try:
        async for message in ws:
            match message:
                case {"type": "say", "text": str(text), "key": str(key)}:
                    if reason := what_is_wrong(text, ws.data.pace.wait()):
                        ws.send({"type": "refused", "key": key, "reason": reason})
                    else:
                        ws.to(here.name).send({**said(me, text.strip()), "key": key})
                case {"type": "typing", "on": bool(on)}:
                    ws.to(here.name).excluding(ws).send({"type": "typing", "id": me.id, "on": on}, keep=False)
                case _:
                    ws.send({"type": "refused", "reason": "This page is out of date. Please load it again."})
    finally:
        names.seen(me)
        here.tabs -= 1
        tell_rooms()


def what_is_wrong(text: str, wait: float) -> str | None:
    """Why this message cannot be sent, in words for its author."""
    if wait:
        seconds = max(1, round(wait))
        return f"You are sending too fast. Wait {seconds} {'second' if seconds == 1 else 'seconds'}."
    if not text.strip():
        return "The message is empty."
    if len(text) > LONGEST_MESSAGE:
        return f"The message has {len(text)} characters. At most {LONGEST_MESSAGE} fit."
    return None


_telling: list[asyncio.Task[None]] = []


def tell_rooms() -> None:
    """Send the rooms, and how many people are in them, to all clients of this worker: each worker lists those it knows.

    Many changes within a moment are sent once.
    """

    async def tell() -> None:
        await asyncio.sleep(0.3)
        _telling.clear()
        server = app.route.ws_server
        people = {name: (await server.presence(name)).total for name in rooms.names}
        listing: dict[str, Any] = {"type": "rooms", "rooms": rooms.listing(people)}
        for client in server.clients.values():
            client.send(listing)

    if not _telling:
        _telling.append(asyncio.create_task(tell()))


async def tell_rooms_forever() -> None:
    """Tell of people who come and go on other workers, and of those whose grace is over."""
    while True:
        await asyncio.sleep(ROOMS_EVERY)
        tell_rooms()
