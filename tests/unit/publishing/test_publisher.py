from __future__ import annotations

import gc
import threading

import pytest

from odac.publishing.publisher import Publisher
from tests.unit.publishing.fakes import confirming


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "odac publisher"]


def test_threads_share_one_connection_and_closing_ends_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    made = confirming(monkeypatch)
    with Publisher("redis://h") as publisher:
        assert threads() == []
        senders = [threading.Thread(target=publisher.to_room, args=("a", number)) for number in range(8)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        publisher.user(7).join("r")
        publisher.to("a").leave("r")
        assert len(threads()) == 1
    (broker,) = made
    assert len(broker.items) == 10
    assert broker.calls == ["stop"]
    assert threads() == []


def test_a_publisher_that_was_closed_or_ended_connects_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = confirming(monkeypatch)
    publisher = Publisher("redis://h")
    publisher.to_room("a", 1)
    publisher.close()
    publisher.to_room("a", 2)
    assert publisher._end is not None
    publisher._end()  # what the end of the interpreter does, before handlers of the application may send
    publisher.to_room("a", 3)
    assert [len(broker.items) for broker in made] == [1, 1, 1]
    publisher.close()
    assert threads() == []


def test_one_that_is_not_closed_is_closed_when_it_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    made = confirming(monkeypatch)
    publisher = Publisher("redis://h")
    publisher.to_room("a", 1)
    del publisher
    gc.collect()
    assert threads() == []
    assert made[0].calls == ["stop"]
