from __future__ import annotations

import asyncio

import pytest

from odac import ConfigurationError, Disconnected
from odac.testing import TestClient
from tests.unit.testing.apps import make_app


def test_a_message_and_its_answer() -> None:
    with TestClient(make_app()) as client, client.connect("/echo") as ws:
        for data in ({"a": [1, None]}, [1], 7, True, None, "text", b"\0\1", "\x1e[]", ""):
            ws.send(data)
            assert ws.receive() == data
        ws.send_binary(bytearray(b"\2"))
        assert ws.receive() == b"\2"
        assert (ws.closed, ws.close_code, ws.close_reason) == (None, None, None)
        ws.close()
        assert ws.closed == (1000, "")
        assert (ws.close_code, ws.close_reason) == (1000, "")
        ws.close(4000)
        assert ws.closed == (1000, "")
        with pytest.raises(Disconnected, match="1000"):
            ws.send("late")
        with pytest.raises(Disconnected, match="1000"):
            ws.receive()


def test_what_is_used_after_the_end_says_so() -> None:
    with TestClient(make_app()) as client:
        ws = client.connect("/echo")
    for call in (ws.receive, lambda: ws.send(1), lambda: client.connect("/echo"), lambda: client.http.get("/")):
        with pytest.raises(RuntimeError, match="the app has stopped: use its client and connections within"):
            call()
    assert ws.close_code == 1001


def test_it_does_not_run_within_a_running_loop() -> None:
    async def test() -> None:
        with TestClient(make_app()):
            pytest.fail("it ran")

    with pytest.raises(RuntimeError, match="AsyncTestClient"):
        asyncio.run(test())


def test_an_answer_without_the_name_of_the_call_is_refused() -> None:
    def confirm(question: object) -> bool:
        raise NotImplementedError

    with (
        TestClient(make_app()) as client,
        client.connect("/echo") as ws,
        pytest.raises(ConfigurationError, match=r"write @ws.answer\('confirm'\)"),
    ):
        ws.answer(confirm)  # type: ignore[arg-type]
