from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from odac.config import RateLimit
from odac.realtime import rate
from odac.realtime.rate import UNSTARTED, RateMeter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    with patch.object(rate, "monotonic", clock):
        yield clock


def test_a_window_has_room_for_its_messages_and_no_more(clock: Clock) -> None:
    meter = RateMeter(RateLimit(3, 10.0))
    assert [meter.is_exceeded() for _ in range(5)] == [False, False, False, True, True]


def test_the_next_window_begins_with_the_first_message_after_the_last(clock: Clock) -> None:
    meter = RateMeter(RateLimit(2, 10.0))
    assert [meter.is_exceeded() for _ in range(2)] == [False, False]
    clock.now += 9.9
    assert meter.is_exceeded()
    clock.now += 0.1
    assert [meter.is_exceeded() for _ in range(3)] == [False, False, True]


def test_only_the_first_of_a_window_and_those_past_the_limit_look_at_the_clock(clock: Clock) -> None:
    meter = RateMeter(RateLimit(100, 10.0))
    for _ in range(100):
        meter.is_exceeded()
    assert clock.asked == 1


def test_a_limit_of_one(clock: Clock) -> None:
    meter = RateMeter(RateLimit(1, 10.0))
    assert [meter.is_exceeded() for _ in range(2)] == [False, True]


def test_idle_connections_share_a_meter_that_never_counted() -> None:
    assert UNSTARTED.count == 0
