"""What the store asks a server, and how it reads the answers; the scripts themselves run on real servers."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from redis.crc import key_slot

from odac.brokers.redis_history import ScriptedHistory
from odac.brokers.redis_scripts import APPEND, ERASE, READ, REVOKE, WRITE_RULES, Script
from odac.history.rules import History
from odac.history.store import Appended, Entry, Slice
from tests.unit.brokers.fakes import run

HISTORY = History(size=5, ttl=1.5, max_bytes=2048)
CHANNEL = "shop:r:news"


class Recorder(ScriptedHistory):
    """Writes down what goes to the server, and answers what the test says."""

    def __init__(self, answer: Any = None) -> None:
        super().__init__("shop", "SPUBLISH")
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    async def _run(self, script: Script, keys: tuple[str, ...], *arguments: Any, guarded: bool = True) -> Any:
        self.asked.append((script, keys, arguments, guarded))
        return self.answer

    async def _command(self, key: str, *words: Any) -> Any:
        self.asked.append((key, *words))
        return self.answer


def test_an_append_hands_over_the_bounds_and_the_bodies() -> None:
    store = Recorder([b"e" * 16, 7])
    done = run(store.append(CHANNEL, HISTORY, b"origin", 3, [b"a", b"b"], b"f" * 16))
    assert done == Appended(b"e" * 16, 7)
    ((script, _, arguments, guarded),) = store.asked
    assert script is APPEND
    assert arguments == (b"f" * 16, 5, 2048, 1500, b"origin", 3, "SPUBLISH", b"a", b"b")
    assert guarded


@pytest.mark.parametrize("channel", [CHANNEL, "shop:r:", "x"])
def test_all_keys_of_a_room_are_in_the_slot_of_its_channel(channel: str) -> None:
    store = Recorder([b"", 0, 0, [], []])
    run(store.read(channel, HISTORY, 0, 10))
    ((_, keys, _, _),) = store.asked
    assert {key_slot(key.encode()) for key in keys} == {key_slot(channel.encode())}
    assert keys[-1] == channel
    assert len(set(keys)) == 3


def test_a_read_makes_entries_of_what_the_list_holds() -> None:
    stored = [struct.pack(">Q", 1000) + b"one", struct.pack(">Q", 2000)]
    store = Recorder([b"e" * 16, 9, 4, stored, [b"ruser", b"3"], 8])
    found = run(store.read(CHANNEL, HISTORY, -2, 10))
    assert found == Slice(b"e" * 16, 9, 4, (Entry(8, 1000, b"one"), Entry(9, 2000, b"")), {"user": 3})
    ((script, _, arguments, _),) = store.asked
    assert (script, arguments) == (READ, (-2, 10, 1500))


def test_a_log_that_is_not_there_has_no_epoch() -> None:
    assert run(Recorder([b"", 0, 0, [], []]).read(CHANNEL, HISTORY, 0, 10)) == Slice(None, 0, 0)


def test_erasing_needs_no_guard_and_revoking_does() -> None:
    store = Recorder()
    run(store.erase(CHANNEL))
    run(store.revoke(CHANNEL, "user"))
    assert [(script, arguments, guarded) for script, _, arguments, guarded in store.asked] == [
        (ERASE, ("SPUBLISH",), False),
        (REVOKE, ("user", "SPUBLISH", 1000), True),
    ]


def test_publishing_goes_the_way_of_the_channel() -> None:
    store = Recorder()
    run(store.publish(CHANNEL, b"probe"))
    assert store.asked == [(CHANNEL, "SPUBLISH", CHANNEL, b"probe")]


@pytest.mark.parametrize(("answer", "expected"), [([b"4", b"text"], (4, b"text")), ([None, None], (0, b""))])
def test_rules_are_read_and_kept(answer: list[bytes | None], expected: tuple[int, bytes]) -> None:
    store = Recorder(answer)
    assert run(store.rules()) == expected
    assert [words[1] for words in store.asked] == ["HMGET"]
    run(store.rules(keep=2.5))
    assert store.asked[1][1:] == ("PEXPIRE", "shop.rules", 2500)


@pytest.mark.parametrize("written", [0, 1])
def test_rules_are_written_with_their_time(written: int) -> None:
    store = Recorder(written)
    assert run(store.write_rules(2, b"text", 60.0)) is bool(written)
    assert store.asked == [(WRITE_RULES, ("shop.rules",), (2, b"text", 60_000), False)]
