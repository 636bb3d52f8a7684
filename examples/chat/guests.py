"""Two people in one browser, for the page /two: each frame has a signed token that says who it is.

A session cookie is the whole browser's, so it cannot tell two frames apart. The frame's pages know their guest by a
cookie that is sent below the frame's own path, and its WebSocket by the same token as a bearer token.
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
    """Whose connection it is: a guest's, by the token that it sent first. Else Odac asks the session."""
    person = read(request.bearer)
    return person.as_json() if person else None


def new_guest(side: str) -> Person:
    """Somebody with a name that is free. The two sides do not try the same names first."""
    names = NAMES[:5] if side == SIDES[0] else NAMES[5:]
    for name in (*names, *(f"{name} {secrets.randbelow(9_000) + 1_000}" for name in names)):
        try:
            return state.names.sign_in(name)
        except NotAllowed:
            continue
    raise NotAllowed("Too many guests are here just now.")


def token_of(person: Person) -> str:
    """A text that says who somebody is, and that nobody else can write."""
    text = base64.urlsafe_b64encode(json.dumps(person.as_json()).encode()).decode()
    return f"{text}.{_signature(text)}"


def read(token: str | None) -> Person | None:
    """Whom a token names; None where it is none of this chat's."""
    text, _, signature = (token or "").partition(".")
    if not text or not hmac.compare_digest(_signature(text).encode(), signature.encode()):
        return None
    return Person(**json.loads(base64.urlsafe_b64decode(text)))


def _signature(text: str) -> str:
    return hmac.digest(_KEY, b"a guest of the chat\0" + text.encode(), "sha256").hex()
