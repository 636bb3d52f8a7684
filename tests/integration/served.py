"""An app for servers in their own processes: ``tests.integration.served:app``."""

from __future__ import annotations

import asyncio

from odac import Context, Odac
from odac.request import Request
from tests.integration.harness import OpenRoutes

app = Odac(secret="x" * 32)
ws = OpenRoutes(app)


@app.authenticate
def find_user(request: Request) -> str | None:
    return request.header("x-user")


@app.middleware("no")
async def no(odac: Context) -> bool:
    await asyncio.sleep(0)
    return False


@ws("/kinds")
def kinds(odac: Context) -> None:
    odac.ws.send({"a": 1})
    odac.ws.send("text")
    odac.ws.send(b"binary")


@ws("/iterate")
async def iterate(odac: Context) -> None:
    async for data in odac.ws:
        await odac.ws.send(["got", data])


@ws("/room/{id:int}")
def room(odac: Context) -> None:
    here = odac.ws
    here.join("room")

    @here.on("message")
    def talk(data: object) -> None:
        here.send(1)
        here.to("room").send(2)
        here.send(3)
        here.to("room").excluding(here).send(data)
        here.broadcast(4, include_self=False)

    here.send(odac.request.data.url)


@ws("/close")
def close(odac: Context) -> None:
    odac.ws.send("last words")
    odac.ws.close(4242, "reason")


@ws("/close/{code:int}")
def close_with(odac: Context) -> None:
    odac.ws.close(odac.request.data.url["code"])


@ws("/raises")
def raises(odac: Context) -> None:
    odac.ws.on("message", lambda: 1 / 0)


@ws("/gone")
def gone(odac: Context) -> None:
    odac.ws.join("gone")
    odac.ws.on("close", lambda code: odac.ws.to("watchers").send(["left", code]))
    odac.ws.send("ready")


@ws("/watch")
def watch(odac: Context) -> None:
    odac.ws.join("watchers")
    odac.ws.send("ready")


app.route.auth.ws("/auth", kinds, token=False)
app.route.use("no").ws("/forbidden", kinds, token=False)
app.route.ws("/token", kinds)
