"""Failures in one connection over real sockets, which affect no other."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable

import msgspec
import pytest

from odac import Context, Odac
from tests.integration.harness import OpenRoutes, Probe, Server, closing, receive


class Move(msgspec.Struct):
    x: int


def build(probe: Probe) -> Odac:
    app = Odac()
    ws = OpenRoutes(app)

    async def leave() -> None:
        await asyncio.sleep(0)
        sys.exit()

    @ws("/exit/{where}")
    def exits(odac: Context) -> object:
        where = odac.request.data.url["where"]
        places: dict[str, Callable[[], object]] = {
            "handler": sys.exit,
            "async-handler": leave,
            "listener": lambda: odac.ws.on("message", sys.exit),
            "async-listener": lambda: odac.ws.on("message", leave),
            "timer": lambda: odac.set_timeout(0, sys.exit) and None,
            "async-timer": lambda: odac.set_timeout(0, leave) and None,
            "task": lambda: odac.create_task(leave()) and None,
        }
        result = places[where]()
        return result if where == "async-handler" else None

    @app.route.use(lambda odac: odac.request.query.get("reason")).ws("/reasons", token=False)
    def never(odac: Context) -> None:
        odac.ws.send("in")

    @ws("/typed", message=Move)
    def typed(odac: Context) -> None:
        odac.ws.on("message", lambda move: odac.ws.send(move))

    @ws("/answers", message=Move, on_invalid="answer")
    def answers(odac: Context) -> None:
        odac.ws.on("message", lambda move: odac.ws.send(move))

    @ws("/listens", message=Move | None)
    def listens(odac: Context) -> None:
        odac.ws.on("message", lambda move: odac.ws.send(move))
        odac.ws.on("invalid", lambda error: odac.ws.send({"wrong": error.field}))

    @ws("/bytes", message=Move | bytes)
    def takes_bytes(odac: Context) -> None:
        odac.ws.on("message", lambda data: odac.ws.send(data))

    @ws("/raises")
    def raises(odac: Context) -> None:
        odac.ws.on("error", lambda error: odac.ws.send(repr(error)))
        raise ValueError("why")

    return app


WHERE = ["handler", "async-handler", "listener", "async-listener", "timer", "async-timer", "task"]


@pytest.mark.parametrize("where", WHERE)
def test_an_exit_ends_the_connection_and_not_the_server(server: Server, bystander: None, where: str) -> None:
    with server.connect(f"/exit/{where}") as client:
        if "listener" in where:
            client.send("1")
        assert closing(client) == (1011, "internal error")


def test_an_invalid_message_closes_with_1007(server: Server) -> None:
    for message in ('{"x":"a"}', b"\x00"):
        with server.connect("/typed") as client:
            client.send(message)
            code, reason = closing(client)
            assert code == 1007
            assert "`$.x`" in reason or "binary" in reason


def test_an_invalid_message_is_answered_where_the_route_has_the_option(server: Server) -> None:
    with server.connect("/answers", v1=True) as client:
        assert client.recv().startswith('\x1e["hello"')  # type: ignore[arg-type]
        for message, field in (('{"x":"a"}', "x"), (b"\x00", "")):
            client.send(message)
            text = client.recv()
            assert isinstance(text, str)
            kind, told = json.loads(text[1:])
            assert (text[0], kind, told["field"]) == ("\x1e", "invalid", field)
        client.send('{"x":1}')
        assert receive(client) == {"x": 1}
    with server.connect("/answers") as client:
        client.send('{"x":"a"}')
        assert closing(client)[0] == 1007


def test_an_invalid_listener_answers_by_itself(server: Server) -> None:
    with server.connect("/listens") as client:
        for message, answer in (('{"x":"a"}', "x"), ("{}", "x"), (b"\x00", "")):
            client.send(message)
            assert receive(client) == {"wrong": answer}
        client.send('{"x":1}')
        assert receive(client) == {"x": 1}


def test_a_type_that_takes_bytes_takes_binary_messages(server: Server) -> None:
    with server.connect("/bytes") as client:
        client.send(b"\x00\x01")
        assert receive(client) == b"\x00\x01"
        client.send('{"x":1}')
        assert receive(client) == {"x": 1}


def test_error_listeners_get_an_error_of_the_handler(server: Server) -> None:
    with server.connect("/raises") as client:
        assert receive(client) == "ValueError('why')"
        assert closing(client)[0] == 1011


def test_a_text_that_a_middleware_returns_is_the_reason(server: Server) -> None:
    with server.connect("/reasons?reason=Full%20house") as client:
        assert closing(client) == (4000, "Full house")
    long = "é" * 100
    with server.connect(f"/reasons?reason={long}") as client:
        code, reason = closing(client)
        assert code == 4000
        assert reason == "é" * 60 + "…"
    with server.connect("/reasons") as client:
        assert receive(client) == "in"
