from __future__ import annotations

import logging
from typing import Any

import pytest
from starlette.responses import Response

from odac import ConfigurationError, Limits, Odac
from tests.unit.realtime.realtime_fakes import run
from tests.unit.test_app import SECRET, Server, get, handshake, http_scope


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/chat", 426, b"WebSocket"),
        ("/room/7", 426, b"WebSocket"),
        ("/nothing", 404, b"Nothing is here"),
        ("/", 404, b"Nothing is here"),
        ("/odac/nothing", 404, b"Nothing is here"),
        ("/odac/health", 200, b'"ok"'),
    ],
)
def test_http_without_a_wrapped_app(path: str, status: int, words: bytes) -> None:
    app = Odac(SECRET)
    app.route.ws("/chat", print)
    app.route.ws("/room/{id}", print)
    got, body = get(app, path)
    assert got == status
    assert words in body


def test_the_prefix_can_be_another() -> None:
    app = Odac(SECRET, prefix="/rt/live")
    assert get(app, "/rt/live/health")[0] == 200
    assert get(app, "/odac/health")[0] == 404


def test_below_a_mount_point() -> None:
    app = Odac(SECRET)
    app.route.ws("/chat", print)
    assert get(app, "/mnt/odac/health", root_path="/mnt")[0] == 200
    assert get(app, "/mnt/chat", root_path="/mnt")[0] == 426
    assert get(app, "/odac/health", root_path="/mnt")[0] in (200, 404)


def test_refusals_use_the_response_extension_where_the_server_has_it() -> None:
    app = Odac(SECRET)
    start, body = handshake(app, "/nothing", extensions={"websocket.http.response": {}})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
    assert b"no WebSocket route" in body["body"]
    [close] = handshake(app, "/nothing")
    assert close["type"] == "websocket.close"
    assert handshake(app, "/nothing", extensions=None)[0]["type"] == "websocket.close"


def test_a_route_takes_an_ordinary_asgi_connection() -> None:
    app = Odac(SECRET)
    seen: list[Any] = []

    @app.route.ws("/room/{id:int}", token=False)
    def room(odac: Any) -> None:
        seen.append((odac.request.data.url, odac.request.ip, odac.request.path))
        odac.ws.send("hello")

    sent = handshake(app, "/mnt/room/7", root_path="/mnt", path_params={"tenant": "acme"})
    assert sent[0] == {"type": "websocket.accept", "subprotocol": None, "headers": []}
    assert {"type": "websocket.send", "text": "hello"} in sent
    assert seen == [({"tenant": "acme", "id": 7}, "10.0.0.1", "/mnt/room/7")]


def test_the_first_handshake_starts_an_app_that_has_no_lifespan(caplog: pytest.LogCaptureFixture) -> None:
    app = Odac(SECRET, limits=Limits(max_connections=1))
    app.route.ws("/a", lambda odac: None, token=False)
    with caplog.at_level(logging.ERROR):
        assert handshake(app, "/a")[0]["type"] == "websocket.accept"
    assert caplog.text == ""


def test_hosts_protect_what_is_odacs_own() -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})

    app = Odac(SECRET, http=page, hosts=["example.com"])
    own, foreign = [(b"host", b"example.com:8000")], [(b"host", b"evil.example")]
    assert get(app, "/odac/token", headers=own)[0] == 200
    assert get(app, "/odac/token", headers=foreign)[0] == 400
    assert get(app, "/odac/odac.js", headers=foreign)[0] == 400
    assert get(app, "/", headers=[*foreign, (b"x-odac", b"token")])[0] == 400
    assert get(app, "/odac/health", headers=foreign)[0] == 200
    assert get(app, "/", headers=foreign) == (200, b"page")
    with pytest.raises(ConfigurationError, match="hosts="):
        Odac(SECRET, hosts=["https://example.com"])


def test_a_wrapped_app_gets_what_no_route_and_no_endpoint_takes() -> None:
    seen: list[tuple[str, str]] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["type"], scope["path"]))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"page"})
        else:
            await receive()
            await send({"type": "websocket.accept", "subprotocol": None, "headers": []})

    app = Odac(SECRET, http=page)
    app.route.ws("/chat", lambda odac: odac.ws.close(4000, "ours"), token=False)
    assert get(app, "/other") == (200, b"page")
    assert get(app, "/chat") == (200, b"page")  # a page may have the path of a WebSocket route
    assert get(app, "/odac/health")[0] == 200
    assert handshake(app, "/chat")[-1] == {"type": "websocket.close", "code": 4000, "reason": "ours"}
    assert handshake(app, "/live")[0]["type"] == "websocket.accept"
    assert seen == [("http", "/other"), ("http", "/chat"), ("websocket", "/live")]


def test_a_page_knows_the_request_that_it_answers() -> None:
    """``app.auth`` in a view of the wrapped app needs no ``request=``."""
    app: Odac

    async def page(scope: Any, receive: Any, send: Any) -> None:
        response = Response("in")
        app.auth.login(response, {"id": 7})
        await response(scope, receive, send)

    app = Odac(SECRET, http=page)
    server = Server({"type": "http.request", "body": b"", "more_body": False})
    run(app(http_scope("/login", scheme="https"), server.receive, server.send))
    cookies = [value for name, value in server.sent[0]["headers"] if name == b"set-cookie"]
    assert len(cookies) == 1
    assert b"secure" in cookies[0].lower()
