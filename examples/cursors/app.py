"""A page that shows the cursors of all its visitors, by presence.

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
    """The first message to each window: the id of its own connection."""

    you: str


async def page(request: Request) -> FileResponse:
    """Serve the page."""
    return FileResponse(HERE / "page.html")


app = Odac(http=Starlette(routes=[Route("/", page)]))
# The grace period keeps a visitor in the list during a reload or a short loss of the connection.
app.rooms("page", presence=Presence(grace=3.0, limit=50))


@app.route.ws("/cursors/{name}", token=False, sends=You, rate_limit=RateLimit(40, 1.0))
async def cursors(odac: Context[Any, You]) -> None:
    """The connection of one window, which sends its pointer's position in thousandths of the page's size."""
    name = odac.request.data.url["name"][:20]
    color = COLORS[sum(odac.ws.id.encode()) % len(COLORS)]
    me = {"id": odac.ws.id, "name": name, "color": color}
    odac.ws.join("page", presence=me)
    odac.ws.send(You(you=odac.ws.id))
    async for message in odac.ws:
        match message:
            case [int(x), int(y)] if 0 <= x <= 1000 and 0 <= y <= 1000:
                odac.ws.join("page", presence={**me, "at": [x, y]})
