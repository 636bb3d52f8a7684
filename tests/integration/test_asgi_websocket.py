"""Odac's protocol class as an ordinary ASGI WebSocket server, for Starlette, FastAPI and bare ASGI apps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import InvalidStatus

from tests.integration.harness import DEADLINE, Probe, Server, closing, handshake_status

Handler = Callable[[Any, Any, Any], Awaitable[None]]


class Apps:
    """One bare ASGI app a path."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        handler: Handler = getattr(self, scope["path"][1:].partition("/")[0].replace("-", "_"))
        await handler(scope, receive, send)

    async def scope(self, scope: Any, receive: Any, send: Any) -> None:
        self.probe("scope", scope)
        await receive()
        await send({"type": "websocket.close"})

    async def accept(self, scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "websocket.connect"}
        await send(
            {
                "type": "websocket.accept",
                "subprotocol": "mqtt",
                "headers": [(b"X-One", b"1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")],
            }
        )
        self.probe("end", await receive())

    async def refuse(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 4001})
        self.probe("after", await receive())
        try:
            await send({"type": "websocket.accept"})
        except RuntimeError as error:
            self.probe("error", str(error))

    async def respond(self, scope: Any, receive: Any, send: Any) -> None:
        assert "websocket.http.response" in scope["extensions"]
        await receive()
        headers = [(b"content-type", b"text/plain"), (b"x-why", b"because")]
        await send({"type": "websocket.http.response.start", "status": 418, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"I am ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"a teapot"})

    async def respond_slowly(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"transfer-encoding", b"chunked")]
        await send({"type": "websocket.http.response.start", "status": 403, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"first", "more_body": True})
        await asyncio.wait_for(self.go.wait(), DEADLINE)
        await send({"type": "websocket.http.response.body", "body": b"second"})

    async def respond_half(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"first", "more_body": True})

    async def respond_wrongly(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.accept"})

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            assert ("text" in message) != ("bytes" in message)
            await send({**message, "type": "websocket.send"})
        self.probe("end", message)
        self.probe("end", await receive())

    async def close(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "last words"})
        await send({"type": "websocket.close", "code": 4003, "reason": "r" * 200})
        for message in ({"type": "websocket.send", "text": "late"}, {"type": "websocket.close"}):
            try:
                await send(message)
            except RuntimeError as error:
                self.probe("error", str(error))
        self.probe("end", await receive())
        try:
            await send({"type": "websocket.send", "text": "even later"})
        except RuntimeError as error:
            self.probe("error", str(error))

    async def returns(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})

    async def returns_at_once(self, scope: Any, receive: Any, send: Any) -> None:
        return

    async def raises_before(self, scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError("before accept")

    async def raises_after(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        raise ZeroDivisionError("after accept")

    async def sends_first(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.send", "text": "too early"})

    async def nonsense(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for message in ({"type": "websocket.accept"}, {"type": "http.response.start"}):
            try:
                await send(message)
            except RuntimeError as error:
                self.probe("error", str(error))
        try:
            await send({"type": "websocket.close", "code": 1006})
        except ValueError as error:
            self.probe("error", str(error))
        await send({"type": "websocket.send", "text": "still there"})

    async def sends_to_the_gone(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.probe("end", (await receive())["type"])
        for message in ({"type": "websocket.send", "text": "x"}, {"type": "websocket.close"}):
            try:
                await send(message)
            except OSError as error:
                self.probe("error", type(error).__name__)
        await send({"type": "websocket.send", "text": "unhandled: the server is not to call it a failure"})

    async def flood(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for number in range(1000):
            try:
                await send({"type": "websocket.send", "bytes": b"x" * 100_000})
            except OSError:
                self.probe("gone")
                return
            self.probe("sent", number)

    async def slow(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        go = asyncio.Event()
        self.probe("ready", go)
        await go.wait()
        count = 0
        while (await receive())["type"] == "websocket.receive":
            count += 1
        self.probe("count", count)

    async def hesitates(self, scope: Any, receive: Any, send: Any) -> None:
        """Accepts when it is told to: what the client sends meanwhile must not be lost."""
        await receive()
        go = asyncio.Event()
        self.probe("ready", go)
        await go.wait()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})

    async def never_answers(self, scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        self.probe("end", await receive())


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    probe = Probe()
    options: dict[str, Any] = {
        "lifespan": "off",
        "ws_max_size": 100_000,
        "ws_max_queue": 4,
        "ws_per_message_deflate": True,
    }
    with Server(Apps(probe), loop=request.param, probe=probe, **options) as running:
        yield running


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


# Accepting and refusing


def test_the_scope(server: Server, probe: Probe) -> None:
    with (
        pytest.raises(InvalidStatus),
        server.connect(
            "/scope/a%20b?x=1&y=%20", subprotocols=["one", "two"], headers={"X-Thing": "ü", "Cookie": "a=1"}
        ),
    ):
        pass
    scope = probe.get("scope")
    assert scope["type"] == "websocket"
    assert scope["asgi"]["spec_version"] == "2.4"
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/scope/a b", b"/scope/a%20b", b"x=1&y=%20")
    assert (scope["scheme"], scope["http_version"], scope["root_path"]) == ("ws", "1.1", "")
    assert scope["subprotocols"] == ["one", "two"]
    assert scope["client"][0] == "127.0.0.1"
    assert scope["server"] == ("127.0.0.1", server.port)
    headers = dict(scope["headers"])
    assert headers[b"x-thing"] == "ü".encode("latin-1")
    assert headers[b"cookie"] == b"a=1"
    assert all(name == name.lower() for name in headers)


def test_the_root_path() -> None:
    probe = Probe()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        probe("paths", (scope["root_path"], scope["path"], scope["raw_path"]))
        await receive()
        await send({"type": "websocket.close"})

    with Server(app, root_path="/root", lifespan="off") as server:
        assert handshake_status(server, "/x") == 403
    assert probe.get("paths") == ("/root", "/root/x", b"/root/x")


def test_accept_with_subprotocol_and_headers(server: Server, probe: Probe) -> None:
    with server.connect("/accept", subprotocols=["odac.v1", "mqtt"]) as client:
        assert client.subprotocol == "mqtt"
        assert client.response is not None
        assert client.response.headers["x-one"] == "1"
        assert client.response.headers.get_all("set-cookie") == ["a=1", "b=2"]
        assert client.response.headers["server"] == "uvicorn"
        client.close(4001, "bye")
    assert probe.get("end") == {"type": "websocket.disconnect", "code": 4001, "reason": "bye"}


def test_close_before_accept_is_403(server: Server, probe: Probe) -> None:
    assert handshake_status(server, "/refuse") == 403
    assert probe.get("after")["type"] == "websocket.disconnect"
    assert "websocket.accept" in probe.get("error")


def test_the_response_extension(server: Server) -> None:
    with pytest.raises(InvalidStatus) as failure, server.connect("/respond"):
        pass
    response = failure.value.response
    assert response.status_code == 418
    assert response.headers["x-why"] == "because"
    assert response.headers["content-type"] == "text/plain"
    assert response.body == b"I am a teapot"


def test_a_response_is_passed_on_as_it_comes(server: Server) -> None:
    with server.raw() as raw:
        raw.handshake("/respond-slowly")
        assert raw.take_until(b"first\r\n").startswith(b"HTTP/1.1 403 ")
        server.call(server.app.go.set)
        assert raw.take_until(b"0\r\n\r\n") == b"6\r\nsecond\r\n0\r\n\r\n"
        assert raw.ends()


def test_a_response_that_breaks_off_is_seen_as_incomplete(server: Server) -> None:
    with server.raw() as raw:
        raw.handshake("/respond-half")
        with pytest.raises(ConnectionError):
            raw.take_until(b"0\r\n\r\n")


def test_an_unfinished_response_is_500_and_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    assert handshake_status(server, "/respond-wrongly") == 500
    assert "websocket.http.response.body" in caplog.text


@pytest.mark.parametrize("path", ["/returns-at-once", "/raises-before", "/sends-first"])
def test_an_app_that_does_not_answer_is_500_and_logged(
    server: Server, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    assert handshake_status(server, path) == 500
    assert len(errors(caplog)) == 1


def test_what_comes_before_accept_is_not_lost(server: Server, probe: Probe) -> None:
    with server.raw() as raw:
        raw.handshake("/hesitates")
        go = probe.get("ready")
        raw.send_frame(1, b"early")
        raw.send_frame(1, b"bird")
        server.call(go.set)
        assert raw.answer()[0] == 101
        assert [raw.frame(), raw.frame()] == [(1, b"early"), (1, b"bird")]


def test_a_client_that_leaves_before_accept_is_a_disconnect(server: Server, probe: Probe) -> None:
    with server.raw() as raw:
        raw.handshake("/never-answers")
        raw.reset()
    assert probe.get("end")["type"] == "websocket.disconnect"


# Messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_000])
def test_messages_pass_both_ways(server: Server, size: int) -> None:
    with server.connect("/echo") as client:
        client.send("x" * size)
        assert client.recv(DEADLINE) == "x" * size
        client.send(b"x" * size)
        assert client.recv(DEADLINE) == b"x" * size


def test_permessage_deflate_is_uvicorns_setting(server: Server) -> None:
    with server.connect("/echo", compression="deflate") as client:
        assert client.response is not None
        assert "permessage-deflate" in client.response.headers["sec-websocket-extensions"]
        for text in ("ünïcödé" * 1000, "", "x" * 90_000):
            client.send(text)
            assert client.recv(DEADLINE) == text


def test_a_message_over_ws_max_size_is_1009(server: Server, probe: Probe) -> None:
    with server.connect("/echo") as client:
        client.send(b"x" * 100_001)
        assert closing(client)[0] == 1009
    assert probe.get("end")["code"] == 1009


def test_a_broken_frame_is_1002_and_the_app_gets_it(server: Server, probe: Probe) -> None:
    with server.raw() as raw:
        raw.upgrade("/echo")
        raw.send(b"\x81\x01x")
        assert raw.close_code() == 1002
        assert raw.ends()
    assert [each["code"] for each in probe.take("end", 2)] == [1002, 1002]


def test_pings_are_answered(server: Server) -> None:
    with server.connect("/echo") as client:
        assert client.ping(b"payload").wait(5)


def test_the_server_pings_and_drops_a_client_that_does_not_answer() -> None:
    probe = Probe()
    with Server(Apps(probe), lifespan="off", ws_ping_interval=0.05, ws_ping_timeout=1.0) as server:
        with server.raw() as mute:
            mute.upgrade("/echo")
            while (frame := mute.frame())[0] == 9:
                pass
            assert frame == (8, b"\x03\xf3keepalive ping timeout")
            assert mute.ends()
            assert probe.get("end")["code"] == 1006
        with server.raw() as raw:
            raw.upgrade("/echo")
            for _ in range(2):
                opcode, payload = raw.frame()
                assert opcode == 9
                raw.send_frame(10, payload)
            raw.send_frame(1, b"still there")
            while (frame := raw.frame())[0] == 9:
                pass
            assert frame == (1, b"still there")


# The end


def test_receive_after_disconnect_returns_it_again(server: Server, probe: Probe) -> None:
    with server.connect("/echo") as client:
        client.close(4321, "why")
    expected = {"type": "websocket.disconnect", "code": 4321, "reason": "why"}
    assert probe.take("end", 2) == [expected, expected]


def test_a_close_frame_without_a_code_is_1005(server: Server, probe: Probe) -> None:
    with server.raw() as raw:
        raw.upgrade("/echo")
        raw.send_frame(8, b"")
        assert raw.frame() == (8, b"")
    assert probe.get("end")["code"] == 1005


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_vanishes_is_1006(server: Server, probe: Probe, how: str) -> None:
    with server.raw() as raw:
        raw.upgrade("/echo")
        getattr(raw, how)()
    assert probe.get("end")["code"] == 1006


def test_send_after_close_is_a_runtime_error(server: Server, probe: Probe) -> None:
    with server.connect("/close") as client:
        assert client.recv(DEADLINE) == "last words"
        code, reason = closing(client)
    assert code == 4003
    assert len(reason.encode()) <= 123
    assert all("after sending 'websocket.close'" in each for each in probe.take("error", 3))
    assert probe.get("end")["type"] == "websocket.disconnect"


def test_an_app_that_returns_closes_1000(server: Server) -> None:
    with server.connect("/returns") as client:
        assert closing(client)[0] == 1000


def test_an_app_that_raises_closes_1011_and_is_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with server.connect("/raises-after") as client:
        client.send("x")
        assert closing(client)[0] == 1011
    assert "after accept" in caplog.text


def test_messages_that_may_not_come_raise_and_the_connection_lives(server: Server, probe: Probe) -> None:
    with server.connect("/nonsense") as client:
        assert client.recv(DEADLINE) == "still there"
    first, second, third = probe.take("error", 3)
    assert "websocket.accept" in first
    assert "http.response.start" in second
    assert "1006" in third


def test_sending_over_a_lost_connection_is_an_os_error(
    server: Server, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    with server.connect("/sends-to-the-gone"):
        pass
    assert probe.get("end") == "websocket.disconnect"
    assert probe.take("error", 2) == ["ClientGone", "ClientGone"]
    with server.connect("/echo"):
        pass
    assert errors(caplog) == []


# Flow


def test_send_waits_for_a_slow_consumer(server: Server, probe: Probe) -> None:
    with server.raw(receive_buffer=4096) as raw:
        raw.upgrade("/flood")
        sent = server.standstill("sent")
        assert sent < 300
        for _ in range(sent + 2):
            opcode, payload = raw.frame()
            assert (opcode, len(payload)) == (2, 100_000)
        assert probe.get("sent") == sent + 1
        raw.reset()
    probe.get("gone")


def test_a_slow_app_holds_the_client_back_and_loses_nothing(server: Server, probe: Probe) -> None:
    with server.connect("/slow") as client:
        go = probe.get("ready")
        for _ in range(20):
            client.send("x" * 1000)
        server.call(go.set)
        for _ in range(20):
            client.send("x" * 1000)
    assert probe.get("count") == 40


def test_shutdown_closes_1012(probe_of_its_own: Probe) -> None:
    with Server(Apps(probe_of_its_own), lifespan="off") as server, server.connect("/echo") as client:
        client.send("x")
        assert client.recv(DEADLINE) == "x"
        server._server.should_exit = True
        assert closing(client)[0] == 1012
    assert probe_of_its_own.get("end")["code"] == 1012


# Starlette on top


def starlette_app(probe: Probe) -> Starlette:
    async def json_echo(socket: WebSocket) -> None:
        await socket.accept(subprotocol="json", headers=[(b"x-a", b"b")])
        async for data in socket.iter_json():
            await socket.send_json(data)
        probe("left")

    async def denial(socket: WebSocket) -> None:
        await socket.send_denial_response(JSONResponse({"no": True}, 402, {"x-why": "money"}))

    async def close_first(socket: WebSocket) -> None:
        await socket.close(4000)

    async def send_after_close(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close(4242, "enough")
        try:
            await socket.send_text("late")
        except RuntimeError as error:
            probe("error", str(error))

    async def send_to_the_gone(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_bytes(b"x" * 100_000)
        except WebSocketDisconnect as error:
            probe("disconnect", error.code)

    return Starlette(
        routes=[
            WebSocketRoute("/json", json_echo),
            WebSocketRoute("/denial", denial),
            WebSocketRoute("/close-first", close_first),
            WebSocketRoute("/send-after-close", send_after_close),
            WebSocketRoute("/send-to-the-gone", send_to_the_gone),
        ]
    )


@pytest.fixture
def probe_of_its_own() -> Probe:
    return Probe()


def test_starlette(probe_of_its_own: Probe) -> None:
    probe = probe_of_its_own
    with Server(starlette_app(probe)) as server:
        with server.connect("/json", subprotocols=["json"]) as client:
            assert client.subprotocol == "json"
            assert client.response is not None
            assert client.response.headers["x-a"] == "b"
            client.send('{"a": 1}')
            assert client.recv(DEADLINE) == '{"a":1}'
        probe.get("left")
        with pytest.raises(InvalidStatus) as failure, server.connect("/denial"):
            pass
        assert failure.value.response.status_code == 402
        assert failure.value.response.headers["x-why"] == "money"
        assert failure.value.response.body == b'{"no":true}'
        assert handshake_status(server, "/close-first") == 403
        assert handshake_status(server, "/nothing") == 403
        with server.connect("/send-after-close") as client:
            assert closing(client) == (4242, "enough")
        assert "close message" in probe.get("error")
        with server.raw() as raw:
            raw.upgrade("/send-to-the-gone")
            raw.frame()
            raw.reset()
        assert probe.get("disconnect") == 1006
