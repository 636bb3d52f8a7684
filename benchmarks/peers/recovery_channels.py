"""Django Channels for ``python -m benchmarks.recovery``, with its Redis layer, under uvicorn."""

from __future__ import annotations

import sys
from typing import Any

import django
import uvicorn
from django.conf import settings

settings.configure(
    SECRET_KEY="x" * 50,
    ALLOWED_HOSTS=["*"],
    CHANNEL_LAYERS={
        "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [sys.argv[2]]}}
    },
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer


class Room(AsyncWebsocketConsumer):  # type: ignore[misc]
    """A member of the room."""

    async def connect(self) -> None:
        """Join."""
        await self.channel_layer.group_add("room", self.channel_name)
        await self.accept()

    async def say(self, event: Any) -> None:
        """A message to the room."""
        await self.send(text_data=str(event["number"]))

    async def disconnect(self, code: int) -> None:
        """Leave."""
        await self.channel_layer.group_discard("room", self.channel_name)


room = Room.as_asgi()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The consumer, and the endpoint that sends a number to the room."""
    if scope["type"] == "websocket":
        await room(scope, receive, send)
        return
    number = int(scope["path"].rpartition("/")[2])
    await get_channel_layer().group_send("room", {"type": "say", "number": number})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


uvicorn.run(app, port=int(sys.argv[1]), lifespan="off", log_level="error")
