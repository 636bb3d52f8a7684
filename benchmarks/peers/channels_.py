import os

import django
from django.conf import settings

LAYER = {"BACKEND": os.environ.get("PEER_LAYER", "channels.layers.InMemoryChannelLayer"), "CONFIG": {}}
if "PEER_REDIS" in os.environ:
    LAYER["CONFIG"]["hosts"] = [os.environ["PEER_REDIS"]]
if "pubsub" not in LAYER["BACKEND"]:
    LAYER["CONFIG"]["capacity"] = 10000

settings.configure(
    SECRET_KEY="x",
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": LAYER},
)
django.setup()
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path


class Echo(AsyncJsonWebsocketConsumer):
    async def receive_json(self, d):
        await self.send_json(d)


class Room(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add("r", self.channel_name)
        await self.accept()

    async def receive_json(self, d):
        await self.channel_layer.group_send("r", {"type": "m", "d": d})

    async def m(self, e):
        await self.send_json(e["d"])


app = ProtocolTypeRouter({"websocket": URLRouter([path("", Echo.as_asgi()), path("room", Room.as_asgi())])})
