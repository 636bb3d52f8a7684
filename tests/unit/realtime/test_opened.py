from __future__ import annotations

import pytest

from odac.realtime import opened
from odac.realtime.opened import order_time, time_opened


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(opened, "monotonic", lambda: now[0])
    order_time()
    return now


def test_connections_of_one_millisecond_share_a_time(clock: list[float]) -> None:
    first = time_opened()
    clock[0] += 0.0009
    assert time_opened() is first
    clock[0] += 0.0002
    assert time_opened() == clock[0]


def test_a_connection_that_opens_after_an_order_has_a_later_time(clock: list[float]) -> None:
    before = time_opened()
    clock[0] += 0.0001
    given = order_time()
    clock[0] += 0.0001
    assert before <= given < time_opened()


def test_a_clock_that_is_moved_back_does_not_date_later_connections_into_the_future(clock: list[float]) -> None:
    time_opened()
    clock[0] -= 100
    assert time_opened() == clock[0] <= order_time()
