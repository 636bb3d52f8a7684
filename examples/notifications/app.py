"""Notifications that every tab shows over one connection.

::

    odac run examples.notifications.app:app

Open http://127.0.0.1:8000 in several tabs, and look at the number of connections: it stays at 1.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from odac import Context, Odac

HERE = Path(__file__).parent
numbers = itertools.count(1)


class Notification(TypedDict):
    """What everybody is sent, and how many connections there are."""

    number: int
    connections: int


async def page(request: Request) -> FileResponse:
    """The page."""
    return FileResponse(HERE / "page.html")


async def notify(request: Request) -> JSONResponse:
    """Notify everybody."""
    hub = app.route.ws_server
    hub.broadcast(Notification(number=next(numbers), connections=hub.client_count))
    return JSONResponse({"told": hub.client_count})


app = Odac(
    http=Starlette(
        routes=[
            Route("/", page),
            Route("/notify", notify, methods=["POST"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]
    )
)


@app.route.ws("/notifications", sends=Notification)
def notifications(odac: Context[Any, Notification]) -> None:
    """Nothing to do: who is connected gets what is broadcast."""
