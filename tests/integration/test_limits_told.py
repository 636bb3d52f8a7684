"""Every limit that a client meets is counted, and named in a warning, over both lanes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from odac import Context, Limits, Odac, RateLimit
from tests.integration.harness import OpenRoutes, Probe, Server, closing, handshake_status, receive

ended = Probe()


def app_with(**limits: Any) -> Odac:
    app = Odac(secret="x" * 32, limits=Limits(**limits))
    ws = OpenRoutes(app)
    ws("/echo")(lambda odac: odac.ws.on("message", odac.ws.send))

    @ws("/slow")
    def slow(odac: Context) -> None:
        go = asyncio.Event()

        @odac.ws.on("message")
        async def message(data: object) -> None:
            if data == 1:
                odac.set_timeout(0.01, go.set)
                await go.wait()
            odac.ws.send(data)

    @ws("/rooms")
    def rooms(odac: Context) -> None:
        odac.ws.join("one")
        odac.ws.join("two")

    @ws("/stays")
    async def stays(odac: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended("ended")

    @app.middleware("hangs")
    async def hangs(odac: Context) -> None:
        await asyncio.Event().wait()

    app.route.use("hangs").ws("/hangs", lambda odac: None, token=False)
    return app


@pytest.fixture(params=["direct", "asgi"])
def lane(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[Server, str], None]:
    def check(server: Server, limit: str) -> None:
        figures = server.call(server.app.figures)
        assert {name: count for name, count in figures.items() if name.startswith("limit_") and count} == {
            f"limit_{limit}": 1
        }
        [record] = [each for each in caplog.records if limit in each.getMessage()]
        assert (record.name, record.levelno) == ("odac", logging.WARNING)

    return check


def test_too_large(lane: Any, told: Any) -> None:
    with Server(app_with(max_payload=20), lane=lane) as server:
        with server.connect("/echo") as client:
            client.send("x" * 21)
            assert closing(client)[0] == 1009
        told(server, "max_payload")


def test_too_many_fragments(told: Any) -> None:
    with Server(app_with(max_fragments=2), lane="direct") as server:
        with server.connect("/echo") as client:
            # A last fragment follows, and the server may have closed by then.
            with contextlib.suppress(ConnectionClosed):
                client.send(["a", "b", "c"])
            assert closing(client)[0] == 1008
        told(server, "max_fragments")


def test_too_fast(lane: Any, told: Any) -> None:
    with Server(app_with(rate_limit=RateLimit(2, 20)), lane=lane) as server:
        with server.connect("/echo") as client:
            for _ in range(3):
                client.send("x")
            assert [receive(client), receive(client)] == ["x", "x"]
            assert closing(client)[0] == 1008
        told(server, "rate_limit")


def test_faster_than_its_handler(lane: Any, told: Any) -> None:
    with Server(app_with(incoming_queue=2), lane=lane) as server:
        with server.connect("/slow") as client:
            for number in range(1, 4):
                client.send(str(number))
            assert [receive(client) for _ in range(3)] == [1, 2, 3]
        told(server, "incoming_queue")


def test_too_many_rooms(lane: Any, told: Any) -> None:
    with Server(app_with(rooms_per_connection=1), lane=lane) as server:
        with server.connect("/rooms") as client:
            assert closing(client)[0] == 1011
        told(server, "rooms_per_connection")


def test_a_handler_that_does_not_end(lane: Any, told: Any) -> None:
    with Server(app_with(close_timeout=0.01), lane=lane) as server:
        with server.connect("/stays"):
            pass
        ended.get("ended")
        told(server, "close_timeout")


def test_gates_that_take_too_long(lane: Any, told: Any) -> None:
    with Server(app_with(handshake_timeout=0.05), lane=lane) as server:
        with server.connect("/hangs") as client:
            assert closing(client)[0] == 1013
        told(server, "handshake_timeout")


@pytest.mark.parametrize("limit", ["max_connections", "connections_per_ip"])
def test_too_many_connections(lane: Any, told: Any, limit: str) -> None:
    with Server(app_with(**{limit: 1}), lane=lane) as server:
        with server.connect("/echo"):
            assert handshake_status(server, "/echo") == 503
        told(server, limit)
