"""The HTML pages: templates filled with escaped text, with a policy that blocks foreign and inline scripts."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from string import Template

from starlette.responses import HTMLResponse

from .core import KEEPS
from .messages import LONGEST_MESSAGE, REACTIONS
from .people import LONGEST_NAME, Person

_PAGES = Path(__file__).parent / "pages"

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def sign_in(*, name: str = "", next_room: str = "lobby", problem: str = "", status: int = 200) -> HTMLResponse:
    """The page that asks for a name; ``problem`` is the reason why the last one was refused."""
    return _page("sign_in", status, name=name, room=next_room, longest=str(LONGEST_NAME), problem=problem)


def room(
    name: str,
    person: Person,
    *,
    base: str = "",
    token: str = "",
    text: str = "",
    problem: str = "",
    status: int = 200,
) -> HTMLResponse:
    """The page of one room for one person.

    Args:
        name: the room's name.
        person: the person.
        base: the prefix of the addresses of rooms: in the page /two, the frame's path.
        token: the bearer token of the frame's guest.
        text: the text of a refused message.
        problem: the reason why it was refused.
        status: the HTTP status.
    """
    settings = {
        "room": name,
        "id": person.id,
        "name": person.name,
        "base": base,
        "token": token,
        "longest": LONGEST_MESSAGE,
        "reactions": REACTIONS,
        "keeps": KEEPS,
    }
    return _page(
        "room",
        status,
        frame="'self'" if base else "'none'",
        room=name,
        name=person.name,
        base=base,
        text=text,
        problem=problem,
        settings=json.dumps(settings),
    )


def two(room_name: str) -> HTMLResponse:
    """The page with two people side by side."""
    return _page("two", 200, room=room_name)


def problem(text: str, *, status: int) -> HTMLResponse:
    """An error page with a link to the lobby."""
    return _page("problem", status, problem=text)


def _page(template: str, status: int, frame: str = "'none'", **values: str) -> HTMLResponse:
    text = (_PAGES / f"{template}.html").read_text(encoding="utf-8")
    html = Template(text).substitute({key: escape(value) for key, value in values.items()})
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        f"worker-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {frame}"
    )
    return HTMLResponse(html, status_code=status, headers={**_HEADERS, "Content-Security-Policy": policy})
