import os

import socketio

redis = os.environ.get("PEER_REDIS")
manager = socketio.AsyncRedisManager(redis) if redis else None
sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*", client_manager=manager)


@sio.event
async def connect(sid, environ):
    await sio.enter_room(sid, "r")


@sio.on("echo")
async def echo(sid, d):
    await sio.emit("echo", d, to=sid)


@sio.on("room")
async def room(sid, d):
    await sio.emit("room", d, room="r")


app = socketio.ASGIApp(sio)
