"""Orders to close: told again to those who were away, and heard once."""

from __future__ import annotations

import pytest

from odac.cluster import close_orders as closes
from odac.cluster.close_orders import CloseOrders
from odac.cluster.envelope import Close
from odac.realtime.audience import Audience


def order(number: int) -> Close:
    return Close(Audience(("a",)), 4001, "", number)


def test_those_since_a_time_come_in_their_order() -> None:
    given = CloseOrders()
    for number in (1, 2, 3):
        given.given(100.0 + number, ("c",), order(number))
    assert list(given.since(102.0)) == [(("c",), order(2)), (("c",), order(3))]
    assert list(given.since(104.0)) == []


def test_they_are_kept_for_a_time_and_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    given = CloseOrders()
    given.given(0.0, ("c",), order(1))
    given.given(closes.KEPT_SECONDS + 1, ("c",), order(2))
    assert [each.id for _, each in given.since(-1.0)] == [2]
    for number in range(closes.KEPT + 1):
        given.given(closes.KEPT_SECONDS + 1, ("c",), order(number))
    assert len(list(given.since(0.0))) == closes.KEPT


def test_one_is_heard_once_and_one_without_an_id_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closes, "REMEMBERED", 2)
    got = CloseOrders()
    assert [got.got(order(number)) for number in (1, 2, 1, 2, 0, 0)] == [True, True, False, False, True, True]
    assert got.got(order(3))
    assert got.got(order(1)), "the oldest of three is forgotten"
