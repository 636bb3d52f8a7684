from __future__ import annotations

import pytest

from odac.cluster import sequence as module
from odac.cluster.envelope import UNNUMBERED, Bye, Envelope
from odac.cluster.sequence import Numbers, Sequence

A, B = b"a" * 16, b"b" * 16


def envelope(sequence: int, number: int, items: int = 1, *, origin: bytes = A, shared: bool = False) -> Envelope:
    return Envelope(2, origin, sequence, number, shared, [Bye() for _ in range(items)])


def test_numbers_count_items_per_channel() -> None:
    numbers = Numbers()
    assert [
        numbers.take("a", 2, 0.0),
        numbers.take("b", 1, 0.0),
        numbers.take("a", 1, 0.0),
        numbers.take("a", 1, 0.0),
    ] == [0, 0, 2, 3]


def test_the_channel_unused_for_longest_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHANNELS", 2)
    numbers = Numbers()
    for channel in ("a", "b", "a", "c"):
        numbers.take(channel, 1, 0.0)
    assert (numbers.take("a", 1, 0.0), numbers.take("b", 1, 0.0)) == (2, 0)


def test_in_order_nothing_is_lost() -> None:
    ledger = Sequence()
    assert all(ledger.accept("a", envelope(sequence, number, 2)) for sequence, number in [(5, 10), (6, 12), (9, 14)])
    assert (ledger.lost, ledger.late) == (0, 0)


def test_a_gap_is_counted_in_items_and_once() -> None:
    ledger = Sequence()
    ledger.accept("a", envelope(1, 0, 2))
    ledger.accept("a", envelope(5, 7))
    ledger.accept("a", envelope(6, 8))
    assert ledger.lost == 5


def test_gaps_are_per_publisher_and_channel() -> None:
    ledger = Sequence()
    ledger.accept("a", envelope(1, 0))
    ledger.accept("a", envelope(1, 40, origin=B))
    ledger.accept("b", envelope(2, 90))
    assert ledger.lost == 0


def test_who_comes_late_has_missed_nothing() -> None:
    ledger = Sequence()
    assert ledger.accept("a", envelope(100, 57))
    assert ledger.lost == 0


def test_a_number_that_begins_anew_is_no_gap_and_not_late() -> None:
    ledger = Sequence()
    ledger.accept("a", envelope(1, 57))
    assert ledger.accept("a", envelope(2, 0))
    assert ledger.accept("a", envelope(3, 1))
    assert (ledger.lost, ledger.late) == (0, 0)


def test_what_comes_twice_or_after_a_newer_one_is_dropped() -> None:
    ledger = Sequence()
    ledger.accept("a", envelope(1, 0))
    ledger.accept("a", envelope(3, 2))
    assert not ledger.accept("a", envelope(2, 1))
    assert not ledger.accept("a", envelope(3, 2))
    assert ledger.accept("a", envelope(4, 3))
    assert (ledger.lost, ledger.late) == (1, 2)


def test_a_copy_for_another_room_is_not_delivered_again_but_counts_there() -> None:
    ledger = Sequence()
    assert ledger.accept("a", envelope(1, 0, shared=True))
    assert not ledger.accept("b", envelope(1, 0, shared=True))
    assert ledger.accept("b", envelope(2, 1))
    assert (ledger.lost, ledger.late) == (0, 0)


def test_what_was_not_listened_to_is_not_missed() -> None:
    ledger = Sequence()
    ledger.accept("a", envelope(1, 0))
    ledger.forget_channel("a")
    ledger.accept("a", envelope(9, 8))
    assert ledger.lost == 0


def test_a_publisher_is_remembered_for_one_age_and_forgotten_after_two() -> None:
    ledger = Sequence()
    ledger.accept("a", envelope(1, 0))
    ledger.age()
    ledger.accept("a", envelope(3, 2))
    assert ledger.lost == 1
    ledger.age()
    ledger.age()
    assert ledger.accept("a", envelope(9, 8))
    assert ledger.lost == 1
    assert ledger._older == {}


def test_control_messages_are_not_counted() -> None:
    ledger = Sequence()
    assert all(ledger.accept("a", envelope(0, UNNUMBERED)) for _ in range(3))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ORIGINS", 10)
    monkeypatch.setattr(module, "MAX_SHARED", 10)
    ledger = Sequence()
    for number in range(1000):
        ledger.accept("a", envelope(number + 1, 0, origin=number.to_bytes(16, "big"), shared=True))
    assert len(ledger._channels["a"]) == 10
    assert len(ledger._shared) == 10
