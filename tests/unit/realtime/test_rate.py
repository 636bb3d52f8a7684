from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def exceeds(meter: RateMeter, count: int, size: int = 1) -> list[bool]:
    return [meter.is_exceeded(size) for _ in range(count)]


def test_a_window_has_room_for_its_messages_and_no_more(clock: Clock) -> None:
    meter = RateMeter(RateLimit(3, 10.0))
    assert exceeds(meter, 5) == [False, False, False, True, True]


def test_the_limit_holds_around_the_beginning_of_every_window(clock: Clock) -> None:
    """A count that begins anew with each window lets 198 pass within 0.1 s."""
    meter = RateMeter(RateLimit(100, 1.0))
    assert exceeds(meter, 1) == [False]
    clock.now += 0.93
    assert exceeds(meter, 99) == [False] * 99
    clock.now += 0.09
    assert exceeds(meter, 2) == [False, True]
    clock.now += 0.92
    assert exceeds(meter, 100) == [False] * 99 + [True]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 100, 511, 512])
def test_a_steady_sender_at_the_limit_passes_for_ever(clock: Clock, most: int) -> None:
    meter = RateMeter(RateLimit(most, most / 64))
    for _ in range(5 * most):
        assert not meter.is_exceeded(1)
        clock.now += 1 / 64
    assert len(meter.times) <= max(8, 2 * most)


def test_what_a_slow_sender_costs_is_bounded(clock: Clock) -> None:
    meter = RateMeter(RateLimit(100, 1.0))
    for _ in range(1000):
        assert not meter.is_exceeded(1)
        clock.now += 0.5
    assert len(meter.times) <= 8


def test_a_high_limit_takes_no_more_memory_than_its_entries(clock: Clock) -> None:
    meter = RateMeter(RateLimit(1_000_000, 1.0))
    passed = exceeds(meter, 1_000_001).count(False)
    assert 998_000 < passed <= 1_000_000
    assert len(meter.times) <= 2 * 512


GAPS = st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.001, 0.1, 0.35, 0.999, 1.0, 2.5]), max_size=80)


@given(GAPS, st.integers(1, 6))
def test_no_window_has_more_than_the_limit_and_none_that_has_less_is_refused(gaps: list[float], most: int) -> None:
    now = 1000.0
    with patch.object(rate, "monotonic", lambda: now):
        meter = RateMeter(RateLimit(most, 1.0))
        passed: list[float] = []
        for gap in gaps:
            now += gap
            within = sum(now - each < 1.0 for each in passed)
            assert meter.is_exceeded(1) is (within >= most)
            if within < most:
                passed.append(now)


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.001, 0.1, 0.999, 1.0]), st.integers(0, 60)), max_size=80))
def test_no_window_has_more_bytes_than_the_limit(sent: list[tuple[float, int]]) -> None:
    now = 1000.0
    with patch.object(rate, "monotonic", lambda: now):
        meter = RateMeter(RateLimit(1000, 1.0, bytes=100))
        passed: list[tuple[float, int]] = []
        for gap, size in sent:
            now += gap
            within = size + sum(each for when, each in passed if now - when < 1.0)
            longer = size + sum(each for when, each in passed if now - when < 1.0 + 1 / 32)
            exceeded = meter.is_exceeded(size)
            assert exceeded or within <= 100
            assert not exceeded or longer > 100
            if not exceeded:
                passed.append((now, size))


def test_idle_connections_share_a_meter_that_never_counted() -> None:
    assert UNSTARTED.times == []
