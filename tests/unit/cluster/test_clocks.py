"""Times of other processes, whose clocks begin anywhere and drift."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from odac.cluster.clocks import JUMP, WINDOW, Clocks

A, B = b"a" * 16, b"b" * 16


def test_without_a_sign_of_life_the_message_itself_is_the_sample() -> None:
    assert Clocks().translate(A, then=5.0, sent=8.0, now=1008.5) == 1005.5


def test_the_quickest_message_counts() -> None:
    clocks = Clocks()
    for sent, travelled in ((1.0, 0.5), (2.0, 0.001), (3.0, 2.0)):
        clocks.sample(A, sent, 1000.0 + sent + travelled)
    # This one was under way for 9 seconds, which does not make what it tells any younger.
    assert abs(clocks.translate(A, then=4.0, sent=4.0, now=1013.0) - 1004.001) < 1e-9
    assert clocks.translate(B, then=4.0, sent=4.0, now=1013.0) == 1013.0


@given(
    st.floats(-1e6, 1e6),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 5)), max_size=20),
    st.floats(0, 100),
    st.floats(0, 5),
)
def test_a_time_is_never_too_early_and_no_later_than_the_quickest_message(
    distance: float, samples: list[tuple[float, float]], then: float, travelled: float
) -> None:
    clocks = Clocks()
    for sent, travel in sorted(samples):
        clocks.sample(A, sent, sent + distance + travel)
    here = clocks.translate(A, then, then, then + distance + travelled)
    assert here >= then + distance - 1e-6
    assert here <= then + distance + travelled + 1e-6


def test_old_samples_are_forgotten_so_that_drift_does_not_add_up() -> None:
    clocks = Clocks()
    clocks.sample(A, 0.0, 100.0)
    for step in range(1, 10):
        clocks.sample(A, step * WINDOW, 100.0 + step * WINDOW + step)  # a clock that loses a second a minute
    assert clocks.translate(A, 600.0, 600.0, 1000.0) > 100.0 + 600.0 + 6


def test_a_clock_that_stood_still_is_believed_anew() -> None:
    clocks = Clocks()
    clocks.sample(A, 0.0, 100.0)
    clocks.sample(A, 1.0, 101.0 + JUMP + 5)
    assert clocks.translate(A, 1.0, 1.0, 1000.0) == 101.0 + JUMP + 5


def test_a_process_that_is_gone_is_forgotten() -> None:
    clocks = Clocks()
    clocks.sample(A, 0.0, 100.0)
    clocks.forget(A)
    clocks.forget(A)
    assert clocks.translate(A, 0.0, 0.0, 500.0) == 500.0
