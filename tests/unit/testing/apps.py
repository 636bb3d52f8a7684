"""An app as users write them, for the tests of the test client."""

from __future__ import annotations

import asyncio
from typing import Any

from odac import Context, Odac

SECRET = "a secret of the tests, long enough to be one"


def make_app(**options: Any) -> Odac:
    app = Odac(SECRET, **options)

    @app.route.ws("/echo")
    def echo(odac: Context) -> None:
        odac.ws.on("message", odac.ws.send)

    @app.route.ws("/open", token=False)
    def open_to_all(odac: Context) -> None:
        odac.ws.on("message", odac.ws.send)

    @app.route.auth.ws("/secure")
    async def secure(odac: Context) -> None:
        odac.ws.send(await odac.auth.user())

    @app.route.ws("/room/{name}")
    async def room(odac: Context) -> None:
        name = odac.request.data.url["name"]
        odac.ws.join(name)
        async for data in odac.ws:
            odac.ws.to(name).send(data)

    @app.route.ws("/request", token=False)
    def request(odac: Context) -> None:
        asked = odac.request
        odac.ws.send(
            [asked.ip, asked.header("x-key"), asked.cookie("lang"), asked.query.get("page"), asked.header("host")]
        )

    @app.route.ws("/late", token=False)
    async def late(odac: Context) -> None:
        async for data in odac.ws:
            await asyncio.sleep(30)
            odac.ws.send(data)

    @app.route.ws("/tick", token=False)
    def tick(odac: Context) -> None:
        odac.set_interval(10, lambda: odac.ws.send("tick"))
        odac.set_timeout(25, lambda: odac.ws.close(4000, "enough"))

    @app.route.ws("/fail", token=False)
    async def fail(odac: Context) -> None:
        raise ZeroDivisionError

    @app.middleware("closed")
    def closed(odac: Context) -> bool:
        return False

    app.route.use("closed").ws("/closed", secure)
    return app
