from __future__ import annotations

from typing import Any, cast

from odac.realtime.expiries import EXPIRED, Expiries
from tests.unit.realtime.realtime_fakes import ManualLoop


class Closing:
    def __init__(self) -> None:
        self.closed: list[tuple[int, str]] = []

    def begin_close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


def make() -> tuple[Expiries, ManualLoop]:
    loop = ManualLoop()
    return Expiries(cast("Any", loop), now=lambda: loop.now), loop


def test_each_is_closed_when_its_time_has_come() -> None:
    expiries, loop = make()
    early, late = Closing(), Closing()
    expiries.add(late, loop.now + 20)
    expiries.add(early, loop.now + 10.5)
    loop.advance(10)
    assert early.closed == []
    loop.advance(1)
    assert early.closed == [(1012, EXPIRED)]
    assert late.closed == []
    loop.advance(10)
    assert late.closed == [(1012, EXPIRED)]
    assert len(expiries) == 0


def test_one_that_has_ended_is_forgotten_and_the_next_still_closed() -> None:
    expiries, loop = make()
    gone, stays = Closing(), Closing()
    expiries.add(gone, loop.now + 5)
    expiries.add(stays, loop.now + 6)
    expiries.discard(gone)
    expiries.discard(gone)
    loop.advance(10)
    assert (gone.closed, len(stays.closed)) == ([], 1)


def test_the_earlier_of_two_times_counts() -> None:
    expiries, loop = make()
    one, other = Closing(), Closing()
    expiries.add(one, loop.now + 50)
    expiries.add(one, loop.now + 5)
    expiries.add(other, loop.now + 5)
    expiries.add(other, loop.now + 50)
    loop.advance(6)
    assert len(one.closed) == len(other.closed) == 1


def test_far_ones_share_a_minute_and_wait_through_several_timers() -> None:
    expiries, loop = make()
    many = [Closing() for _ in range(100)]
    start = (loop.now + 86_400) // 60 * 60
    for index, each in enumerate(many):
        expiries.add(each, start + index / 2)
    assert len(expiries._by_second) == 1
    loop.advance(start - loop.now - 1)
    assert not any(each.closed for each in many)
    loop.advance(2)
    assert all(each.closed for each in many)
