"""Route options, each with what it allows and what it refuses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec
import pytest

from odac import Context, InvalidMessage, Limits, Odac, RateLimit
from odac.wire.frames import encode_masked_frame
from tests.integration.harness import (
    DEADLINE,
    OpenRoutes,
    Probe,
    Server,
    closing,
    handshake_status,
    receive,
    receive_all,
)


class Move(msgspec.Struct):
    x: int
    y: int = 0


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    x: int = 0


@dataclass
class Point:
    x: int
    label: str


class Typed(TypedDict):
    x: int


def build(probe: Probe) -> Odac:
    app = Odac(secret="x" * 32, origins=["https://app.example"], limits=Limits(max_payload=1000, close_timeout=0.5))
    ws = OpenRoutes(app)

    def tell_type(odac: Context) -> None:
        odac.ws.on("message", lambda data: odac.ws.send([type(data).__name__, repr(data)]))

    ws("/raw", raw=True)(tell_type)
    ws("/struct", message=Move)(tell_type)
    ws("/dataclass", message=Point)(tell_type)
    ws("/typed-dict", message=Typed)(tell_type)
    ws("/list", message=list[int])(tell_type)
    ws("/strict", message=Strict)(tell_type)

    @ws("/struct-with-listener", message=Move)
    def struct_with_listener(odac: Context) -> None:
        tell_type(odac)

        @odac.ws.on("invalid")
        def invalid(error: InvalidMessage) -> None:
            odac.ws.send(["invalid", error.reason])

    def tell_subprotocol(odac: Context) -> None:
        odac.ws.send("ready")

    ws("/subprotocols", subprotocols=["graphql-ws", "mqtt"])(tell_subprotocol)
    ws("/none")(tell_subprotocol)

    ws("/other-origins", origins=["https://other.example"])(tell_subprotocol)
    ws("/any-origin", origins="*")(tell_subprotocol)

    def echo(odac: Context) -> None:
        odac.ws.on("message", odac.ws.send)
        odac.ws.on("close", lambda code: probe("close", code))

    ws("/slow", rate_limit=RateLimit(5, 60))(echo)
    ws("/default-rate")(echo)
    ws("/unlimited", rate_limit=None)(echo)
    ws("/small", max_payload=20)(echo)
    ws("/compressed", compression=True)(echo)
    ws("/large", max_payload=5_000_000)(echo)
    ws("/default-size")(echo)

    def member(odac: Context) -> None:
        odac.ws.join("members")
        odac.ws.on("close", lambda code: probe("close", code))
        probe("member", odac.ws)
        odac.ws.send("ready")

    ws("/closes-slow-readers")(member)
    ws("/drops-oldest", overflow="drop_oldest")(member)
    return app


# raw and message=


@pytest.mark.parametrize("text", ['{"a": 1}', "7", "null", "not JSON", ""])
def test_raw_gives_text_as_it_came(server: Server, text: str) -> None:
    with server.connect("/raw") as client:
        client.send(text)
        assert receive(client) == ["str", repr(text)]


@pytest.mark.parametrize(
    ("path", "text", "arrives"),
    [
        ("/struct", '{"x": 1}', ["Move", "Move(x=1, y=0)"]),
        ("/dataclass", '{"x": 1, "label": "a"}', ["Point", "Point(x=1, label='a')"]),
        ("/typed-dict", '{"x": 1}', ["dict", "{'x': 1}"]),
        ("/list", "[1, 2]", ["list", "[1, 2]"]),
    ],
)
def test_a_message_arrives_as_the_declared_type(server: Server, path: str, text: str, arrives: list[str]) -> None:
    with server.connect(path) as client:
        client.send(text)
        assert receive(client) == arrives


@pytest.mark.parametrize(
    ("path", "text", "named"),
    [
        ("/struct", '{"x": "one"}', "$.x"),
        ("/struct", '{"y": 1}', "`x`"),
        ("/struct", "[]", "object"),
        ("/struct", "not JSON", "JSON"),
        ("/dataclass", '{"x": 1}', "`label`"),
        ("/typed-dict", '{"x": null}', "$.x"),
        ("/list", "[1, true]", "$[1]"),
    ],
)
def test_an_invalid_message_is_1007_and_names_the_field(
    server: Server, bystander: None, path: str, text: str, named: str
) -> None:
    with server.connect(path) as client:
        client.send(text)
        code, reason = closing(client)
    assert code == 1007
    assert named in reason


def test_a_long_reason_is_cut_to_what_a_close_frame_holds(server: Server) -> None:
    with server.connect("/strict") as client:
        client.send(json.dumps({"ü" * 100: 1}))
        code, reason = closing(client)
    assert code == 1007
    assert "unknown field" in reason
    assert len(reason.encode()) <= 123


def test_invalid_listeners_get_an_invalid_message_and_the_connection_stays(server: Server) -> None:
    with server.connect("/struct-with-listener") as client:
        client.send('{"x": []}')
        kind, reason = receive(client)
        assert kind == "invalid"
        assert "$.x" in reason
        client.send('{"x": 3}')
        assert receive(client) == ["Move", "Move(x=3, y=0)"]


# Subprotocols


@pytest.mark.parametrize(
    ("path", "offered", "selected"),
    [
        ("/subprotocols", [], None),
        ("/subprotocols", ["mqtt"], "mqtt"),
        ("/subprotocols", ["unknown", "mqtt", "graphql-ws"], "mqtt"),
        ("/subprotocols", ["unknown"], None),
        ("/subprotocols", ["odac-token-abc", "graphql-ws"], "graphql-ws"),
        ("/subprotocols", ["graphql-ws", "odac.v1"], "odac.v1"),
        ("/none", ["mqtt"], None),
        ("/none", ["odac.v1", "odac-token-abc"], "odac.v1"),
        ("/none", ["odac-token-abc"], "odac-token-abc"),
        ("/none", ["odac-token-abc", "mqtt"], None),
    ],
)
def test_the_selected_subprotocol(server: Server, path: str, offered: list[str], selected: str | None) -> None:
    with server.raw() as raw:
        raw.handshake(path, *([f"Sec-WebSocket-Protocol: {', '.join(offered)}"] if offered else []))
        status, headers = raw.answer()
    assert status == 101
    assert headers.get("sec-websocket-protocol") == selected


# Origins


@pytest.mark.parametrize(
    ("path", "origin", "status"),
    [
        ("/none", "https://app.example", 101),
        ("/none", "https://other.example", 403),
        ("/other-origins", "https://other.example", 101),
        ("/other-origins", "https://app.example", 403),
        ("/any-origin", "https://evil.example", 101),
        ("/any-origin", "null", 101),
    ],
)
def test_a_routes_own_origins_stand_in_place_of_the_apps(server: Server, path: str, origin: str, status: int) -> None:
    assert handshake_status(server, path, f"Origin: {origin}") == status


# Rates and sizes


def test_one_message_too_many_in_a_window_is_1008(server: Server, probe: Probe, bystander: None) -> None:
    with server.connect("/slow") as client:
        for number in range(6):
            client.send(str(number))
        assert receive_all(client, 5) == [0, 1, 2, 3, 4]
        assert closing(client) == (1008, "Rate limit exceeded")
    assert probe.get("close") == 1008


def test_control_frames_count_where_the_lane_sees_them(server: Server) -> None:
    if server.lane != "direct":
        pytest.skip("not for this one: plain ASGI does not show pings to the app")
    with server.raw() as raw:
        raw.upgrade("/slow")
        for _ in range(6):
            raw.send_frame(9, b"ping")
        for _ in range(5):
            assert raw.frame() == (10, b"ping")
        assert raw.close_code() == 1008


def test_the_default_rate_and_none(server: Server) -> None:
    with server.connect("/unlimited") as client:
        for number in range(1000):
            client.send(str(number))
        assert receive_all(client, 1000) == list(range(1000))
    with server.raw() as raw:
        raw.upgrade("/default-rate")
        raw.send(encode_masked_frame(1, b"x", b"abcd") * 101)
        assert [raw.frame() for _ in range(100)] == [(1, b"x")] * 100
        assert raw.close_code() == 1008


@pytest.mark.parametrize(("path", "limit"), [("/small", 20), ("/default-size", 1000), ("/large", 5_000_000)])
def test_max_payload(server: Server, probe: Probe, bystander: None, path: str, limit: int) -> None:
    with server.connect(path) as client:
        client.send(b"x" * limit)
        assert client.recv(DEADLINE) == b"x" * limit
        client.send(b"x" * (limit + 1))
        code, reason = closing(client)
    assert code == 1009
    assert str(limit) in reason
    assert probe.get("close") == 1009


def test_the_length_of_text_is_that_of_its_bytes(server: Server) -> None:
    with server.connect("/small") as client:
        client.send("ü" * 10)
        assert receive(client) == "ü" * 10
        client.send("ü" * 11)
        assert closing(client)[0] == 1009


# Slow readers


def flood(server: Server, count: int, size: int) -> None:
    hub = server.app.route.ws_server
    for number in range(count):
        hub.to_room("members", f"{number:06}" + "." * (size - 6))


def test_a_slow_reader_is_closed_with_1013_and_no_other_is_affected(
    server: Server, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    with server.connect("/closes-slow-readers") as fast, server.raw(receive_buffer=4096) as slow:
        assert receive(fast) == "ready"
        slow.upgrade("/closes-slow-readers")
        assert slow.frame() == (1, b"ready")
        while "outgoing_buffer" not in caplog.text:
            flood(server, 10, 100_000)
            assert [fast.recv(DEADLINE)[:6] for _ in range(10)] == [f"{number:06}" for number in range(10)]
        assert probe.get("close") == 1013
        server.app.route.ws_server.to_room("members", "and on")
        assert receive(fast) == "and on"


def test_with_drop_oldest_a_slow_reader_stays_and_misses_room_messages(
    server: Server, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    with server.raw(receive_buffer=4096) as slow:
        slow.upgrade("/drops-oldest")
        assert slow.frame() == (1, b"ready")
        connection = probe.get("member")
        flood(server, 200, 100_000)
        hub = server.app._hub
        server.call(lambda: None)
        waiting = server.call(lambda: connection.outbox.backlog.size if connection.outbox.backlog is not None else 0)
        assert 0 < waiting <= 1024 * 1024
        server.call(lambda: connection.send("direct"))
        got: list[Any] = []
        while True:
            opcode, payload = slow.frame()
            assert opcode == 1
            if payload == b"direct":
                break
            got.append(int(payload[:6]))
        assert got == sorted(set(got))
        assert got[0] == 0
        assert got[-1] == 199
        assert len(got) < 200
        assert server.call(lambda: hub.delivery.dropped_messages) == 200 - len(got)
        assert connection.is_open
        server.call(lambda: connection.close())
        assert slow.close_code() == 1000


# Compression


@pytest.mark.parametrize(("path", "negotiated"), [("/compressed", True), ("/unlimited", False)])
def test_a_route_may_be_compressed_in_an_app_that_is_not(server: Server, path: str, negotiated: bool) -> None:
    if server.lane != "direct":
        pytest.skip("not for this one: over plain ASGI compression is the server's own matter")
    with server.connect(path, compression="deflate") as client:
        assert client.response is not None
        extensions = client.response.headers.get("Sec-WebSocket-Extensions", "")
        assert ("permessage-deflate" in extensions) == negotiated
        client.send(json.dumps(["alike"] * 100))
        assert receive(client) == ["alike"] * 100
