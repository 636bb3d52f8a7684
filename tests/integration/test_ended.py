"""Ended connections leave nothing that only the garbage collector could free."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections import Counter
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from odac import Context, History, Odac, Presence
from tests.cyclic_garbage import cyclic_garbage
from tests.integration.harness import DEADLINE, Probe, Server

MANY = 4
MARK = "\x1e"
OF_ONE_CONNECTION = {
    *("Connection", "Inbox", "Outbox", "Events", "Released", "Extras", "Owned", "Timer", "Pings", "MessageQueue"),
    *("DirectLane", "AsgiLane", "AsgiHandshake", "PacedReading", "Parser", "ClosingHandshake", "WebSocketProtocol"),
    *("Entrance", "Admission", "Context", "Request", "Authentication", "Session"),
    *("ConnectionCalls", "ServerCalls", "Answering", "Call", "Cursor", "Messages"),
}
"""The classes of what each connection has of its own."""

kept: ContextVar[Any] = ContextVar("kept")


def build(probe: Probe) -> Odac:
    app = Odac(secret="x" * 32)
    app.rooms("kept", history=History(), presence=Presence())

    @app.authenticate
    async def user(request: Any) -> Any:
        await asyncio.sleep(0)
        return {"id": "ada"}

    @app.middleware("waits")
    async def waits(odac: Context) -> bool:
        await asyncio.sleep(0)
        return True

    @app.route.ws("/listener", token=False)
    def listener(odac: Context) -> None:
        odac.ws.on("message", odac.ws.send)

    class Chat:
        def __call__(self, odac: Context) -> None:
            odac.ws.on("message", lambda data: odac.ws.send(data))

    app.route.ws("/object", Chat(), token=False)

    @app.route.ws("/listeners", token=False)
    def listeners(odac: Context) -> None:
        @odac.ws.on("message")
        async def first(data: Any) -> None:
            await asyncio.sleep(0)
            odac.ws.send(data)

        @odac.ws.on("message")
        def second() -> None:
            odac.ws.data.last = odac.ws.id

        @odac.ws.on("close")
        async def closed(code: int) -> None:
            await asyncio.sleep(0)
            odac.ws.data.code = code

    @app.route.ws("/iterates", token=False)
    async def iterates(odac: Context) -> None:
        odac.ws.join("room")
        odac.ws.to("room").send("hello")
        async for data in odac.ws:
            odac.ws.send(data)

    @app.route.ws("/owns", token=False)
    def owns(odac: Context) -> None:
        odac.ws.data.timer = odac.set_interval(DEADLINE, lambda: odac.ws.send(1))
        odac.ws.data.past = odac.set_timeout(0, lambda: odac.ws.data)
        odac.create_task(asyncio.sleep(DEADLINE))
        odac.ws.ping()
        odac.ws.on("message", odac.ws.send)

    @app.route.ws("/context", token=False)
    def context(odac: Context) -> None:
        kept.set(odac)

        @odac.ws.on("message")
        def echo(data: Any) -> None:
            kept.set([odac])
            odac.ws.send(data)

    @app.route.ws("/late", token=False)
    def late(odac: Context) -> None:
        """Something is set in the context of the connection only when it ends."""
        odac.ws.on("message", odac.ws.send)

        @odac.ws.on("close")
        def closed() -> None:
            kept.set(odac)

    @app.route.ws("/raises", token=False)
    def raises(odac: Context) -> None:
        @odac.ws.on("message")
        def fail(data: Any) -> None:
            odac.ws.send(data)
            raise ValueError(data)

        odac.ws.on("error", lambda error: odac.ws.close(1011, str(error)))

    @app.route.auth.use("waits").ws("/guarded")
    async def guarded(odac: Context) -> None:
        await odac.auth.user()
        odac.ws.on("message", lambda data: odac.ws.send(data))

    @app.route.ws("/unread", token=False)
    def unread(odac: Context) -> None:
        odac.ws.send("x")

    @app.route.ws("/kept", token=False)
    async def keeps(odac: Context) -> None:
        await odac.ws.join("kept", presence={"name": "Ada"})
        await odac.ws.to("kept").send("hello")
        odac.ws.on("message", odac.ws.send)

    calls = app.route.ws("/calls", token=False)

    @calls
    def begin(odac: Context) -> None:
        odac.create_task(odac.ws.call("never", timeout=DEADLINE))
        odac.ws.on("message", odac.ws.send)

    @calls.answer("double")
    async def double(odac: Context, number: Any) -> Any:
        await asyncio.sleep(0)
        return 2 * number

    @calls.answer("stuck")
    async def stuck(odac: Context) -> None:
        await asyncio.sleep(DEADLINE)

    return app


def found(server: Server) -> Counter[str]:
    """Odac's own objects that only the garbage collector can free."""
    for _ in range(20):
        server.call(lambda: None)  # tasks that were cancelled end in the next turns
    names = cyclic_garbage("odac", collect=lambda: server.call(gc.collect))
    return Counter(name for name in names if name in OF_ONE_CONNECTION)


def use(client: ClientConnection, path: str) -> None:
    """Have the handler do what it does with a message."""
    if path == "/calls":
        client.send(MARK + '["call",1,"double",4]')
        client.send(MARK + '["call",2,"stuck",null]')
        while '["reply",1,8]' not in client.recv(DEADLINE):
            pass
    client.send("one")
    wanted = "x" if path == "/unread" else "one"
    while client.recv(DEADLINE) != wanted:
        pass


PATHS = [
    "/listener",
    "/object",
    "/listeners",
    "/iterates",
    "/owns",
    "/context",
    "/late",
    "/raises",
    "/guarded",
    "/unread",
    "/kept",
    "/calls",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("end", ["close", "cut"])
@pytest.mark.usefixtures("collector")
def test_an_ended_connection_is_freed_without_the_garbage_collector(server: Server, path: str, end: str) -> None:
    def one() -> None:
        v1 = path in ("/guarded", "/kept", "/calls")
        with server.connect(path, token=path == "/guarded", v1=v1) as client:
            use(client, path)
            if end == "cut":
                with suppress(OSError):  # the server was first
                    client.socket.shutdown(socket.SHUT_RDWR)

    one()  # what is made once and forgotten is not a connection's
    server.wait_until_empty()
    found(server)
    for _ in range(MANY):
        try:
            one()
        except ConnectionClosed:
            assert path == "/raises"
    server.wait_until_empty()
    assert found(server) == {}
