"""The chat's pages over HTTP."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from odac import CallError

from . import guests, pages, talk
from .core import app, setting, state, web
from .messages import LONGEST_MESSAGE, now_ms, said, what_is_wrong
from .people import NAME_TAKEN, NotAllowed, Person
from .rooms import clean_room_name

ADMIN_KEY = setting("CHAT_ADMIN_KEY") or secrets.token_urlsafe(12)


async def home(request: Request) -> Response:
    """Show the sign-in page, or redirect a signed-in person to the lobby."""
    room = request.query_params.get("room", "lobby")
    if await signed_in(request):
        return RedirectResponse(f"/room/{room}", 303)
    return pages.sign_in(next_room=room)


async def sign_in(request: Request) -> Response:
    """Handle the sign-in form."""
    form = parse_qs(await body(request))
    name, room = form.get("name", [""])[0], form.get("room", ["lobby"])[0]
    if is_from_elsewhere(request):
        return pages.problem("That form was sent from another site. Please sign in here.", status=403)
    if too_many_names(request):
        return pages.sign_in(
            name=name,
            next_room=room,
            problem="Too many names were taken from your network. Try again soon.",
            status=429,
        )
    try:
        response = RedirectResponse(f"/room/{clean_room_name(room)}", 303)
        person = state.names.sign_in(name)
    except NotAllowed as problem:
        return pages.sign_in(name=name, next_room=room, problem=str(problem), status=409)
    app.auth.login(response, person.as_json())
    return response


def too_many_names(request: Request) -> bool:
    """Whether this client has requested too many names."""
    return state.sign_ins.of(request.client.host if request.client else "").wait() > 0


def is_from_elsewhere(request: Request) -> bool:
    """Whether a page of another site sent this form.

    All current browsers send this information (Fetch Metadata), but over plain HTTP only to this machine: for other
    hosts, the form's origin is checked.
    """
    if site := request.headers.get("sec-fetch-site"):
        return site not in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is not None and origin.partition("://")[2] != request.headers.get("host")


async def sign_out(request: Request) -> Response:
    """Handle the sign-out form: the name is free again."""
    if is_from_elsewhere(request):
        return pages.problem("That form was sent from another site. Please sign out here.", status=403)
    person = await signed_in(request)
    if person is not None:
        state.names.give_up(person)
    response = RedirectResponse("/", 303)
    app.auth.logout(response)
    return response


async def signed_in(request: Request) -> Person | None:
    """The person who is signed in, or the guest of this frame; else None."""
    if "side" in request.path_params:
        return guests.read(request.cookies.get(guests.COOKIE))
    user = await app.auth.user(request)
    return Person(**user) if user else None


# ---- rooms; their messages are sent over the WebSocket


async def room(request: Request) -> Response:
    """Show a room."""
    name = room_name(request.path_params["room"])
    person = await signed_in(request)
    return pages.room(name, person) if person else pages.sign_in(next_room=name, status=401)


async def say(request: Request) -> Response:
    """Handle a message that a page without loaded scripts sends over HTTP."""
    base = request.url.path.partition("/room/")[0]
    name = room_name(request.path_params["room"])
    form = parse_qs(await body(request, 64 * 1024))
    text = form.get("text", [""])[0].replace("\r\n", "\n")
    person = await signed_in(request)
    if person is None:
        return pages.sign_in(next_room=name, status=401)
    if is_from_elsewhere(request):
        return pages.problem("That form was sent from another site.", status=403)
    problem = what_is_wrong(text) if state.names.keep(person) else NAME_TAKEN
    if problem is None and state.messages.of(person).wait():
        problem = "You are sending too fast. Wait a second."
    try:
        if problem is None:
            await talk.publish(name, said(person, secrets.token_urlsafe(9), text.strip()))
    except CallError as error:
        problem = error.text
    if problem is not None:
        token = guests.token_of(person) if base else ""
        return pages.room(name, person, base=base, token=token, text=text, problem=f"Not sent. {problem}", status=409)
    return RedirectResponse(f"{base}/room/{name}", 303)


async def open_room(request: Request) -> Response:
    """Redirect the form "open another room" to that room's address."""
    base = request.query_params.get("base", "")
    base = base if base in {f"/two/{side}" for side in guests.SIDES} else ""
    return RedirectResponse(f"{base}/room/{room_name(request.query_params.get('name', ''), 400)}", 303)


def room_name(text: str, status: int = 404) -> str:
    """The room's name in its normal form.

    Raises:
        HTTPException: it is not a valid name.
    """
    try:
        return clean_room_name(text)
    except NotAllowed as problem:
        raise HTTPException(status, str(problem)) from None


# ---- two people side by side, in frames


async def two(request: Request) -> Response:
    """Show two guests in one room, for a visitor who tries the chat alone."""
    return pages.two(room_name(request.query_params.get("room", "lobby")))


async def two_room(request: Request) -> Response:
    """Show one of the frames; a guest without a token gets a name and a token."""
    side, name = request.path_params["side"], room_name(request.path_params["room"])
    if side not in guests.SIDES:
        raise HTTPException(404)
    person = await signed_in(request)
    if person is None or not state.names.keep(person):
        if too_many_names(request):
            return pages.problem("Too many names were taken from your network. Try again soon.", status=429)
        person = guests.new_guest(side)
    token = guests.token_of(person)
    response = pages.room(name, person, base=f"/two/{side}", token=token)
    secure = request.url.scheme == "https"
    response.set_cookie(guests.COOKIE, token, path=f"/two/{side}", httponly=True, samesite="strict", secure=secure)
    return response


# ---- the rest


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
    """The request's body as text; answer 413 above ``most`` bytes."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise HTTPException(413, f"At most {most} bytes fit.")
    return data.decode(errors="replace")


async def not_here(_: Request, error: Exception) -> Response:
    """The error page for an unknown address or method."""
    assert isinstance(error, HTTPException)
    known = {404: "There is nothing at this address.", 405: "This address takes no such request."}
    text = (
        known.get(error.status_code, error.detail)
        if error.detail in ("Not Found", "Method Not Allowed")
        else error.detail
    )
    return pages.problem(text, status=error.status_code)


web.router.routes += [
    Route("/", home),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
    Route("/open-room", open_room),
    Route("/room/{room}", room),
    Route("/room/{room}/say", say, methods=["POST"]),
    Route("/two", two),
    Route("/two/{side}/room/{room}", two_room),
    Route("/two/{side}/room/{room}/say", say, methods=["POST"]),
    Route("/announce", announce, methods=["POST"]),
    Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
]
web.add_exception_handler(HTTPException, not_here)
