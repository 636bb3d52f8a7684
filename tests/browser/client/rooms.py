"""Routes with rooms that keep a history, or show who is in them."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from odac import Context, History, Odac, Presence

GRACE = 15.0
"""Seconds in which a page that was reloaded, or whose tab has handed over, is back on a busy machine, too."""


def add_rooms(app: Odac) -> None:
    """Add them to an app."""
    app.rooms("log-*", history=History(size=1000, ttl=600.0))
    app.rooms("tea-*", presence=Presence(grace=GRACE))
    app.rooms("club-*", presence=Presence(grace=GRACE), history=History(size=100, ttl=600.0))

    @app.route.ws("/log/{name}")
    async def log(odac: Context) -> None:
        """What is sent goes into the room's log; a page that comes the first time gets the last two."""
        room = f"log-{odac.request.data.url['name']}"
        odac.ws.join(room, replay=2)
        odac.ws.on("message", lambda data: odac.ws.to(room).send(data))

    app.route.auth.ws("/own-log/{name}", log)

    @app.route.ws("/once/{name}")
    async def once(odac: Context) -> None:
        """Join the room only where the client is new: it is not joined again."""
        if odac.ws.id.endswith(".0"):
            odac.ws.join(f"log-{odac.request.data.url['name']}")
        async for _ in odac.ws:
            pass

    @app.route.ws("/tea/{name}")
    @app.route.ws("/club/{name}")
    async def tea(odac: Context) -> None:
        """Be seen; what is sent is what the others see from then on."""
        room = odac.request.path.strip("/").replace("/", "-")
        odac.ws.join(room, presence={"says": "hello"})
        odac.ws.on("message", lambda data: odac.ws.join(room, presence={"says": data}))


async def say(request: Request, app: Odac) -> Response:
    """Append to a room's log, and answer when it is there."""
    data: Any = await request.json()
    await app.route.ws_server.to(request.path_params["room"]).send(data)
    return PlainTextResponse("said")
