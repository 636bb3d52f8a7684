from __future__ import annotations

from time import monotonic

import pytest

from odac import CloseCode, Context
from odac.testing import NothingReceived, TestClient
from tests.unit.testing.apps import make_app


def test_what_follows_can_be_asserted_at_once() -> None:
    app = make_app()
    with TestClient(app) as client:
        alice, bob, carol = (client.connect(f"/room/{name}") for name in ("a", "a", "b"))
        assert app.route.ws_server.client_count == 3
        assert {alice.id, bob.id, carol.id} == set(app.route.ws_server.clients)
        alice.send({"text": "hi"})
        assert alice.received == bob.received == [{"text": "hi"}]
        assert carol.received_nothing()
        app.route.ws_server.to_room("b", "from outside")
        client.settle()
        assert carol.unread == ["from outside"]
        assert carol.received_nothing() is False
        bob.close()
        assert app.route.ws_server.client_count == 2
    assert app.route.ws_server.client_count == 0


def test_nothing_received_says_what_was() -> None:
    with TestClient(make_app()) as client, client.connect("/echo") as ws:
        with pytest.raises(NothingReceived, match="nothing at all"):
            ws.receive()
        for number in range(12):
            ws.send({"n": number})
            ws.receive()
        begun = monotonic()
        with pytest.raises(
            NothingReceived, match=r"/echo: nothing was received within 60 s.*12 messages.*\{'n': 11\}\]"
        ):
            ws.receive(timeout=60)
        assert monotonic() - begun < 30


def test_control_messages_and_clients_without_them() -> None:
    with TestClient(make_app()) as client:
        modern = client.connect("/echo")
        assert modern.subprotocol == "odac.v1"
        assert modern.control[0] == ("hello", [{"id": modern.id, "ping": 25.0, "version": 1}])
        plain = client.connect("/open", token=False, v1=False)
        assert (plain.subprotocol, plain.id, plain.control) == (None, None, [])
        plain.send('\x1e["ping"]')
        assert plain.receive() == '\x1e["ping"]'
        old = client.connect("/echo", v1=False)
        assert old.subprotocol is not None
        assert old.subprotocol.startswith("odac-token-")


def test_a_client_that_vanishes() -> None:
    app = make_app()
    seen: list[tuple[int, str]] = []

    @app.route.ws("/seen", token=False)
    def handler(odac: Context) -> None:
        odac.ws.on("close", lambda code, reason: seen.append((code, reason)))

    with TestClient(app) as client:
        client.connect("/seen").drop()
        client.connect("/seen").close(4321, "bye")
        with client.connect("/seen"):
            pass
        with pytest.raises(ZeroDivisionError), client.connect("/seen"):
            _ = 1 / 0
        client.connect("/seen")
        with pytest.raises(ValueError, match="1006"):
            client.connect("/seen").close(1006)
    assert seen == [(1006, ""), (4321, "bye"), (1000, ""), (1001, ""), (1001, ""), (1001, "")]


def test_a_handler_that_raises_ends_in_a_close_code(caplog: pytest.LogCaptureFixture) -> None:
    with TestClient(make_app(), raise_exceptions=False) as client:
        assert client.connect("/fail").close_code == CloseCode.INTERNAL_ERROR
    assert "ZeroDivisionError" in caplog.text
    assert "During handling" not in caplog.text  # the traceback is the application's alone
