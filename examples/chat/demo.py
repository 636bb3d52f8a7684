"""What the chat has for showing: faults on request, and a first visit that finds something to read."""

from __future__ import annotations

import asyncio
import os
import signal
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from odac import CallError, CloseCode, Context
from odac.request import Request

from .archive import archive_of
from .core import KEEPS, app, me, setting
from .messages import now_ms
from .rooms import LOBBY

__all__ = ["CUT_FOR", "can_kill", "cut", "kill", "seed_lobby", "worker"]

CUT_FOR: Final = 5.0
"""Seconds for which a connection stays away that was cut on request: less than the grace, so that nobody "left"."""


def worker() -> str:
    """The name of this process."""
    return str(os.getpid())


# ---- "Cut my connection"

_cut_until: dict[str, float] = {}


@app.middleware("cut")
async def keep_away(odac: Context[Any, Any]) -> None:
    """Let a person who cut their connection wait before they come back."""
    if not _cut_until:
        return
    user = await odac.auth.user()
    now = asyncio.get_running_loop().time()
    for id_, until in list(_cut_until.items()):
        if until <= now:
            del _cut_until[id_]
    await asyncio.sleep(max(0.0, _cut_until.get(user["id"], now) - now) if user else 0)


def cut(odac: Context[Any, Any]) -> None:
    """End the caller's own connections to rooms, which come back by themselves."""
    person = me(odac)
    _cut_until[person.id] = asyncio.get_running_loop().time() + CUT_FOR
    for client in list(app.route.ws_server.clients.values()):
        if getattr(client.data, "here", None) and client.data.me == person:
            client.close(CloseCode.SERVICE_RESTART, "cut on request")


# ---- "Kill this worker"


def can_kill(request: Request) -> bool:
    """Whether this page may end the process: with ``CHAT_DEMO=1``, from a browser on this very machine, no proxy."""
    return setting("CHAT_DEMO") == "1" and is_this_machine(request)


def is_this_machine(request: Request) -> bool:
    """Whether the browser runs here and asked for this machine by its own name, without a proxy between.

    The Host header has to be a name of this machine, so that no name that somebody else's DNS points here will do. So
    has Origin, which every browser sends with a handshake and a proxy passes on: a proxy that sets its own Host and adds
    no header does not make its visitors local.
    """
    if any(request.header(name) for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via")):
        return False
    asked, page = urlsplit(f"//{request.header('host') or ''}"), urlsplit(request.header("origin") or "")
    return all(_is_loopback(address) for address in (request.ip, asked.hostname, page.hostname))


def _is_loopback(address: str | None) -> bool:
    if address == "localhost":
        return True
    try:
        return ip_address(address or "").is_loopback
    except ValueError:
        return False


def kill(odac: Context[Any, Any]) -> None:
    """End this process as a crash does; with ``--workers``, another one takes its place."""
    if not can_kill(odac.request):
        raise CallError("refused", "This chat lets nobody kill its workers.")
    os.kill(os.getpid(), signal.SIGKILL)


# ---- the first visit

_SEEDED: list[bool] = []

_LINES = (
    (26, "Mina", "Does anybody know why nothing gets lost in here?"),
    (25, "Otto", "The room keeps its messages, and each page its place. A page that comes back gets what it missed."),
    (24, "Mina", "Even if the server is killed?"),
    (23, "Otto", "Try it: click on the green dot beside the room’s name, and cut your connection."),
    (2, "Guide", "Welcome. Write something, and open this page a second time: at /two there are two people in one."),
)


async def seed_lobby() -> None:
    """Say something in a lobby in which nothing is said. Two workers that do it at once say the same messages."""
    if _SEEDED or not KEEPS:
        return
    _SEEDED.append(True)
    try:
        if (await archive_of(LOBBY)).messages:
            return
    except CallError:
        _SEEDED.clear()  # the next one who enters tries again
        return
    for number, (minutes, name, text) in enumerate(_LINES):
        message = {
            "type": "message",
            "id": f"guide.{number}",
            "from": {"id": f"guide-{name}", "name": name},
            "text": text,
            "at": now_ms() - minutes * 60_000,
        }
        app.route.ws_server.to_room(LOBBY, message)


def forget_seeds() -> None:
    """Another run of the app begins."""
    _SEEDED.clear()
    _cut_until.clear()
