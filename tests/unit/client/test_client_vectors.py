"""The same vectors as the browser client's and the server's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from odac.client.reconnect import Reconnect
from odac.errors import Disconnected
from tests.unit.client.client_fakes import FakeNetwork, run

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "wire.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", VECTORS["close_codes"], ids=lambda vector: str(vector["code"]))
def test_after_a_close_code(vector: dict[str, Any]) -> None:
    reconnect = Reconnect(True, 3.0, 10, lambda: 1.0, fresh_token=True)
    expected = {"stay": None, "retry": 3.0, "fresh-token-once": 0.0}[vector["then"]]
    assert reconnect.after(Disconnected(vector["code"])) == expected


@pytest.mark.parametrize("vector", VECTORS["reconnect_delays"]["cases"], ids=str)
def test_the_delay_of_an_attempt(vector: dict[str, Any]) -> None:
    reconnect = Reconnect(
        True, vector["reconnectDelay"] / 1000, None, lambda: vector["factor"] * 2 - 1, fresh_token=True
    )
    reconnect.attempts = vector["attempt"]
    assert reconnect.after(Disconnected(1006)) == pytest.approx(vector["delay"] / 1000)


@pytest.mark.parametrize("vector", VECTORS["escaping"], ids=lambda vector: vector["why"])
def test_text_both_ways(vector: dict[str, Any]) -> None:
    async def test() -> None:
        network = FakeNetwork()
        async with network.client() as client:
            client.send(vector["application"])
            assert network.socket.written == [vector["wire"]]
            network.socket.say(vector["wire"])
            received = await client.receive()
            try:
                assert received == json.loads(vector["application"])
            except json.JSONDecodeError:
                assert received == vector["application"]

    run(test())


@pytest.mark.parametrize(
    "vector", [*VECTORS["control"], *VECTORS["malformed_control"]], ids=lambda vector: vector["why"]
)
def test_control_messages_never_reach_the_application(vector: dict[str, Any]) -> None:
    async def test() -> None:
        network = FakeNetwork()
        async with network.client() as client:
            network.socket.say(vector["text"])
            network.socket.say("the application's")
            assert await client.receive() == "the application's"
            assert network.socket.written == (['\x1e["pong"]'] if vector.get("kind") == "ping" else [])

    run(test())
