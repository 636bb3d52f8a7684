"""Odac with tasks that start at once: ``loop.set_task_factory(asyncio.eager_task_factory)``, Python 3.12 and
later.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from odac import Context, Disconnected, Odac
from tests.integration.conftest import LANES
from tests.integration.harness import BYSTANDER, OpenRoutes, Probe, Server, closing, receive, receive_all

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="not for this one: Python 3.11 begins no task at once"
)


class EagerApp(Odac):
    async def startup(self) -> None:
        if sys.version_info >= (3, 12):
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        await super().startup()


def build(probe: Probe) -> Odac:
    app = EagerApp()
    ws = OpenRoutes(app)

    @ws("/listener")
    def listener(odac: Context) -> None:
        @odac.ws.on("message")
        async def answer(data: object) -> None:
            odac.ws.send(data)

    @ws("/slow-listener")
    async def slow(odac: Context) -> None:
        await asyncio.sleep(0)

        @odac.ws.on("message")
        async def answer(data: object) -> None:
            await asyncio.sleep(0)
            await odac.ws.send(data)

    @ws("/replaced")
    def replaced(odac: Context) -> None:
        @odac.ws.on("message")
        async def first(data: object) -> None:
            odac.ws.off("message", first)
            odac.ws.on("message", lambda data: odac.ws.send(["second", data]))
            odac.ws.send(["first", data])

    @ws("/iterates")
    async def iterates(odac: Context) -> None:
        async for data in odac.ws:
            odac.ws.send(data)
        probe("iterated")

    @ws("/receives")
    async def receives(odac: Context) -> None:
        try:
            while True:
                odac.ws.send(await odac.ws.receive())
        except Disconnected:
            probe("received")

    @ws("/life")
    def life(odac: Context) -> None:
        ticks = 0

        def tick() -> None:
            nonlocal ticks
            ticks += 1
            probe("tick", ticks)

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                probe("task ended")

        async def ended(code: int, reason: str) -> None:
            probe("close listener", ticks)
            await asyncio.sleep(0)
            probe("close listener is through")

        odac.set_interval(0.001, tick)
        odac.create_task(work())
        odac.create_task(asyncio.sleep(0))

        @odac.ws.on("message")
        async def answer(data: object) -> None:
            odac.ws.send(data)

        odac.ws.on("close", ended)

    @ws("/raises")
    async def raises(odac: Context) -> None:
        raise ValueError

    @ws("/leaves")
    def leaves(odac: Context) -> None:
        @odac.ws.on("message")
        async def leave(data: object) -> None:
            odac.ws.close(4000, "enough")

    return app


@pytest.fixture(scope="module", params=[*LANES, "late"], ids=lambda each: "-".join(each) if each != "late" else each)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Every lane, and Odac's WebSocket class behind uvicorn's own HTTP class, which hands the connection over later."""
    if (3, 13) <= sys.version_info < (3, 13, 3) and "asyncio" not in request.param:
        # loop.create_task() passes further arguments on since 3.13.3; uvloop does so on every 3.13.
        pytest.skip("not for this one: before Python 3.13.3, uvloop begins no task at once")
    probe = Probe()
    options: dict[str, Any] = {"http": "httptools"}
    if request.param != "late":
        options = {"lane": request.param[0], "loop": request.param[1]}
    with Server(build(probe), probe=probe, **options) as running:
        yield running


@pytest.fixture(autouse=True)
def everybody_else(bystander: None) -> None:
    """Another connection works before and after each test."""


@pytest.mark.parametrize("path", [BYSTANDER, "/listener", "/slow-listener", "/iterates", "/receives"])
def test_every_way_to_take_messages(server: Server, path: str) -> None:
    with server.connect(path) as client:
        for number in range(50):
            client.send(str(number))
        assert receive_all(client, 50) == list(range(50))
        client.send("last")
        assert receive(client) == "last"


def test_a_listener_that_replaces_itself(server: Server) -> None:
    with server.connect("/replaced") as client:
        for data in ("1", "2", "3"):
            client.send(data)
        assert receive_all(client, 3) == [["first", 1], ["second", 2], ["second", 3]]


def test_what_belongs_to_a_connection_ends_with_it(server: Server, probe: Probe) -> None:
    with server.connect("/life") as client:
        client.send("1")
        assert receive(client) == 1
        probe.take("tick", 3)
    probe.get("task ended")
    probe.get("close listener is through")
    probe.so_far("tick")
    for _ in range(20):
        server.call(lambda: None)
        time.sleep(0.001)
    assert probe.so_far("tick") == []


def test_the_end_of_a_connection(server: Server, probe: Probe) -> None:
    with server.connect("/raises") as client:
        assert closing(client)[0] == 1011
    with server.connect("/leaves") as client:
        client.send("1")
        assert closing(client) == (4000, "enough")
    with server.connect("/iterates"):
        pass
    probe.get("iterated")
