"""Shared by the chat's modules: the app, the Starlette app of the pages, and the state of this process.

Environment variables:

``ODAC_SECRET``
    signs the sessions; without it, all users have to sign in again after a restart.
``CHAT_ADMIN_KEY``
    the key for making announcements; without it, a random one is printed at each start.
``CHAT_URL``
    the chat's address, for the printed command.
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
"""Seconds from the end of a person's last connection until the person counts as gone: a reload must not show."""
KEPT: Final = 10_000
"""Messages, edits and reactions that a room keeps; older ones are dropped."""
KEPT_FOR: Final = 86_400.0
"""Seconds for which a room keeps them."""

# A chat in one process has few clients: two seconds are enough to spread their reconnects after a restart.
web = Starlette()
app = Odac(http=web, limits=Limits(drain_timeout=2.0))

KEEPS: Final = not app.broker_url.startswith(("nats://", "tls://"))
"""Whether the broker can keep the rooms' history. NATS cannot."""

# Presence: the people in a room on all workers. The grace period covers the reload of a page.
# History: a page that reconnects, to any worker, gets the messages that it missed.
app.rooms(
    "*",
    presence=Presence(grace=GRACE, limit=200),
    history=History(size=KEPT, ttl=KEPT_FOR, max_bytes=8 * 1024 * 1024) if KEEPS else None,
)


@dataclass
class State:
    """The state of this process. A real chat keeps the names and the rooms in a database."""

    names: Names = field(default_factory=Names)
    rooms: Rooms = field(default_factory=Rooms)
    messages: Paces = field(default_factory=lambda: Paces(burst=5, seconds=1.0))
    lookups: Paces = field(default_factory=lambda: Paces(burst=30, seconds=0.5))
    """The rate of requests for older, matching and unread messages: each of them scans a room's whole history."""
    entries: Paces = field(default_factory=lambda: Paces(burst=20, seconds=1.0))
    sign_ins: Paces = field(default_factory=lambda: Paces(burst=100, seconds=10.0))
    """The rate per network address, which all people of an office may share."""


state = State()


def me(odac: Context[Any, Any]) -> Person:
    """The person of this connection; the middleware "rate-limit" has set it."""
    person: Person = odac.ws.data.me
    return person


@app.middleware("rate-limit")
async def rate_limit(odac: Context[Any, Any]) -> bool:
    """Limit how often a user enters rooms, and attach the user's rate limit for messages; their tabs share both."""
    odac.ws.data.me = person = Person(**await odac.auth.user())
    odac.ws.data.pace = state.messages.of(person)
    return state.entries.of(person).wait() == 0


def setting(name: str, default: str = "") -> str:
    """The value of an environment variable."""
    return os.environ.get(name) or default
