"""The peer of ``benchmarks.calls``: an event whose handler returns its acknowledgement."""

from __future__ import annotations

import socketio

server = socketio.AsyncServer(async_mode="asgi")
app = socketio.ASGIApp(server)


@server.on("move")
async def move(sid, data):
    return data
