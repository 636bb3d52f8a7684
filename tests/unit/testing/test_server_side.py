"""Against ASGI apps that use no Odac, among them some that no server would take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from odac.protocol.codec import encode, encode_binary
from odac.testing.exchange import Environment, Message
from odac.testing.server_side import ServerSide
from tests.unit.realtime.realtime_fakes import idle, run

App = Callable[[Any, Any, Any], Awaitable[None]]


class Side:
    """A server's side whose client writes down what arrives; to be made while an event loop runs."""

    def __init__(self, app: App) -> None:
        self.arrived: list[Message] = []
        environment = Environment(app, "http://testserver", None, None)
        self.server = ServerSide(
            environment,
            {"type": "websocket", "path": "/x"},
            user=None,
            raises=True,
            on_message=self.arrived.append,
            on_close=lambda code, reason: self.server.disconnect(code, reason),
        )
        self.server.start()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept", "subprotocol": "odac.v1"})
    while (message := await receive())["type"] == "websocket.receive":
        await send(message | {"type": "websocket.send"})


def test_messages_of_both_kinds_pass_both_ways() -> None:
    async def test() -> None:
        side = Side(echo)
        await idle()
        assert (side.server.accepted, side.server.subprotocol) == (True, "odac.v1")
        side.server.write(encode({"a": 1}))
        side.server.write(encode_binary(b"\x00"))
        await idle()
        assert side.arrived == [
            {"type": "websocket.send", "text": '{"a":1}'},
            {"type": "websocket.send", "bytes": b"\x00"},
        ]
        side.server.disconnect(1000, "done")
        await idle()
        assert side.server.is_over
        side.server.raise_for_app()

    run(test())


@pytest.mark.parametrize(
    ("answers", "status", "reason"),
    [
        ([{"type": "websocket.close", "reason": "no"}], 403, "no"),
        ([{"type": "websocket.close"}], 403, "the app closed instead of accepting"),
        (
            [
                {"type": "websocket.http.response.start", "status": 503, "headers": [(b"retry-after", b"5")]},
                {"type": "websocket.http.response.body", "body": b"fu", "more_body": True},
                {"type": "websocket.http.response.body", "body": b"ll"},
            ],
            503,
            "full",
        ),
    ],
    ids=["close", "close without a reason", "an HTTP answer"],
)
def test_a_refusal_has_the_status_that_a_client_would_see(answers: list[Message], status: int, reason: str) -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for each in answers:
            await send(each)

    async def test() -> None:
        side = Side(refuse)
        await idle()
        assert side.server.refusal is not None
        assert (side.server.refusal.status, side.server.refusal.reason) == (status, reason)
        assert not side.server.accepted

    run(test())


def test_an_app_that_returns_without_closing_has_closed_with_1011() -> None:
    async def leave(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async def test() -> None:
        side = Side(leave)
        await side.server.wait_for_change()
        await idle()
        assert side.server.closed == (1011, "the app returned without closing")

    run(test())


@pytest.mark.parametrize(
    "wrong",
    [
        [{"type": "websocket.send", "text": "before the accept"}],
        [{"type": "websocket.accept"}, {"type": "websocket.accept"}],
        [{"type": "http.response.start", "status": 200}],
        [{"type": "websocket.http.response.body", "body": b""}],
    ],
    ids=["send before accept", "accept twice", "HTTP", "a body without a start"],
)
def test_what_the_asgi_specification_forbids_is_raised_in_the_test(wrong: list[Message]) -> None:
    async def break_rules(scope: Any, receive: Any, send: Any) -> None:
        for each in wrong:
            await send(each)

    async def test() -> None:
        side = Side(break_rules)
        await idle()
        with pytest.raises(RuntimeError, match="does not allow in this state"):
            side.server.raise_for_app()

    run(test())


def test_a_client_that_reads_nothing_holds_the_app_until_it_reads_or_is_gone() -> None:
    async def test(end: str) -> None:
        side = Side(echo)
        await idle()
        side.server.reading.clear()
        side.server.write(encode("x"))
        await idle()
        assert side.arrived == []
        if end == "reads":
            side.server.reading.set()
            await idle()
            assert side.arrived == [{"type": "websocket.send", "text": "x"}]
            side.server.disconnect(1000, "")
            await idle()
            side.server.raise_for_app()
        else:
            side.server.disconnect(1006, "")
            await idle()
            with pytest.raises(ConnectionResetError):
                side.server.raise_for_app()

    for end in ("reads", "is gone"):
        run(test(end))
