"""A test takes the broker away, and brings it back."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from odac import BrokerError, Context, History, Odac
from odac.testing import AsyncTestClient, TestClient, run

SECRET = "a secret of the tests, long enough to be one"


def test_a_broker_that_is_lost_and_back() -> None:
    app = Odac(SECRET, broker="memory://lost-and-back", publish_keys=["a key of the tests"])
    app.rooms("kept", history=History(size=10))

    @app.route.ws("/kept", token=False)
    async def kept(odac: Context) -> None:
        odac.ws.join("kept")
        async for text in odac.ws:
            try:
                await odac.ws.to("kept").send(text)
            except BrokerError:
                odac.ws.send("not sent")

    publish = {"authorization": "Bearer a key of the tests"}
    with TestClient(app) as client:
        ws = client.connect("/kept")
        ws.send("one")
        assert ws.receive() == "one"
        assert client.http.get("/odac/health").status == 200
        client.lose_broker()
        assert client.http.get("/odac/health").status == 503
        assert not app.route.ws_server.healthy
        assert client.http.post("/odac/publish", headers=publish, json={"room": "x", "data": 1}).status == 503
        ws.send("two")
        assert ws.received_nothing()
        assert ws.receive(timeout=30) == "not sent"
        ws.send("three")  # which waits for the broker
        client.restore_broker()
        client.advance(5)
        assert ws.receive() == "three"
        assert client.http.get("/odac/health").status == 200


def test_what_is_sent_without_a_broker_reaches_no_other_process() -> None:
    name = "memory://lost-between-two"
    here, there = Odac(SECRET, broker=name), Odac(SECRET, broker=name)

    def listen(odac: Context) -> None:
        odac.ws.join("all")

    async def test() -> None:
        there.route.ws("/all", listen, token=False)
        here.route.ws("/all", listen, token=False)
        async with AsyncTestClient(here) as near, AsyncTestClient(there) as far:
            one, two = await near.connect("/all"), await far.connect("/all")
            here.route.ws_server.to_room("all", "before")
            assert [await one.receive(), await two.receive()] == ["before", "before"]
            await near.lose_broker()
            assert not there.route.ws_server.healthy
            here.route.ws_server.to_room("all", "meanwhile")
            assert await one.receive() == "meanwhile"
            await near.restore_broker()
            here.route.ws_server.to_room("all", "after")
            assert [await one.receive(), await two.receive()] == ["after", "after"]
            assert here.figures()["broker_dropped"] >= 1

    run(test())


def test_a_lost_broker_is_back_for_the_next_test() -> None:
    app = Odac(SECRET, broker="memory://next-test")
    for _ in range(2):
        with TestClient(app) as client:
            assert app.route.ws_server.healthy
            client.lose_broker()
            assert not app.route.ws_server.healthy


def test_only_a_broker_within_the_process_can_be_lost() -> None:
    with TestClient(Odac(SECRET)) as client, pytest.raises(RuntimeError, match='broker="memory://tests"'):
        client.lose_broker()
    with TestClient(FastAPI()) as client, pytest.raises(RuntimeError, match="odac="):
        client.lose_broker()
