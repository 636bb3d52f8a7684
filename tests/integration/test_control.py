"""Control messages: only for clients that offered ``odac.v1``."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from odac import Context, Limits, Odac
from tests.integration.harness import DEADLINE, OpenRoutes, Probe, Server, closing, everybody

SEPARATOR = "\x1e"


def build(probe: Probe) -> Odac:
    app = Odac(secret="x" * 32, limits=Limits(ping_interval=0.2, pong_timeout=1.0))
    ws = OpenRoutes(app)

    @ws("/talk")
    def talk(odac: Context) -> None:
        odac.ws.join("all")
        odac.ws.on("close", lambda code: probe("close", code))
        odac.ws.on("pong", lambda: probe("pong"))

        @odac.ws.on("message")
        def answer(data: Any) -> None:
            probe("message", data)
            odac.ws.send(data)
            odac.ws.to("all").send(data)

        probe("connection", odac.ws)

    @ws("/greets")
    def greets(odac: Context) -> None:
        odac.ws.send("from the handler")

    app.route.auth.ws("/refused", greets, token=False)
    app.route.ws("/guarded", lambda odac: probe("connection", odac.ws))
    return app


def control(client: ClientConnection) -> Any:
    """The next message, which is a control message."""
    message = str(client.recv(DEADLINE))
    assert message[0] == SEPARATOR
    assert message[1] != SEPARATOR
    return json.loads(message[1:])


def application(client: ClientConnection) -> str | bytes:
    """The next message that is no ping."""
    while (message := client.recv(DEADLINE)) == '\x1e["ping"]':
        with contextlib.suppress(ConnectionClosed):  # the server may have closed since; what it sent before is here
            client.send('\x1e["pong"]')
    return message


def test_hello_comes_first(server: Server, probe: Probe) -> None:
    with server.connect("/greets", v1=True) as client:
        assert client.subprotocol == "odac.v1"
        kind, facts = control(client)
        assert client.recv(DEADLINE) == "from the handler"
    assert kind == "hello"
    assert facts == {"id": facts["id"], "ping": 0.2, "version": 1}
    with server.connect("/talk", v1=True) as client:
        assert control(client)[1]["id"] == probe.get("connection").id


def test_a_refused_client_gets_no_hello(server: Server) -> None:
    with server.connect("/refused", v1=True) as client:
        assert closing(client)[0] == 4001


def test_clients_without_odac_v1_get_no_control_message(server: Server) -> None:
    with server.connect("/greets", token=True) as client:
        assert client.subprotocol is not None
        assert client.subprotocol.startswith("odac-token-")
        assert client.recv(DEADLINE) == "from the handler"
        with pytest.raises(TimeoutError):  # longer than two pings
            client.recv(0.5)


@pytest.mark.parametrize("text", ["\x1e", "\x1e[1]", '\x1e["hello"]', "\x1e\x1e", "\x1etext", "plain", "pla\x1ein"])
def test_text_that_begins_with_the_separator_is_the_applications(server: Server, probe: Probe, text: str) -> None:
    """It arrives as it was sent, whoever sends it and whoever gets it, directly and through a room."""
    with everybody(server.connect("/talk", v1=True), server.connect("/talk")) as (v1, plain):
        assert control(v1)[0] == "hello"
        escaped = SEPARATOR + text if text.startswith(SEPARATOR) else text
        v1.send(escaped)
        assert probe.get("message") == text
        assert [application(v1), application(v1)] == [escaped, escaped]
        assert plain.recv(DEADLINE) == text
        plain.send(text)
        assert probe.get("message") == text
        assert [plain.recv(DEADLINE), plain.recv(DEADLINE)] == [text, text]
        assert application(v1) == escaped


def test_binary_is_never_escaped(server: Server) -> None:
    with server.connect("/talk", v1=True) as client:
        control(client)
        client.send(b"\x1e[1]")
        assert application(client) == b"\x1e[1]"


def test_a_ping_is_answered(server: Server) -> None:
    with server.connect("/talk", v1=True) as client:
        control(client)
        client.send('\x1e["ping"]')
        assert application(client) == '\x1e["pong"]'


def test_a_pong_is_an_event(server: Server, probe: Probe) -> None:
    with server.connect("/talk", v1=True) as client:
        control(client)
        client.send('\x1e["pong"]')
        probe.get("pong")


@pytest.mark.parametrize(
    "text",
    ["\x1e", "\x1e[]", "\x1e{}", "\x1e[1]", '\x1e["unknown", 7]', "\x1enot JSON", '\x1e["ping"', "\x1e" + "[" * 50_000],
)
def test_unknown_and_malformed_control_messages_are_ignored(server: Server, probe: Probe, text: str) -> None:
    with server.connect("/talk", v1=True) as client:
        control(client)
        client.send(text)
        client.send("after")
        assert application(client) == "after"
    assert probe.so_far("message") == ["after"]


def test_the_server_pings_and_a_silent_client_is_dropped(server: Server, probe: Probe) -> None:
    with server.connect("/talk", v1=True) as client:
        assert control(client)[0] == "hello"
        for _ in range(3):
            assert control(client) == ["ping"]
            client.send('\x1e["pong"]')
        assert control(client) == ["ping"]
        assert probe.get("close") == 1006 if server.lane == "direct" else probe.get("close")


def test_over_the_direct_lane_others_are_pinged_by_frames(server: Server, probe: Probe) -> None:
    if server.lane != "direct":
        pytest.skip("not for this one: over plain ASGI the server sends pings of its own")
    with server.raw() as raw:
        raw.upgrade("/talk")
        for _ in range(3):
            opcode, payload = raw.frame()
            assert opcode == 9
            raw.send_frame(10, payload)
            probe.get("pong")
        while (frame := raw.frame())[0] == 9:
            pass
        assert frame == (8, b"\x03\xf3no answer to a ping within 1 s")
        assert raw.ends()
    assert probe.get("close") == 1006


def test_drain_sends_odac_v1_clients_the_delay_of_the_retry(server: Server) -> None:
    probe = Probe()
    with (
        Server(build(probe), lane=server.lane, probe=probe) as draining,
        draining.connect("/talk", v1=True) as v1,
        draining.connect("/talk") as plain,
    ):
        control(v1)
        probe.take("connection", 2)
        draining.call(draining.app.drain)
        message = json.loads(str(application(v1))[1:])
        assert message[0] == "drain"
        assert 0 <= message[1] <= 10_000
        assert closing(v1)[0] == 1001
        assert closing(plain)[0] == 1001
    assert probe.take("close", 2) == [1001, 1001]


def test_drain_sends_the_next_token_to_clients_that_used_one(server: Server) -> None:
    """It lets the client into another process with the same secret, without a question over HTTP before."""
    probe = Probe()
    with (
        Server(build(probe), lane=server.lane, probe=probe) as draining,
        draining.connect("/guarded", v1=True, token=True) as v1,
        draining.connect("/guarded", token=True) as plain,
    ):
        control(v1)
        probe.take("connection", 2)
        draining.call(draining.app.drain)
        kind, token = json.loads(str(application(v1))[1:])
        assert kind == "token"
        assert json.loads(str(application(v1))[1:])[0] == "drain"
        assert [closing(v1)[0], closing(plain)[0]] == [1001, 1001]
        used, cookie = draining.token()
        assert token != used
    with server.connect("/guarded", v1=True, subprotocols=[f"odac-token-{token}"], headers={"Cookie": cookie}) as back:
        assert control(back)[0] == "hello"
