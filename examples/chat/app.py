"""The chat. Start it with ``make run``, or ``odac run examples.chat.app:app``; core.py lists its settings.

core.py      the app, its rooms' history and presence, and the state of this process
talk.py      a room over its WebSocket: messages, and calls that are answered
news.py      events of all rooms, over one connection that all tabs share
archive.py   older messages, search and unread messages, from the room's history
web.py       the pages over HTTP, with pages.py and guests.py
demo.py      faults on request, and the first messages of an empty lobby
messages.py, rooms.py, people.py, names.py   data and rules, without input or output
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from . import archive, demo, news, talk
from . import web as pages_over_http
from .core import app, setting, web

__all__ = ["app", "talk"]

logger = logging.getLogger("uvicorn.error")


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Keep the list of rooms up to date, and log how to make announcements."""
    archive.forget_all()
    demo.forget_seeds()
    telling = asyncio.create_task(news.tell_rooms_forever())
    if not setting("CHAT_ADMIN_KEY"):
        logger.info(
            "Announce something from a second terminal: "
            "curl -H 'Authorization: Bearer %s' -d 'The kettle is on' %s/announce",
            pages_over_http.ADMIN_KEY,
            setting("CHAT_URL", "http://127.0.0.1:8000"),
        )
    yield
    telling.cancel()


web.router.lifespan_context = lifespan
