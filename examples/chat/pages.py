"""The HTML pages: templates filled with escaped text, under a policy that lets no foreign or inline code run."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from starlette.responses import HTMLResponse

from .people import LONGEST_NAME, Person

_PAGES = Path(__file__).parent / "pages"

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def sign_in(*, name: str = "", next_room: str = "lobby", problem: str = "", status: int = 200) -> HTMLResponse:
    """The page that asks for a name; ``problem`` says what was wrong with the last one."""
    return _page("sign_in", status, name=name, room=next_room, longest=str(LONGEST_NAME), problem=problem)


def room(name: str, person: Person) -> HTMLResponse:
    """One room, as this person sees it."""
    return _page("room", 200, room=name, id=person.id, name=person.name)


def problem(text: str, *, status: int) -> HTMLResponse:
    """A page that says what is wrong and leads back to the lobby."""
    return _page("problem", status, problem=text)


def _page(template: str, status: int, **values: str) -> HTMLResponse:
    text = (_PAGES / f"{template}.html").read_text(encoding="utf-8")
    html = Template(text).substitute({key: escape(value) for key, value in values.items()})
    return HTMLResponse(html, status_code=status, headers=_HEADERS)
