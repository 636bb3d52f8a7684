from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from odac.contrib.django import publisher
from odac.testing import TestClient


def test_what_is_sent_goes_out_when_the_transaction_is_committed(client: TestClient) -> None:
    with client.connect("/me", token=False) as ws:
        assert ws.receive() is None
        with transaction.atomic():
            publisher.to_room("tea", "committed")
            assert ws.received_nothing()
        assert ws.receive() == "committed"
        with transaction.atomic():
            publisher.broadcast("rolled back")
            transaction.set_rollback(True)
        assert ws.received_nothing()
        publisher.to("tea").excluding(str(ws.id)).send("to nobody")
        publisher.to("tea").within("coffee").send("to nobody")
        publisher.to("tea").send_binary(b"\x00")
        assert ws.receive() == b"\x00"


def test_the_connections_of_a_user(client: TestClient, session: str, user: Any) -> None:
    with (
        client.connect("/me", token=False, headers={"Cookie": f"sessionid={session}"}) as ada,
        client.connect("/me", token=False) as other,
    ):
        assert (ada.receive(), other.receive()) == ("Ada", None)
        publisher.user(user).close(4001, "enough")
        assert ada.wait_closed() == (4001, "enough")
        assert other.received_nothing()


def test_mistakes_are_told_at_the_call() -> None:
    from django.contrib.auth.models import AnonymousUser

    with pytest.raises(TypeError):
        publisher.user(AnonymousUser())
    with pytest.raises(ValueError):
        publisher.to()
    with pytest.raises(TypeError):
        publisher.to("tea").send(object())


def test_what_goes_wrong_at_the_commit_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("ODAC_BROKER", raising=False)
    publisher.to("tea").send("there is neither an app nor a broker")
    assert "set ODAC_BROKER" in caplog.text
