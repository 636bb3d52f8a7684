from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.config import RateLimit
from odac.realtime.rate import UNSTARTED, RateMeter, new_meter
from odac.speedups import COMPILED
from tests.rate_clock import rate_clock

Make = Callable[[RateLimit], RateMeter]

KINDS = [
    RateMeter,
    pytest.param(
        new_meter, marks=pytest.mark.skipif(not COMPILED, reason="not compiled here: no C compiler, or ODAC_SPEEDUPS=0")
    ),
]
both = pytest.mark.parametrize("make", KINDS, ids=["reference", "compiled"])


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
    with rate_clock(clock):
        yield clock


def exceeds(meter: RateMeter, count: int, size: int = 1) -> list[bool]:
    return [meter.is_exceeded(size) for _ in range(count)]


@both
def test_a_window_has_room_for_its_messages_and_no_more(clock: Clock, make: Make) -> None:
    meter = make(RateLimit(3, 10.0))
    assert exceeds(meter, 5) == [False, False, False, True, True]


@both
def test_the_limit_holds_around_the_beginning_of_every_window(clock: Clock, make: Make) -> None:
    """A count that begins anew with each window lets 198 pass within 0.1 s."""
    meter = make(RateLimit(100, 1.0))
    assert exceeds(meter, 1) == [False]
    clock.now += 0.93
    assert exceeds(meter, 99) == [False] * 99
    clock.now += 0.09
    assert exceeds(meter, 2) == [False, True]
    clock.now += 0.92
    assert exceeds(meter, 100) == [False] * 99 + [True]


@both
@pytest.mark.parametrize("most", [1, 2, 3, 7, 100, 511, 512])
def test_a_steady_sender_at_the_limit_passes_for_ever(clock: Clock, make: Make, most: int) -> None:
    meter = make(RateLimit(most, most / 64))
    for _ in range(5 * most):
        assert not meter.is_exceeded(1)
        clock.now += 1 / 64
    assert meter.entries <= max(8, most)


@both
def test_what_a_slow_sender_costs_is_bounded(clock: Clock, make: Make) -> None:
    meter = make(RateLimit(100, 1.0))
    for _ in range(1000):
        assert not meter.is_exceeded(1)
        clock.now += 0.5
    assert meter.entries <= 8


@both
def test_a_high_limit_takes_no_more_memory_than_its_entries(clock: Clock, make: Make) -> None:
    meter = make(RateLimit(1_000_000, 1.0))
    passed = exceeds(meter, 1_000_001).count(False)
    assert 998_000 < passed <= 1_000_000
    assert meter.entries <= 512


GAPS = st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.001, 0.1, 0.35, 0.999, 1.0, 2.5]), max_size=80)


@both
@given(gaps=GAPS, most=st.integers(1, 40))
def test_no_window_has_more_than_the_limit_and_none_that_has_less_is_refused(
    make: Make, gaps: list[float], most: int
) -> None:
    now = 1000.0
    with rate_clock(lambda: now):
        meter = make(RateLimit(most, 1.0))
        passed: list[float] = []
        for gap in gaps:
            now += gap
            within = sum(now - each < 1.0 for each in passed)
            assert meter.is_exceeded(1) is (within >= most)
            if within < most:
                passed.append(now)


@both
@given(sent=st.lists(st.tuples(st.sampled_from([0.0, 0.001, 0.1, 0.999, 1.0]), st.integers(0, 60)), max_size=80))
def test_no_window_has_more_bytes_than_the_limit(make: Make, sent: list[tuple[float, int]]) -> None:
    now = 1000.0
    with rate_clock(lambda: now):
        meter = make(RateLimit(1000, 1.0, bytes=100))
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


@both
def test_a_burst_is_forgotten(clock: Clock, make: Make) -> None:
    meter = make(RateLimit(500, 1.0))
    exceeds(meter, 400)
    assert meter.entries >= 400
    for _ in range(2000):
        clock.now += 0.5
        assert not meter.is_exceeded(1)
    assert meter.entries <= 8


@given(
    gaps=st.lists(st.sampled_from([0.0, 0.0, 0.01, 0.3, 1.0]), max_size=300),
    most=st.sampled_from([1, 9, 50, 600, 5000]),
)
def test_both_meters_say_the_same(gaps: list[float], most: int) -> None:
    now = 1000.0
    with rate_clock(lambda: now):
        meters = RateMeter(RateLimit(most, 1.0)), new_meter(RateLimit(most, 1.0))
        for gap in gaps:
            now += gap
            assert meters[0].is_exceeded(1) is meters[1].is_exceeded(1)
            assert meters[0].entries == meters[1].entries


@both
def test_by_the_clock_of_the_machine_no_window_has_more_than_the_limit(make: Make) -> None:
    meter = make(RateLimit(20, 0.2))
    passed: list[tuple[float, float]] = []
    while len(passed) < 70:
        before = time.monotonic()
        if not meter.is_exceeded(1):
            passed.append((before, time.monotonic()))
    for (first, _), (_, last) in zip(passed, passed[20:], strict=False):
        assert last - first >= 0.15  # the coarse clock of a virtual machine that stands still goes after


def test_idle_connections_share_a_meter_that_never_counted() -> None:
    assert UNSTARTED._times == [-inf]
