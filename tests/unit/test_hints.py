from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from odac import Odac, hints
from odac.client.connection import ClientConnection
from odac.context import Context
from odac.hints import add_hint, for_attribute
from odac.realtime.connection import Connection
from odac.realtime.targets import Target
from odac.realtime.ws_server import WsServer
from odac.request import Request
from odac.testing import TestClient
from tests.unit.test_app import SECRET

CLASSES = (Connection, Context, Request, Target, WsServer, ClientConnection)


def raised_by(handler: Callable[[Any], object], sent: object = None) -> BaseException:
    """What a handler raises, as its author sees it in a test and in the log."""
    app = Odac(SECRET)
    app.route.ws("/x", token=False)(handler)

    def connect() -> None:
        with TestClient(app) as client, client.connect("/x") as ws:
            if sent is not None:
                ws.send(sent)

    with pytest.raises((AttributeError, TypeError)) as caught:
        connect()
    return caught.value


def note_of(error: BaseException) -> str:
    notes = getattr(error, "__notes__", [])
    assert len(notes) == 1, notes
    return str(notes[0])


async def unawaited(odac: Any) -> None:
    odac.ws.receive()["text"]


async def parsed_twice(odac: Any) -> None:
    async for message in odac.ws:
        json.loads(message)


def new_item(odac: Any) -> None:
    odac.ws.data["user"] = 7


MISTAKES: dict[str, tuple[Callable[[Any], object], str]] = {
    "FastAPI: accept": (lambda odac: odac.ws.accept(), "accepted before its handler runs"),
    "FastAPI: receive_json": (lambda odac: odac.ws.receive_json(), "JSON arrives parsed"),
    "FastAPI: send_json": (lambda odac: odac.ws.send_json({}), "odac.ws.send(data)"),
    "FastAPI: query_params": (lambda odac: odac.ws.query_params, "odac.request.query"),
    "FastAPI: path_params": (lambda odac: odac.request.path_params, "odac.request.data.url"),
    "Socket.IO: emit": (lambda odac: odac.ws.emit("news", {}), "odac.ws.call(name, args)"),
    "Socket.IO: an event's name": (lambda odac: odac.ws.send("news", {}), "send({'event': …})"),
    "Socket.IO: sid": (lambda odac: odac.ws.sid, "odac.ws.id"),
    "Socket.IO: enter_room": (lambda odac: odac.ws.enter_room("a"), "odac.ws.join(room)"),
    "Socket.IO: to().emit": (lambda odac: odac.ws.to("a").emit("x"), "to(…).send(data)"),
    "Channels: group_send": (lambda odac: odac.ws.channel_layer.group_send("a", {}), "odac.ws.to(room).send(data)"),
    "Channels: scope": (lambda odac: odac.scope["user"], "odac.request.scope"),
    "Flask: args": (lambda odac: odac.request.args["room"], "odac.request.query"),
    "Django: user": (lambda odac: odac.request.user, "await odac.auth.user()"),
    "the context for its connection": (lambda odac: odac.send("hello"), "odac.ws.send"),
    "a misspelt method": (lambda odac: odac.ws.brodcast("hello"), "did you mean 'broadcast'?"),
    "a misspelt argument": (lambda odac: odac.ws.join("room", reply=5), "did you mean 'replay'?"),
    "a misspelt argument of send": (lambda odac: odac.ws.to("room").send(1, kep=False), "did you mean 'keep'?"),
    "aiohttp: an item of data": (lambda odac: odac.ws.data["user"], "write odac.ws.data.name"),
    "aiohttp: a new item of data": (new_item, "write odac.ws.data.name"),
    "aiohttp: data.get": (lambda odac: odac.ws.data.get("user"), "getattr(odac.ws.data, name, default)"),
    "aiohttp: in data": (lambda odac: "user" in odac.ws.data, "getattr(odac.ws.data, name, default)"),
    "no await": (unawaited, "an await is missing"),
}


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_a_handler_says_what_to_write(case: str, caplog: pytest.LogCaptureFixture) -> None:
    handler, expected = MISTAKES[case]
    error = raised_by(handler)
    # Python 3.13 itself names the argument that a misspelt one is like.
    said = str(error) if "Did you mean" in str(error) else note_of(error)
    assert expected.lower() in said.lower()
    assert expected.lower() in caplog.text.lower(), "and so does the log"


def test_json_that_is_parsed_twice() -> None:
    assert "leave json.loads out" in note_of(raised_by(parsed_twice, {"text": "hello"}))


AT_THE_START: dict[str, tuple[Callable[[Odac], object], str]] = {
    "Flask: run": (lambda app: app.run(), "odac run module:app"),  # type: ignore[attr-defined]
    "Flask: route": (lambda app: app.route("/chat"), "write @app.route.ws(path)"),  # type: ignore[operator]
    "FastAPI: websocket": (lambda app: app.websocket("/x"), "routes WebSockets alone"),  # type: ignore[attr-defined]
    "FastAPI: on_event": (lambda app: app.on_event("startup"), "the lifespan of the app"),  # type: ignore[attr-defined]
    "FastAPI: route": (lambda app: app.route.websocket("/x"), "@app.route.ws(path)"),  # type: ignore[attr-defined]
    "Socket.IO: on": (lambda app: app.on("connect"), "@app.route.ws(path)"),  # type: ignore[attr-defined]
    "Socket.IO: emit": (lambda app: app.emit("news"), "app.route.ws_server sends"),  # type: ignore[attr-defined]
    "the hub on the app": (lambda app: app.to_room("a", 1), "app.route.ws_server"),  # type: ignore[attr-defined]
    "a misspelt method": (lambda app: app.authentcate, "did you mean 'authenticate'?"),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("case", AT_THE_START)
def test_a_mistake_at_the_start_says_what_to_write(case: str) -> None:
    function, expected = AT_THE_START[case]
    with pytest.raises((AttributeError, TypeError)) as caught:
        function(Odac(SECRET))
    assert expected in str(caught.value)
    add_hint(caught.value)
    assert not hasattr(caught.value, "__notes__"), "it says so already"


def test_no_hint_names_what_there_is_in_its_place() -> None:
    own = {kind.__name__: kind for kind in (*CLASSES, Odac, type(Odac(SECRET).route))}
    assert own.keys() == hints._HINTS.keys()
    there = {f"{name}.{each}" for name, kind in own.items() for each in hints._HINTS[name] if each in dir(kind)}
    assert there == set()


def test_what_is_not_odacs_is_left_alone() -> None:
    error = AttributeError("'Own' object has no attribute 'sid'", name="sid", obj=object())
    add_hint(error)
    add_hint(ValueError("value"))
    assert not hasattr(error, "__notes__")
    assert for_attribute(Connection, "zzzzzz") is None


def test_an_error_gets_one_hint_only() -> None:
    error = AttributeError("no attribute", name="accept", obj=Connection.__new__(Connection))
    add_hint(error)
    add_hint(error)
    assert "leave the line out" in note_of(error)


def test_a_flood_looks_for_no_more_hints_than_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    from odac import notices

    looked: list[object] = []
    monkeypatch.setattr(hints, "add_hint", looked.append)
    monkeypatch.setattr(logging.getLogger("odac"), "disabled", True)
    for _ in range(100):
        notices.raised("flood", TypeError("always the same"))
    assert len(looked) == notices.LINES
