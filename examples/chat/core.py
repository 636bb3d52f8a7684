"""What the chat's modules share: the app, the pages' Starlette, and what this process knows.

Settings come from the environment:

``ODAC_SECRET``
    signs the sessions; without it, all users have to sign in again after a restart.
``CHAT_ADMIN_KEY``
    lets its holder make announcements; without it, one is made at each start and printed.
``CHAT_URL``
    where the chat is, for what is printed.
``CHAT_DEMO``
    ``1`` shows the button "Kill this worker" to pages on this machine: see demo.py.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.applications import Starlette

from odac import Context, History, Limits, Odac, Presence

from .people import Names, Paces, Person
from .rooms import Rooms

GRACE: Final = 6.0
"""Seconds between the end of a person's last tab and "left": reloading a page is not leaving."""
KEPT: Final = 10_000
"""Messages, edits and reactions of one room; older ones are forgotten."""
KEPT_FOR: Final = 86_400.0
"""Seconds for which a room keeps them."""

# A chat in one process has few clients: two seconds suffice to spread their return after a restart.
web = Starlette()
app = Odac(http=web, limits=Limits(drain_timeout=2.0))

KEEPS: Final = not app.broker_url.startswith(("nats://", "tls://"))
"""Whether the broker keeps what was said. NATS does not."""

# Who is here: on all workers, and a page that is loaded again has not left.
# And what was said: a page that comes back gets what it missed, over any worker.
app.rooms(
    "*",
    presence=Presence(grace=GRACE, limit=200),
    history=History(size=KEPT, ttl=KEPT_FOR, max_bytes=8 * 1024 * 1024) if KEEPS else None,
)


@dataclass
class State:
    """What this process knows. A real chat keeps the names and the rooms in a database."""

    names: Names = field(default_factory=Names)
    rooms: Rooms = field(default_factory=Rooms)
    messages: Paces = field(default_factory=lambda: Paces(burst=5, seconds=1.0))
    lookups: Paces = field(default_factory=lambda: Paces(burst=30, seconds=0.5))
    """Of older messages, searches and unread messages: each goes through a room's whole history."""
    entries: Paces = field(default_factory=lambda: Paces(burst=20, seconds=1.0))
    sign_ins: Paces = field(default_factory=lambda: Paces(burst=100, seconds=10.0))
    """Per address, of which an office has one for all of its people."""


state = State()


def me(odac: Context[Any, Any]) -> Person:
    """Whose connection this is; the middleware "rate-limit" has found it out."""
    person: Person = odac.ws.data.me
    return person


@app.middleware("rate-limit")
async def rate_limit(odac: Context[Any, Any]) -> bool:
    """Limit how often a user enters rooms, and attach the user's rate limit for messages; their tabs share both."""
    odac.ws.data.me = person = Person(**await odac.auth.user())
    odac.ws.data.pace = state.messages.of(person)
    return state.entries.of(person).wait() == 0


def setting(name: str, default: str = "") -> str:
    """A setting from the environment."""
    return os.environ.get(name) or default
