"""How many connections and rooms there may be, and how long a handshake, a pong and a close may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest

from odac import Context, Limits, Odac
from tests.hostile.peers import CLOSE, PING, PONG, TEXT, Closed, Peer, Refused, close_frame, frame
from tests.hostile.served import run, served, until

Log = Callable[[], list[str]]
SECRET = "a secret that is long enough to be one"


def idle_app(limits: Limits) -> Odac:
    app = Odac(SECRET, limits=limits)
    app.route.ws("/idle", lambda odac: None, token=False)
    app.route.ws("/token", lambda odac: None)
    return app


def test_max_connections(lane: str, log: Log) -> None:
    app = idle_app(Limits(max_connections=3))

    async def main() -> None:
        async with served(app, lane) as port, AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(Peer.connect(port, "/idle")) for _ in range(3)]
            with pytest.raises(Refused) as refused:
                await stack.enter_async_context(Peer.connect(port, "/idle"))
            assert refused.value.status == 503
            assert int(refused.value.headers["retry-after"]) >= 1
            peers[0].send(close_frame(1000))
            assert (await peers[0].end()).code == 1000
            peers[1].writer.transport.abort()
            await until(lambda: app._hub.population == 1, "two places are free")
            for _ in range(2):
                await stack.enter_async_context(Peer.connect(port, "/idle"))
            with pytest.raises(Refused):
                await stack.enter_async_context(Peer.connect(port, "/idle"))

    run(main)
    lines = [line for line in log() if "Limits.max_connections" in line]
    assert len(lines) == 2
    assert all("/idle" in line and "503" in line and " 3 connections" in line for line in lines)


def test_connections_that_a_gate_refused_are_not_counted(lane: str) -> None:
    """They count until their transport is gone, and no longer."""
    app = idle_app(Limits(max_connections=3, connections_per_ip=2))

    async def main() -> None:
        async with served(app, lane) as port:
            for _ in range(20):
                async with Peer.connect(port, "/token") as peer:
                    assert (await peer.end()).code == 4002
                    peer.send(close_frame(4002))
                    await peer.gone()
            await until(lambda: app._hub.population == 0, "all are gone")
            assert len(app.addresses) == 0

    run(main)


@pytest.mark.parametrize("limits", [Limits(connections_per_ip=5), Limits(max_connections=5)], ids=["ip", "all"])
def test_handshakes_at_the_same_moment_do_not_slip_past(lane: str, limits: Limits) -> None:
    app = idle_app(limits)

    async def main() -> None:
        async with served(app, lane) as port, AsyncExitStack() as stack:

            async def attempt() -> int:
                try:
                    await stack.enter_async_context(Peer.connect(port, "/idle"))
                except Refused as refused:
                    return refused.status
                return 101

            statuses = await asyncio.gather(*[attempt() for _ in range(40)])
            assert sorted(statuses) == [101] * 5 + [503] * 35

    run(main)


def test_connections_per_ip(lane: str, log: Log) -> None:
    app = idle_app(Limits(connections_per_ip=2))

    async def main() -> None:
        async with served(app, lane) as port, AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(Peer.connect(port, "/idle")) for _ in range(2)]
            with pytest.raises(Refused) as refused:
                await stack.enter_async_context(Peer.connect(port, "/idle"))
            assert refused.value.status == 503
            assert int(refused.value.headers["retry-after"]) >= 1
            # Another address has its own count, whatever it claims about proxies.
            for _ in range(2):
                await stack.enter_async_context(Peer.connect(port, "/idle", source="127.0.0.2"))
            forged = [("X-Forwarded-For", "10.0.0.1")]
            with pytest.raises(Refused):
                await stack.enter_async_context(Peer.connect(port, "/idle", forged, source="127.0.0.2"))
            peers[0].writer.transport.abort()
            await until(lambda: app._hub.population == 3, "a place is free")
            await stack.enter_async_context(Peer.connect(port, "/idle"))

    run(main)
    lines = [line for line in log() if "Limits.connections_per_ip" in line]
    assert len(lines) == 2
    assert "127.0.0.1" in lines[0]
    assert "127.0.0.2" in lines[1]


def test_rooms_per_connection(lane: str) -> None:
    app = Odac(SECRET, limits=Limits(rooms_per_connection=3))

    @app.route.ws("/rooms", token=False)
    def rooms(odac: Context) -> None:
        @odac.ws.on("message")
        def join(name: str) -> None:
            try:
                odac.ws.join(name)
            except ValueError as error:
                odac.ws.send(str(error))
            else:
                odac.ws.send(odac.ws.rooms)

    async def main() -> None:
        async with served(app, lane) as port, Peer.connect(port, "/rooms") as peer:
            for name in "abc":
                peer.text(name)
                assert name in await peer.message()
            peer.text("a")  # where it is already
            assert await peer.message() == '["a","b","c"]'
            peer.text("d")
            answer = await peer.message()
            assert "3 rooms" in answer
            assert "Limits.rooms_per_connection" in answer
            (connection,) = app.route.ws_server.clients.values()
            connection.leave("b")
            peer.text("d")
            assert await peer.message() == '["a","c","d"]'

    run(main)


Gate = Callable[[Odac], Any]


async def forever(*_: object) -> None:
    await asyncio.get_running_loop().create_future()


def hanging_middleware(app: Odac) -> Any:
    app.middleware("hang")(forever)
    return app.route.use("hang")


def hanging_authentication(app: Odac) -> Any:
    app.authenticate(forever)
    return app.route.auth


def hanging_authentication_in_a_middleware(app: Odac) -> Any:
    app.authenticate(forever)

    @app.middleware("user")
    async def user(odac: Context) -> bool:
        return await odac.auth.check()

    return app.route.use("user")


@pytest.mark.parametrize(
    "gate",
    [hanging_middleware, hanging_authentication, hanging_authentication_in_a_middleware],
    ids=lambda gate: gate.__name__,
)
def test_handshake_timeout_ends_a_gate_that_hangs(lane: str, log: Log, gate: Gate) -> None:
    app = Odac(SECRET, limits=Limits(handshake_timeout=0.2))
    ran: list[object] = []
    gate(app).ws("/gate", ran.append, token=False)

    async def main() -> None:
        async with served(app, lane) as port:
            async with Peer.connect(port, "/gate") as peer:
                assert await peer.end() == Closed(1013, "the server took too long to decide")
                peer.send(close_frame(1013))
                await peer.gone()
            async with Peer.connect(port, "/gate"):  # a client that goes in the middle of it
                pass
            await until(lambda: app._hub.population == 0, "nothing is left")
            await until(lambda: len(asyncio.all_tasks()) <= 3, "no task is left")

    run(main)
    assert ran == []
    lines = [line for line in log() if "Limits.handshake_timeout" in line]
    assert lines
    assert all("/gate" in line for line in lines)


async def silent(peer: Peer) -> None:
    """Read on, and answer nothing."""
    while True:
        await peer.frame()


async def deaf(peer: Peer) -> None:
    """Neither read nor answer."""
    peer.stop_reading()
    await asyncio.get_running_loop().create_future()


async def last_frame(peer: Peer) -> bytes:
    """Read, answer nothing, and return the payload of the close frame."""
    while (received := await peer.frame())[0] != CLOSE:
        pass
    return received[1]


def close_frame_payload(code: int, reason: str) -> bytes:
    return code.to_bytes(2, "big") + reason.encode()


@pytest.mark.parametrize("behave", [silent, deaf], ids=["silent", "deaf"])
def test_pong_timeout(log: Log, behave: Callable[[Peer], Coroutine[Any, Any, None]]) -> None:
    """Who answers pings stays however long it is idle; who does not is cut off after interval and timeout."""
    app = idle_app(Limits(ping_interval=0.2, pong_timeout=0.2))

    async def main() -> None:
        async with (
            served(app, "direct") as port,
            Peer.connect(port, "/idle") as good,
            Peer.connect(port, "/idle") as bad,
        ):
            await until(lambda: app.route.ws_server.client_count == 2, "both are there")
            connections = list(app.route.ws_server.clients.values())
            behaving = asyncio.create_task(behave(bad))
            for _ in range(6):
                opcode, payload = await good.frame()
                assert opcode == PING
                good.send(frame(PONG, payload))
            await until(lambda: app.route.ws_server.client_count == 1, "the one that does not answer is gone")
            assert connections[0].is_open
            assert connections[1].ended == (1006, "")
            behaving.cancel()
            await asyncio.wait([behaving])
            bad.read_on()
            await bad.gone()

    run(main)
    (line,) = [line for line in log() if "Limits.pong_timeout" in line]
    assert line.startswith("/idle: ")


def test_any_sign_of_life_counts() -> None:
    """A peer that is busy sending is there, even if it never answers a ping."""
    app = idle_app(Limits(ping_interval=0.1, pong_timeout=0.3, rate_limit=None))

    async def main() -> None:
        async with served(app, "direct") as port, Peer.connect(port, "/idle") as peer:
            for _ in range(8):
                opcode, _ = await peer.frame()
                assert opcode == PING
                peer.text("busy")
            assert app.route.ws_server.client_count == 1

    run(main)


def test_pong_timeout_by_control_messages_on_both_lanes(lane: str, log: Log) -> None:
    """Clients of odac.v1 are asked by messages, which every server passes on."""
    app = idle_app(Limits(ping_interval=0.2, pong_timeout=0.2))
    offer = [("Sec-WebSocket-Protocol", "odac.v1")]

    async def main() -> None:
        async with (
            served(app, lane) as port,
            Peer.connect(port, "/idle", offer) as good,
            Peer.connect(port, "/idle", offer) as bad,
        ):
            assert "hello" in await good.message()
            await until(lambda: app.route.ws_server.client_count == 2, "both are there")
            reading = asyncio.create_task(last_frame(bad))
            for _ in range(6):
                assert await good.message() == '\x1e["ping"]'
                good.text('\x1e["pong"]')
            await until(lambda: app.route.ws_server.client_count == 1, "the one that does not answer is gone")
            assert await reading == close_frame_payload(1011, "no answer to a ping within 0.2 s")
            await bad.gone()
            good.send(close_frame(1000))
            await good.end()

    run(main)
    assert any("Limits.pong_timeout" in line for line in log())


def test_over_plain_asgi_other_clients_are_the_servers_to_watch() -> None:
    app = idle_app(Limits(ping_interval=0.1, pong_timeout=0.1))

    async def main() -> None:
        options = {"ws_ping_interval": 0.3, "ws_ping_timeout": 0.3}
        async with served(app, "asgi", **options) as port, Peer.connect(port, "/idle") as peer:
            await until(lambda: app.route.ws_server.client_count == 1, "it is there")
            assert (await peer.end()).code == 1011  # uvicorn's own answer, after its own times
            await until(lambda: app.route.ws_server.client_count == 0, "its end is noticed")

    run(main)


def test_the_peer_of_a_slow_handler_is_not_dropped(lane: str) -> None:
    """Its pongs wait unread behind the messages that the handler has yet to take."""
    app = Odac(SECRET, limits=Limits(ping_interval=0.1, pong_timeout=0.1, incoming_queue=2, rate_limit=None))
    gate = asyncio.Event()
    taken: list[object] = []

    async def slow(data: object) -> None:
        await gate.wait()
        taken.append(data)

    app.route.ws("/slow", lambda odac: odac.ws.on("message", slow), token=False)

    async def main() -> None:
        gate.clear()
        offer = [("Sec-WebSocket-Protocol", "odac.v1")]
        async with served(app, lane) as port, Peer.connect(port, "/slow", offer) as peer:
            assert "hello" in await peer.message()
            peer.text(*map(str, range(10)))
            (connection,) = app.route.ws_server.clients.values()
            await until(lambda: connection.inbox.is_paused, "reading pauses")
            for _ in range(6):
                assert await peer.message() == '\x1e["ping"]'
                peer.text('\x1e["pong"]')
            assert connection.is_open
            gate.set()
            await until(lambda: len(taken) == 10, "the handler gets all of them")
            assert connection.is_open
            assert await peer.message() == '\x1e["ping"]'

    run(main)


def test_close_timeout(lane: str, log: Log) -> None:
    """A peer that does not answer the close frame loses its socket all the same."""
    app = Odac(SECRET, limits=Limits(close_timeout=0.2))
    closed: list[tuple[int, str]] = []

    @app.route.ws("/bye", token=False)
    def bye(odac: Context) -> None:
        odac.ws.on("close", lambda code, reason: closed.append((code, reason)))
        odac.ws.close(4321, "bye")

    async def main() -> None:
        async with served(app, lane) as port, Peer.connect(port, "/bye") as peer:
            assert await peer.end() == Closed(4321, "bye")
            await until(lambda: closed, "the close listener hears of it")
            assert closed == [(4321, "bye")]
            if lane == "direct":  # elsewhere the server under us has its own time, which is 10 s in uvicorn
                await peer.gone()
            await until(lambda: app._hub.population == 0, "nothing is left")

    run(main)
    assert lane == "asgi" or any("Limits.close_timeout" in line for line in log())


def test_close_timeout_of_a_peer_that_does_not_read(lane: str) -> None:
    app = Odac(SECRET, limits=Limits(close_timeout=0.2, outgoing_buffer=64 * 1024 * 1024))
    closed: list[int] = []

    @app.route.ws("/bye", token=False)
    def bye(odac: Context) -> None:
        odac.ws.on("close", closed.append)
        odac.ws.send(bytes(32 * 1024 * 1024))
        odac.ws.close(4321, "bye")

    async def main() -> None:
        async with served(app, lane) as port, Peer.connect(port, "/bye", receive_buffer=4_096) as peer:
            peer.stop_reading()
            await until(lambda: closed, "it is given up")
            await until(lambda: app._hub.population == 0, "nothing is left")
            await until(lambda: len(asyncio.all_tasks()) <= 3, "no task is left")

    run(main)


def test_data_after_a_close_is_not_handled(lane: str) -> None:
    app = Odac(SECRET, limits=Limits(close_timeout=1.0))
    taken: list[object] = []

    @app.route.ws("/bye", token=False)
    def bye(odac: Context) -> None:
        odac.ws.on("message", taken.append)
        odac.ws.close(4321, "bye")

    async def main() -> None:
        async with served(app, lane) as port, Peer.connect(port, "/bye") as peer:
            assert (await peer.end()).code == 4321
            peer.send(frame(TEXT, b"late") * 1_000, frame(CLOSE, b"\x10\xe1"))
            await peer.gone()
            await until(lambda: app._hub.population == 0, "nothing is left")
            assert taken == []

    run(main)
