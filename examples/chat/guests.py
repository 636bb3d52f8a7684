"""Two people in one browser, for the page /two: each frame has a signed token that identifies its guest.

A session cookie belongs to the whole browser, so it cannot distinguish two frames. The pages of a frame identify their
guest by a cookie for the frame's own path, and its WebSocket sends the same token as a bearer token.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from typing import Final

from odac.request import Request

from .core import app, setting, state
from .people import NotAllowed, Person

__all__ = ["COOKIE", "SIDES", "new_guest", "read", "token_of"]

SIDES: Final = ("left", "right")
COOKIE: Final = "guest"
NAMES: Final = ("Ada", "Hedy", "Radia", "Annie", "Joan", "Grace", "Barbara", "Katherine", "Margaret", "Frances")

_KEY = (setting("ODAC_SECRET") or secrets.token_urlsafe(32)).encode()


@app.authenticate
def guest(request: Request) -> dict[str, str] | None:
    """The guest of a connection, by the bearer token that it sent; None without one: then Odac uses the session."""
    person = read(request.bearer)
    return person.as_json() if person else None


def new_guest(side: str) -> Person:
    """A person with a name that is free. The two frames try the names in a different order."""
    names = NAMES[:5] if side == SIDES[0] else NAMES[5:]
    for name in (*names, *(f"{name} {secrets.randbelow(9_000) + 1_000}" for name in names)):
        try:
            return state.names.sign_in(name)
        except NotAllowed:
            continue
    raise NotAllowed("Too many guests are here just now.")


def token_of(person: Person) -> str:
    """A signed text that identifies a person."""
    text = base64.urlsafe_b64encode(json.dumps(person.as_json()).encode()).decode()
    return f"{text}.{_signature(text)}"


def read(token: str | None) -> Person | None:
    """The person that a token identifies; None if this chat has not signed it."""
    text, _, signature = (token or "").partition(".")
    if not text or not hmac.compare_digest(_signature(text).encode(), signature.encode()):
        return None
    return Person(**json.loads(base64.urlsafe_b64decode(text)))


def _signature(text: str) -> str:
    return hmac.digest(_KEY, b"a guest of the chat\0" + text.encode(), "sha256").hex()
