"""A page that shows where everybody points.

::

    odac run examples.cursors.app:app

Open http://127.0.0.1:8000 in two windows beside each other, and move the pointer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from odac import Context, Odac, Presence, RateLimit

HERE = Path(__file__).parent
COLORS = ("#d6336c", "#1c7ed6", "#2f9e44", "#e8590c", "#7048e8", "#0c8599")


class You(TypedDict):
    """What each window is sent first: the id of its own connection."""

    you: str


async def page(request: Request) -> FileResponse:
    """The page."""
    return FileResponse(HERE / "page.html")


app = Odac(http=Starlette(routes=[Route("/", page)]))
# A cursor that is gone for a second was only a lost connection or a reload.
app.rooms("page", presence=Presence(grace=3.0, limit=50))


@app.route.ws("/cursors/{name}", token=False, sends=You, rate_limit=RateLimit(40, 1.0))
async def cursors(odac: Context[Any, You]) -> None:
    """One window: it says where its pointer is, in thousandths of the page's width and height."""
    name = odac.request.data.url["name"][:20]
    color = COLORS[sum(odac.ws.id.encode()) % len(COLORS)]
    me = {"id": odac.ws.id, "name": name, "color": color}
    odac.ws.join("page", presence=me)
    odac.ws.send(You(you=odac.ws.id))
    async for message in odac.ws:
        match message:
            case [int(x), int(y)] if 0 <= x <= 1000 and 0 <= y <= 1000:
                odac.ws.join("page", presence={**me, "at": [x, y]})
