"""Odac for ``python -m benchmarks.recovery``: one room with history; ``GET /say/<n>`` sends a number to it."""

from __future__ import annotations

from typing import Any

from odac import Context, History, Odac


async def http(scope: Any, receive: Any, send: Any) -> None:
    """Answer when the broker has the message."""
    number = int(scope["path"].rpartition("/")[2])
    await app.route.ws_server.to_room("room", number)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


app = Odac("a secret that is long enough for all", http=http)
app.rooms("room", history=History(size=5000))


@app.route.ws("/room", token=False)
async def room(odac: Context) -> None:
    """Join."""
    odac.ws.join("room")
    async for _ in odac.ws:
        pass
