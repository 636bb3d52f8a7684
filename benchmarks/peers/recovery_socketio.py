"""python-socketio for ``python -m benchmarks.recovery``, with its Redis manager: the server's process restarts, too."""

from __future__ import annotations

import sys
from typing import Any

import socketio
import uvicorn

server = socketio.AsyncServer(async_mode="asgi", client_manager=socketio.AsyncRedisManager(sys.argv[2]))


@server.event
async def connect(sid: str, environ: Any) -> None:
    """Join."""
    await server.enter_room(sid, "room")


async def http(scope: Any, receive: Any, send: Any) -> None:
    """Send a number to the room."""
    if scope["type"] == "http":
        await server.emit("message", int(scope["path"].rpartition("/")[2]), room="room")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


uvicorn.run(socketio.ASGIApp(server, http), port=int(sys.argv[1]), lifespan="off", log_level="error")
