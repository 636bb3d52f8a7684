from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from odac.config import Limits, RateLimit
from odac.lanes.asgi import AsgiLane
from odac.realtime.connection import Connection
from odac.realtime.policy import Policy
from tests.rate_clock import rate_clock
from tests.unit.realtime.realtime_fakes import Room, idle, run


class Server:
    """The server's end of one connection."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self.taking = asyncio.Event()
        self.taking.set()

    async def receive(self) -> dict[str, Any]:
        return await self.incoming.get()

    async def send(self, message: dict[str, Any]) -> None:
        await self.taking.wait()
        if self.failure is not None:
            raise self.failure
        self.sent.append(message)

    def arrives(self, *messages: str | bytes) -> None:
        for message in messages:
            self.incoming.put_nowait(
                {"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message}
            )

    def leaves(self, code: int = 1000, reason: str = "") -> None:
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})


class Uvicorn(Server):
    """A server whose ``send`` may be begun outside a task."""


Uvicorn.__module__ = "uvicorn.protocols.websockets.wsproto_impl"


class Site:
    """Connections of one hub over plain ASGI."""

    def __init__(self, **limits: Any) -> None:
        self.limits = Limits(**limits)
        self.room = Room(self.limits, asyncio.get_running_loop())

    def connect(
        self, server: Server, *, speaks_odac: bool = False, **policy: Any
    ) -> tuple[Connection, asyncio.Task[None]]:
        lane = AsgiLane(server.receive, server.send, self.limits)
        connection = Connection(self.room.hub, lane, Policy("/test", self.limits, **policy), speaks_odac=speaks_odac)
        lane.attach(connection)
        self.room.hub.population += 1
        self.room.hub.add(connection)
        return connection, asyncio.ensure_future(lane.serve())


Test = Callable[[Site, Server], Awaitable[None]]


@pytest.fixture(params=[Server, Uvicorn])
def live(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Runs a test over a server whose sends need tasks, and one whose sends do not."""

    def start(test: Test, **limits: Any) -> None:
        async def body() -> None:
            await test(Site(**limits), request.param())

        run(body())

    return start


def test_messages_pass_both_ways(live: Callable[..., None]) -> None:
    async def test(site: Site, server: Server) -> None:
        connection, serving = site.connect(server)
        connection.on("message", connection.send)
        server.arrives("1", '{"a": 1}', b"bytes", "text")
        await idle()
        connection.send("unasked")
        await idle()
        assert server.sent == [
            {"type": "websocket.send", "text": "1"},
            {"type": "websocket.send", "text": '{"a":1}'},
            {"type": "websocket.send", "bytes": b"bytes"},
            {"type": "websocket.send", "text": "text"},
            {"type": "websocket.send", "text": "unasked"},
        ]
        server.leaves(4001, "bye")
        await serving
        assert connection.ended == (4001, "bye")

    live(test)


def test_closing_flushes_first_and_the_task_returns(live: Callable[..., None]) -> None:
    async def test(site: Site, server: Server) -> None:
        connection, serving = site.connect(server)
        connection.send("last words")
        connection.close(4000, "reason")
        await serving
        await idle()
        assert server.sent == [
            {"type": "websocket.send", "text": "last words"},
            {"type": "websocket.close", "code": 4000, "reason": "reason"},
        ]
        assert connection.ended == (4000, "reason")

    live(test)


def test_close_listeners_never_run_within_the_applications_close(live: Callable[..., None]) -> None:
    async def test(site: Site, server: Server) -> None:
        connection, serving = site.connect(server)
        told: list[str] = []
        connection.on("close", lambda: told.append("close"))
        connection.close()
        told.append("closed")
        await serving
        await idle()
        assert told == ["closed", "close"]

    live(test)


@pytest.mark.parametrize("failure", [OSError("gone"), RuntimeError("gone")], ids=lambda error: type(error).__name__)
def test_what_a_close_listener_sends_in_the_middle_of_a_delivery_is_not_lost(
    live: Callable[..., None], failure: Exception
) -> None:
    async def test(site: Site, server: Server) -> None:
        gone, serving = site.connect(server)
        others = [type(server)() for _ in range(2)]
        joined = [site.connect(each) for each in others]
        for connection in (gone, *(each for each, _ in joined)):
            connection.join("r")
        gone.on("close", lambda: site.room.to("r").send("left"))
        server.failure = failure
        site.room.to("r").send("hello")
        await idle()
        for each in others:
            assert [message["text"] for message in each.sent] == ["hello", "left"]
            each.leaves()
        server.leaves()
        await asyncio.gather(serving, *(task for _, task in joined))
        assert not gone.is_open

    live(test)


def test_a_server_that_takes_nothing_holds_messages_back_by_reference(live: Callable[..., None]) -> None:
    async def test(site: Site, server: Server) -> None:
        connection, serving = site.connect(server)
        server.taking.clear()
        for number in range(50):
            connection.send(f"{number:03}" + "." * 5000)
            await asyncio.sleep(0)
        assert connection.outbox.backlog is not None
        waiting = asyncio.ensure_future(_awaited(connection, "end"))
        await idle()
        assert not waiting.done()
        server.taking.set()
        await waiting
        await idle()
        assert [message["text"][:3] for message in server.sent] == [*(f"{number:03}" for number in range(50)), "end"]
        server.leaves()
        await serving

    live(test)


async def _awaited(connection: Connection, data: object) -> None:
    await connection.send(data)


def test_a_server_that_never_takes_the_close_is_left_after_the_timeout(live: Callable[..., None]) -> None:
    async def test(site: Site, server: Server) -> None:
        connection, serving = site.connect(server)
        server.taking.clear()
        connection.send("x")
        connection.close()
        await serving
        await idle()
        assert connection.ended is not None
        assert serving.cancelling() == 0
        assert site.room.hub.population == 0

    live(test, close_timeout=0.001)


def test_a_cancellation_of_the_servers_own_goes_through(live: Callable[..., None]) -> None:
    async def test(site: Site, server: Server) -> None:
        connection, serving = site.connect(server)
        connection.join("room")
        await idle()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert connection.ended == (1006, "")
        assert (site.room.hub.population, list(site.room.hub.open_rooms)) == (0, [])

    live(test)


def test_a_cancellation_of_the_servers_own_goes_through_beside_one_of_the_lanes(live: Callable[..., None]) -> None:
    async def test(site: Site, server: Server) -> None:
        connection, serving = site.connect(server)
        await idle()
        connection.lane.abort()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert site.room.hub.population == 0

    live(test)


@pytest.mark.parametrize("writing", [False, True], ids=["idle", "writing"])
def test_a_server_that_fails_leaves_no_connection_behind(live: Callable[..., None], writing: bool) -> None:
    async def test(site: Site, server: Server) -> None:
        connection, serving = site.connect(server)
        connection.join("room")
        told: list[int] = []
        connection.on("close", lambda code: told.append(code))
        if writing:
            server.taking.clear()
            connection.send("waits for ever")
        await idle()
        server.incoming.put_nowait({})  # no ASGI message
        with pytest.raises(KeyError):
            await serving
        await idle()
        assert told == [1006]
        assert (site.room.hub.population, list(site.room.hub.open_rooms)) == (0, [])
        assert connection.lane.buffered == 0

    live(test)


def test_uvicorns_older_class_is_sent_to_from_tasks_only() -> None:
    """Its close() asks for its task, as libraries do."""

    class Older(Server):
        async def send(self, message: dict[str, Any]) -> None:
            async with asyncio.timeout(1):
                await super().send(message)

    Older.__module__ = "uvicorn.protocols.websockets.websockets_impl"

    async def body() -> None:
        site, server = Site(), Older()
        connection, serving = site.connect(server)
        connection.send("last words")
        connection.close(4000, "reason")
        await serving
        await idle()
        assert server.sent[-1] == {"type": "websocket.close", "code": 4000, "reason": "reason"}

    run(body())


def test_limits_that_the_server_does_not_know(live: Callable[..., None]) -> None:
    async def test(site: Site, server: Server) -> None:
        connection, serving = site.connect(server)
        connection.on("message", connection.send)
        server.arrives("ü" * 10, "ü" * 11)
        await serving
        assert [message.get("text") or message["code"] for message in server.sent] == ["ü" * 10, 1009]

    live(test, max_payload=20)


def test_the_rate_and_a_new_window(live: Callable[..., None]) -> None:
    async def test(site: Site, server: Server) -> None:
        connection, serving = site.connect(server)
        connection.on("message", connection.send)
        now = 1000.0
        with rate_clock(lambda: now):
            for _ in range(2):
                server.arrives("1", "2", "3")
                await idle()
                now += 10
            server.arrives("1", "2", "3", "4")
            await serving
        assert [message["type"] for message in server.sent] == ["websocket.send"] * 9 + ["websocket.close"]
        assert server.sent[-1]["code"] == 1008

    live(test, rate_limit=RateLimit(3, 10.0))


def test_reading_pauses_for_a_slow_handler(live: Callable[..., None]) -> None:
    async def test(site: Site, server: Server) -> None:
        connection, serving = site.connect(server)
        gate = asyncio.Semaphore(0)
        told: list[object] = []

        async def slow(data: object) -> None:
            await gate.acquire()
            told.append(data)

        connection.on("message", slow)
        server.arrives(*map(str, range(100)))
        await idle()
        assert server.incoming.qsize() > 50
        for _ in range(100):
            gate.release()
            await idle()
        assert told == list(range(100))
        server.leaves()
        await serving

    live(test, rate_limit=None)


# The door


@pytest.mark.parametrize("live", [Server], indirect=True)
def test_a_server_with_messages_in_store_lets_everybody_else_have_a_turn(live: Callable[..., None]) -> None:
    """Whatever the number of connections: 20 large messages of two of them come at once."""

    async def test(site: Site, server: Server) -> None:
        loop, turns, seen = asyncio.get_running_loop(), 0, list[int]()

        def count() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(count)

        other = Server()
        for each in (server, other):
            connection, _ = site.connect(each)
            connection.on("message", lambda: seen.append(turns))
            each.arrives(*["x" * 200_000] * 10)
        count()
        while len(seen) < 20:
            await asyncio.sleep(0)
        assert max(seen.count(turn) for turn in seen) <= 4  # two of a budget, and as many around its renewal
        server.leaves()
        other.leaves()

    live(test)
