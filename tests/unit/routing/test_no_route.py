from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from fastapi import FastAPI

from odac import Odac, notices
from odac.routing.no_route import NoRoute
from tests.unit.test_app import SECRET, handshake


@pytest.fixture(autouse=True)
def no_earlier_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_kinds", {})


def app_of(*paths: str, **given: Any) -> Odac:
    app = Odac(SECRET, **given)
    for path in paths:
        app.route.ws(path, print, token=False)
    return app


def hint(path: str, *routes: str, root_path: str = "") -> str:
    return str(NoRoute(app_of(*routes)._router, {"path": path, "root_path": root_path}))


@pytest.mark.parametrize(
    ("path", "routes", "expected"),
    [
        ("/cht", ["/news", "/chat"], "did you mean '/chat'?"),
        ("/Chat", ["/news", "/chat"], "did you mean '/chat'?"),
        ("/chat", ["/news", "/ws/chat"], "did you mean '/ws/chat'?"),
        ("/rooms/7", ["/room/{id}"], "did you mean '/room/7'?"),
        ("/chat/", ["/chat"], "did you mean '/chat'? A slash at the end"),
        ("/chat", ["/chat/"], "did you mean '/chat/'? A slash at the end"),
        ("/app/chat", ["/chat"], "there is '/chat': let the proxy take '/app' away"),
        ("/a/b/room/7", ["/room/{id:int}"], "there is '/room/7': let the proxy take '/a/b' away"),
        ("/socket.io/", ["/chat"], "the client is one of Socket.IO"),
        ("/zzz", ["/chat"], "the only route is '/chat'"),
        ("/", ["/chat", "/news"], "the routes are '/chat', '/news'"),
        ("/zzz", [f"/{4 * each}" for each in "abcdefg"], "'/dddd', '/eeee' and 2 more: `odac routes` lists them"),
        ("/chat", [], 'add one with @app.route.ws("/chat")'),
    ],
)
def test_what_was_most_likely_meant(path: str, routes: list[str], expected: str) -> None:
    assert hint(path, *routes).startswith(expected) or expected in hint(path, *routes)


def test_a_route_that_repeats_the_mount_point() -> None:
    assert hint("/live/chat", "/live/chat", root_path="/live").startswith("the app is mounted at '/live'")


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "odac"]


def test_a_refused_handshake_is_logged_with_the_route_that_was_meant(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        handshake(app_of("/ws/chat"), "/chat")
    [line] = warnings_of(caplog)
    assert line == (
        "a handshake for '/chat' was refused with 404, because no route has this path: did you mean '/ws/chat'?"
    )


def test_what_a_client_sends_cannot_make_lines_or_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    app = app_of("/chat")
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            handshake(app, "/chat\r\nERROR forged\x1b[2J" + "x" * 8000)
    lines = warnings_of(caplog)
    assert len(lines) == notices.LINES
    assert all(len(line) < 500 and line.isprintable() for line in lines)


def test_a_hostile_path_takes_little_time() -> None:
    app = app_of(*(f"/{number}/{{id}}/chat" for number in range(50)))
    began = time.process_time()
    for path in ("/" * 8192, "/a" * 4096, "/" + "x" * 8191):
        NoRoute(app._router, {"path": path, "root_path": ""}).hint()
    assert time.process_time() - began < 1.0


async def refusing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.close", "code": 1000})


async def forbidding(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.close", "code": 1008})


async def raising(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("HTTP alone")


@pytest.mark.parametrize("wrapped", [refusing, forbidding])
def test_a_route_near_a_path_that_the_wrapped_app_refuses_is_named(
    wrapped: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        handshake(app_of("/ws/chat", http=wrapped), "/ws/cha")
    [line] = warnings_of(caplog)
    assert line.startswith("the app given as http= refused a handshake for '/ws/cha'")
    assert line.endswith("did you mean '/ws/chat'?")


def test_a_path_that_neither_app_knows_is_logged_once_with_the_routes(caplog: pytest.LogCaptureFixture) -> None:
    app = app_of("/ws/chat", "/news", http=FastAPI())
    with caplog.at_level(logging.WARNING):
        for path in ("/x", "/its/own", "/x"):
            handshake(app, path)
    assert warnings_of(caplog) == [
        f"the app given as http= refused a handshake for {path!r}, and no route of Odac has this path: the routes are"
        " '/ws/chat', '/news'"
        for path in ("/x", "/its/own")
    ]


def test_what_the_wrapped_app_forbids_at_a_path_of_its_own_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        handshake(app_of("/ws/chat", http=forbidding), "/its/own")
    assert warnings_of(caplog) == []


def test_the_paths_that_are_remembered_are_bounded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "LINES", 1000)
    app = app_of("/ws/chat", http=refusing)
    with caplog.at_level(logging.WARNING):
        for number in range(200):
            handshake(app, f"/{number:0300}")
    assert len(app._dispatch._unknown_paths) == len(warnings_of(caplog)) <= 100
    assert max(map(len, app._dispatch._unknown_paths)) == 200


def test_a_wrapped_app_without_websockets(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        handshake(app_of("/ws/chat", http=raising), "/chat")
    [line] = warnings_of(caplog)
    assert "refused with 404" in line
    assert "did you mean '/ws/chat'?" in line


def test_a_path_that_a_convertor_refuses(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        handshake(app_of("/room/{number:int}"), "/room/tea")
    [line] = warnings_of(caplog)
    assert line.endswith("the route '/room/{number:int}' takes other values there: see its convertors")


def test_the_route_is_looked_for_only_when_the_line_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []

    def counted(self: NoRoute) -> None:
        looked.append(self)

    monkeypatch.setattr(NoRoute, "hint", counted)
    for app in (app_of("/chat"), app_of("/chat", http=refusing)):
        looked.clear()
        for _ in range(200):
            handshake(app, "/cht")
        assert len(looked) < 100, "some for each line: every log handler formats it once"
