"""Orders to close: kept for a time and up to a number, and told again to those that were away."""

from __future__ import annotations

import pytest

from odac.cluster import close_orders as module
from odac.cluster.close_orders import CloseOrders
from odac.cluster.envelope import Close
from odac.realtime.audience import Audience


def order(number: int) -> Close:
    return Close(Audience(("a",)), 4001, "", number, 0.0, 0.0)


def ids(orders: CloseOrders, since: float = 0.0) -> list[int]:
    return [kept.order.id for kept in orders.since(since)]


def test_those_since_a_time_come_in_their_order() -> None:
    orders = CloseOrders()
    for number in (1, 2, 3):
        orders.note(order(number), 0.0, 100.0 + number)
    assert ids(orders, 102.0) == [2, 3]
    assert ids(orders, 104.0) == []


def test_an_order_that_is_told_again_counts_from_then_on() -> None:
    orders = CloseOrders()
    first = orders.note(order(1), 0.0, 101.0)
    orders.note(order(2), 0.0, 102.0)
    orders.resent(first, 103.0)
    assert ids(orders, 102.5) == [1]
    assert ids(orders) == [2, 1]


def test_one_that_comes_again_is_the_one_that_is_kept() -> None:
    orders = CloseOrders()
    kept = orders.note(order(1), 50.0, 100.0)
    kept.executed = True
    assert orders.note(order(1), 70.0, 120.0) is kept
    assert kept.given == 50.0
    assert ids(orders, 110.0) == []


def test_what_was_not_executed_in_time_is_late() -> None:
    orders = CloseOrders()
    orders.note(order(1), 0.0, 100.0)
    orders.note(order(2), 0.0, 100.0).executed = True
    orders.note(order(3), 0.0, 105.0)
    assert [kept.order.id for kept in orders.late(103.0)] == [1]


def test_they_are_kept_for_a_time_and_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    orders = CloseOrders()
    orders.note(order(1), 0.0, 0.0)
    orders.note(order(2), 0.0, module.KEPT_SECONDS + 1)
    assert ids(orders, -1.0) == [2]
    for number in range(3, 7):
        orders.note(order(number), 0.0, module.KEPT_SECONDS + 1)
    assert ids(orders) == [4, 5, 6]
