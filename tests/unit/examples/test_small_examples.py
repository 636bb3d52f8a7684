"""The small examples do what their first lines say."""

from __future__ import annotations

from examples import echo, fastapi_app
from examples.cursors import app as cursors
from odac.testing import TestClient


def test_echo() -> None:
    with TestClient(echo.app) as client, client.connect("/echo", token=False) as ws:
        for message in ({"a": [1, None]}, "text", b"\x00\xff"):
            ws.send(message)
            assert ws.receive() == message


def test_bids_by_http_reach_every_client_that_watches() -> None:
    with TestClient(fastapi_app.app) as client, client.connect("/auction/clock", token=False) as ws:
        assert ws.receive() == {"item": "clock", "highest": 0}
        assert client.http.post("/auction/clock/bid?amount=20").json() == {"highest": 20}
        assert ws.receive() == {"item": "clock", "highest": 20}
        assert client.http.post("/auction/clock/bid?amount=20").status == 409
        assert client.http.post("/auction/moon/bid?amount=20").status == 404
        assert ws.received_nothing()
        assert client.connect("/auction/moon", token=False).wait_closed() == (4404, "There is no moon for sale.")


def test_cursors_are_shown_to_everyone() -> None:
    with (
        TestClient(cursors.app) as client,
        client.connect("/cursors/Ada", token=False) as ada,
        client.connect("/cursors/Bob", token=False) as bob,
    ):
        assert ada.receive() == {"you": ada.id}
        for nonsense in ([1], [0, 1001], ["1", 2], {"x": 1}):
            bob.send(nonsense)
        bob.send([10, 20])
        client.advance(0.2)
        (other,) = [person.data for person in ada.people("page") if person.data["name"] == "Bob"]
        assert other["at"] == [10, 20]
        assert "cursors/" in client.http.get("/").text
