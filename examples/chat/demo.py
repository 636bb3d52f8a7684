"""For demonstrations: faults on request, and first messages in an empty lobby."""

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
"""Seconds before a person may reconnect after "Cut my connection": less than GRACE, so that the person stays listed."""


def worker() -> str:
    """The name of this process."""
    return str(os.getpid())


# ---- "Cut my connection"

_cut_until: dict[str, float] = {}


@app.middleware("cut")
async def keep_away(odac: Context[Any, Any]) -> None:
    """Delay the reconnects of a person who has cut their connection."""
    if not _cut_until:
        return
    user = await odac.auth.user()
    now = asyncio.get_running_loop().time()
    for id_, until in list(_cut_until.items()):
        if until <= now:
            del _cut_until[id_]
    await asyncio.sleep(max(0.0, _cut_until.get(user["id"], now) - now) if user else 0)


def cut(odac: Context[Any, Any]) -> None:
    """Close the caller's own connections to rooms; the clients reconnect by themselves."""
    person = me(odac)
    _cut_until[person.id] = asyncio.get_running_loop().time() + CUT_FOR
    for client in list(app.route.ws_server.clients.values()):
        if getattr(client.data, "here", None) and client.data.me == person:
            client.close(CloseCode.SERVICE_RESTART, "cut on request")


# ---- "Kill this worker"


def can_kill(request: Request) -> bool:
    """Whether this page may kill the process: with ``CHAT_DEMO=1``, from a browser on this machine, without a proxy."""
    return setting("CHAT_DEMO") == "1" and is_this_machine(request)


def is_this_machine(request: Request) -> bool:
    """Whether the browser runs on this machine, used a local name for it, and is connected without a proxy.

    The Host header must be a local name, so that a foreign DNS name that points to this machine is refused. So must
    Origin, which every browser sends with a handshake and proxies pass on: otherwise visitors behind a local proxy that
    sets its own Host and adds no headers would count as local.
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
    """Kill this process, as a crash would; with ``--workers``, the supervisor starts another one."""
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
    """Send messages to an empty lobby. Their ids are fixed, so that two workers cannot send them twice."""
    if _SEEDED or not KEEPS:
        return
    _SEEDED.append(True)
    try:
        if (await archive_of(LOBBY)).messages:
            return
    except CallError:
        _SEEDED.clear()  # retried when the next person enters
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
    """The app starts again."""
    _SEEDED.clear()
    _cut_until.clear()
