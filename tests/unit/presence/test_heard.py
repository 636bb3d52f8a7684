from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from odac.presence.heard import EVERY, MOST_AHEAD, UNDER_WAY, Heard


@given(st.permutations(range(1, 30)))
def test_what_has_arrived_in_any_order_is_confirmed_without_a_gap(order: list[int]) -> None:
    heard = Heard()
    seen: set[int] = set()
    for version in order:
        heard.arrived(version)
        heard.arrived(version)
        seen.add(version)
        assert heard.confirmed == next(number for number in range(31) if number + 1 not in seen)


def test_a_comparison_confirms_what_never_arrived() -> None:
    heard = Heard()
    for version in (1, 3, 7, 8):
        heard.arrived(version)
    assert heard.confirmed == 1
    heard.confirm(6)
    assert heard.confirmed == 8
    heard.confirm(2)
    assert heard.confirmed == 8


def test_a_version_may_be_under_way_for_the_time_between_two_heartbeats() -> None:
    heard = Heard()
    assert not heard.is_behind(1, 100.0)
    assert not heard.is_behind(1, 100.1)  # the same heartbeat over another channel
    assert heard.is_behind(1, 100.0 + UNDER_WAY)
    assert not heard.is_behind(1, 100.0 + UNDER_WAY + 3)
    assert heard.is_behind(1, 100.0 + UNDER_WAY + EVERY)  # the question was lost
    heard.confirm(1)
    assert not heard.is_behind(1, 200.0)


def test_a_new_version_is_given_time_even_when_an_earlier_one_was_named() -> None:
    heard = Heard()
    assert not heard.is_behind(1, 100.0)
    heard.arrived(1)
    assert not heard.is_behind(2, 103.0)
    assert heard.is_behind(2, 106.0)


def test_what_is_kept_out_of_order_is_bounded() -> None:
    heard = Heard()
    for version in range(2, 2 * MOST_AHEAD):
        heard.arrived(version)
    heard.confirm(1)
    assert heard.confirmed == MOST_AHEAD + 1


def test_what_is_old_takes_no_place_of_what_is_ahead() -> None:
    heard = Heard()
    for version in range(2, 2 + MOST_AHEAD):
        heard.arrived(version)
    heard.confirm(5000)
    for version in range(1, 1 + MOST_AHEAD):
        heard.arrived(version)
    heard.arrived(5002)
    heard.arrived(5001)
    assert heard.confirmed == 5002
