from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from odac.cluster.channels import Channels
from odac.cluster.envelope import Move, Unkept
from odac.contrib.django import publisher
from odac.contrib.django.publishing import DjangoPublisher
from odac.errors import BrokerNotConfigured
from odac.history.memory_store import MemoryStore, Shared
from odac.history.rules import History, Rule, RuleBook
from odac.history.store import decode_message
from odac.publishing import kept
from odac.testing import TestClient
from tests.unit.publishing.fakes import confirming


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


def test_rooms_are_joined_and_left_when_the_transaction_is_committed(client: TestClient) -> None:
    with client.connect("/me", token=False) as ws:
        assert ws.receive() is None
        with transaction.atomic():
            publisher.to("tea").join("coffee")
            publisher.to("coffee").send("too early")
        publisher.to("coffee").send("joined")
        publisher.to("tea").leave("tea")
        publisher.to_room("tea", "to nobody")
        publisher.to_room("coffee", "still here")
        assert [ws.receive(), ws.receive(), ws.receive()] == ["too early", "joined", "still here"]


def test_outside_of_the_app_the_history_of_a_room_has_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    made = confirming(monkeypatch)
    shared = Shared(lambda: 1000.0)
    shared.rules.write(1, RuleBook((Rule("kept", History()),)).encode(), 60.0)
    monkeypatch.setattr(kept, "make_history", lambda url, clock: MemoryStore(shared))
    monkeypatch.setenv("ODAC_BROKER", "redis://h")
    outside = DjangoPublisher()
    outside.to_room("kept", "hello")
    outside.to_room("kept", "for now", keep=False)
    outside.user(7).join("kept")
    outside._broker_publisher().close()
    entries = MemoryStore(shared).read_now(Channels("odac").room("kept"), History(), 0, 10).entries
    assert [decode_message(entry.body).payload for entry in entries] == [b"hello"]
    assert [type(item) for item in made[0].items] == [Unkept, Move]


def test_mistakes_raise_at_the_call() -> None:
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


def test_where_no_broker_leads_to_the_server_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ODAC_BROKER", "ODAC_LOCAL_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BrokerNotConfigured, match="set ODAC_BROKER, in the settings or in the environment"):
        DjangoPublisher()._broker_publisher()
