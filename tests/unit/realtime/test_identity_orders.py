from __future__ import annotations

import pytest

from odac.realtime import identity_orders as module
from odac.realtime.audience import EVERYONE, Audience, session_room, user_room
from odac.realtime.identity_orders import IdentityOrders

USER, SESSION = user_room("7"), session_room("s")


def test_a_connection_that_was_open_before_the_order_has_missed_it() -> None:
    orders = IdentityOrders()
    orders.note(Audience((USER, SESSION), (), frozenset({"spared"})), 4001, "out", 100.0)
    assert orders.missed(USER, "x", 99.0) == (4001, "out")
    assert orders.missed(SESSION, "x", 100.0) == (4001, "out")
    assert orders.missed(USER, "x", 100.1) is None
    assert orders.missed(USER, "spared", 99.0) is None
    assert orders.missed(user_room("8"), "x", 99.0) is None


def test_orders_for_rooms_of_the_application_are_not_kept() -> None:
    orders = IdentityOrders()
    orders.note(Audience(("lobby",)), 1000, "", 100.0)
    orders.note(Audience((USER,), ("lobby",)), 1000, "", 100.0)
    orders.note(EVERYONE, 1000, "", 100.0)
    assert not orders._orders


def test_the_last_order_for_each_counts_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    orders = IdentityOrders()
    for number in range(4):
        orders.note(Audience((user_room(str(number % 3)),)), 4001, str(number), float(number))
    assert orders.missed(user_room("0"), "x", 2.0) == (4001, "3")
    assert orders.missed(user_room("1"), "x", 0.0) is None
    assert orders.missed(user_room("2"), "x", 2.0) == (4001, "2")
