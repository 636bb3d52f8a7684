"""Live connections are left out of garbage collections; ended ones, and what the application made with them, are not."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from weakref import getweakrefs, ref

import pytest
import uvloop
from uvicorn.config import Config
from uvicorn.server import ServerState

from odac import Context, Odac
from odac.lanes import collector as module
from odac.lanes.collector import collector, reference_track, untrack
from odac.lanes.direct import DirectLane
from odac.realtime.connection import Connection
from odac.serving.protocols.http import HttpProtocol
from odac.serving.protocols.websocket import WebSocketProtocol
from odac.speedups import COMPILED
from odac.wire.frames import TEXT, encode_masked_frame
from tests.unit.lanes.test_direct import Site

compiled_only = pytest.mark.skipif(not COMPILED, reason="not compiled here: no C compiler, or ODAC_SPEEDUPS=0")
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Thing:
    """An object of the application."""


@pytest.fixture
def spares() -> Iterator[None]:
    """Live connections are left out; the garbage collector runs only when it is called."""
    gc.disable()
    collector.spare_live()
    yield
    collector.stop([])
    gc.enable()


class Door:
    """An app over loopback, on the event loop that runs.

    Args:
        handler: of the route.
        middleware: the route's, if it has one.
        is_wrapped: whether another ASGI app calls this one, so that each handshake has a task.
    """

    def __init__(
        self,
        handler: Callable[[Context], object],
        middleware: Callable[[Context], object] | None = None,
        is_wrapped: bool = False,
    ) -> None:
        self.app = Odac(secret="x" * 32)
        route: Any = self.app.route
        if middleware is not None:
            self.app.middleware("gate")(middleware)
            route = route.use("gate")
        route.ws("/", handler, token=False)
        self.config = Config(self.app, http=HttpProtocol, ws=WebSocketProtocol, proxy_headers=False, access_log=False)
        self.config.load()
        self.config.loaded_app = self._wrapping if is_wrapped else self.app
        self.state = ServerState()

    async def _wrapping(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    async def __aenter__(self) -> Door:
        await self.app.startup()
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: HttpProtocol(self.config, self.state, {}, loop), "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        for lane in list(self.state.connections):  # of a test that has failed: the server would wait for them
            lane.abort()  # type: ignore[union-attr]
        self.server.close()
        await self.server.wait_closed()
        await self.app.shutdown()

    async def connect(self, headers: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.server.sockets[0].getsockname())
        writer.write(HANDSHAKE[:-2] + headers + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        return reader, writer

    async def ended(self) -> None:
        """Wait until no connection is left, and nothing but the application refers to what is left of them."""
        while self.state.connections:
            await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.sleep(0)  # uvloop frees the transport after it has reported its end
        heartbeat: Any = self.app._hub._heartbeat
        heartbeat._to_ping.clear()  # which would forget the connection when its ping is due


def on_uvloop(main: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())  # type: ignore[arg-type]


@compiled_only
@pytest.mark.usefixtures("spares")
def test_the_parts_of_a_connection_are_left_out_until_its_end() -> None:
    site = Site()
    parts = site.lane, site.connection, site.connection.outbox, site.connection.inbox
    gc.collect()
    assert not any(gc.is_tracked(part) for part in parts)
    site.lane.connection_lost(None)
    assert all(gc.is_tracked(part) for part in parts)
    site.close()


def test_nothing_is_left_out_where_no_server_asks_for_it() -> None:
    site = Site()
    assert not collector.spares
    assert gc.is_tracked(site.lane)
    site.close()


@compiled_only
@pytest.mark.usefixtures("spares")
def test_a_transport_of_uvloop_is_left_out_until_its_end() -> None:
    async def main() -> None:
        async with Door(lambda odac: None) as door:
            _, writer = await door.connect()
            lane: Any = next(iter(door.state.connections))
            transport = lane._transport
            own = [each for each in gc.get_referents(transport) if type(each) is list or callable(each)]
            own += [transport, transport.get_extra_info("socket"), *getweakrefs(transport)]
            mine = [each for each in own if not isinstance(each, DirectLane)]
            assert len(mine) >= 4
            assert not [each for each in mine if gc.is_tracked(each)]
            tracked: list[bool] = []
            lane._connection.call_on_release(lambda _: tracked.extend(gc.is_tracked(each) for each in mine))
            writer.close()
            await door.ended()
            assert len(tracked) == len(mine)
            assert all(tracked[1:])

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
@pytest.mark.parametrize("end", ["close", "cut", "the server closes"])
def test_an_ended_connection_is_freed_without_a_collection(end: str) -> None:
    async def main() -> None:
        things: list[ref[Thing]] = []
        sockets: list[Any] = []

        def handler(odac: Context) -> None:
            odac.ws.data.thing = thing = Thing()
            things.append(ref(thing))
            sockets.append(odac.ws.close)
            odac.ws.on("message", lambda data: odac.ws.send(data))

        async with Door(handler) as door:
            _, writer = await door.connect()
            gc.collect()
            if end == "close":
                writer.write(encode_masked_frame(8, b"\x03\xe8", b"abcd"))
            elif end == "cut":
                writer.transport.abort()
            else:
                sockets[0]()
                writer.write(encode_masked_frame(8, b"\x03\xe8", b"abcd"))
            sockets.clear()
            await door.ended()
            assert things[0]() is None
            writer.close()

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
@pytest.mark.parametrize("kind", ["data", "listener", "context", "request"])
def test_a_cycle_of_the_application_is_collected_after_the_end(kind: str) -> None:
    async def main() -> None:
        things: list[ref[Thing]] = []

        def handler(odac: Context) -> None:
            thing: Any = Thing()
            things.append(ref(thing))
            if kind == "data":
                odac.ws.data.itself = odac.ws
                odac.ws.data.thing = thing
            elif kind == "listener":
                thing.ws = odac.ws
                odac.ws.data.thing = thing
                thing.listener = odac.ws.on("message", lambda data: thing.ws.send(data))
            elif kind == "context":
                thing.context = odac
                odac.ws.data.thing = thing
            else:
                thing.request = odac.request
                odac.request.scope["thing"] = thing  # type: ignore[index]

        async with Door(handler) as door:
            _, writer = await door.connect()
            if kind != "request":
                gc.collect()
                assert things[0]() is not None
            writer.close()
            await door.ended()
            assert things[0]() is not None, "no cycle, so this test shows nothing"
            gc.collect()
            assert things[0]() is None

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
def test_a_collection_frees_nothing_of_a_live_connection() -> None:
    class Echo:
        def __init__(self, ws: Connection) -> None:
            self.ws = ws
            self.itself = self  # only the connection, which is left out, refers to it from outside

        def __call__(self, data: object) -> None:
            self.ws.send(data)

    def handler(odac: Context) -> None:
        odac.ws.on("message", Echo(odac.ws))

    async def main() -> None:
        async with Door(handler) as door:
            reader, writer = await door.connect()
            for number in range(3):
                gc.collect()
                writer.write(encode_masked_frame(TEXT, b"%d" % number, b"abcd"))
                assert await reader.readexactly(3) == b"\x81\x01%d" % number
            writer.close()
            await door.ended()

    on_uvloop(main)


@compiled_only
def test_a_stopped_server_leaves_out_none_of_what_has_not_ended() -> None:
    gc.disable()
    try:
        collector.spare_live()
        site = Site()
        site.connection.data.thing = thing = Thing()
        found = ref(thing)
        collector.stop([site.lane, object()])
        assert not collector.spares
        site.close()
        site.transport.protocol = None
        del site, thing
        assert found() is not None, "no cycle, so this test shows nothing"
        gc.collect()
        assert found() is None
    finally:
        gc.enable()


@compiled_only
def test_a_connection_that_the_stopped_server_does_not_know_is_collected_after_its_end() -> None:
    collector.spare_live()
    site = Site()  # of a uvicorn in the same process, which Odac did not start
    parts = site.lane, site.connection, site.connection.outbox, site.connection.inbox
    collector.stop([])
    assert not any(gc.is_tracked(part) for part in parts)
    site.lane.connection_lost(None)
    assert all(gc.is_tracked(part) for part in parts)
    site.close()


@compiled_only
def test_the_last_of_several_servers_ends_it() -> None:
    collector.spare_live()
    collector.spare_live()
    collector.stop([])
    assert collector.spares
    collector.stop([])
    assert not collector.spares


@compiled_only
def test_only_lists_and_methods_of_the_transport_alone_are_left_out_with_it() -> None:
    shared: list[object] = []
    holder: Any = [[], shared, {}.get, {"a": []}]
    untrack(holder, "no object of the collector's", 7)
    assert not gc.is_tracked(holder)
    assert [gc.is_tracked(each) for each in holder] == [False, True, False, True]
    module.track(holder)
    assert [gc.is_tracked(each) for each in (holder, *holder)] == [True] * 5
    untrack(None)


def test_without_the_compiled_part_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPILED", False)
    collector.spare_live()
    assert not collector.spares
    thing = Thing()
    reference_track(None, thing)
    assert gc.is_tracked(thing)
    collector.stop([])
