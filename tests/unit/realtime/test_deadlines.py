"""Many deadlines, one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from odac.realtime.deadlines import Deadlines


class Loop:
    """A clock of the test's own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, function: Callable[[], None]) -> object:
        return self.call_at(self.now + seconds, function)

    def call_at(self, when: float, function: Callable[[], None]) -> object:
        self.timers.append((when, function))
        return object()

    def go_to(self, when: float) -> None:
        while self.timers and min(self.timers, key=lambda timer: timer[0])[0] <= when:
            timer = min(self.timers, key=lambda timer: timer[0])
            self.timers.remove(timer)
            self.now = timer[0]
            timer[1]()
        self.now = when


class Client:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.expired_at: float | None = None

    def expire(self) -> None:
        self.expired_at = self._loop.now


def make(seconds: float = 10.0) -> tuple[Loop, Deadlines, Callable[[], Client]]:
    loop = Loop()
    return loop, Deadlines(cast("asyncio.AbstractEventLoop", cast("Any", loop)), seconds), lambda: Client(loop)


def test_each_expires_in_its_time() -> None:
    loop, deadlines, client = make()
    clients = []
    for second in range(5):
        loop.go_to(second)
        clients.append(client())
        deadlines.add(clients[-1])
    loop.go_to(100)
    assert [each.expired_at for each in clients] == [10, 11, 12, 13, 14]
    assert len(deadlines) == 0
    assert not loop.timers


def test_there_is_one_timer_for_all() -> None:
    loop, deadlines, client = make()
    for index in range(1000):
        loop.go_to(index / 1000)
        deadlines.add(client())
        assert len(loop.timers) == 1
    loop.go_to(20)
    assert len(deadlines) == 0


def test_who_is_discarded_does_not_expire() -> None:
    loop, deadlines, client = make()
    first, second = client(), client()
    deadlines.add(first)
    deadlines.add(second)
    deadlines.discard(first)
    deadlines.discard(first)
    loop.go_to(20)
    assert (first.expired_at, second.expired_at) == (None, 10)


def test_adding_again_buys_no_time() -> None:
    loop, deadlines, client = make()
    slow = client()
    deadlines.add(slow)
    loop.go_to(9)
    deadlines.add(slow)
    loop.go_to(10)
    assert slow.expired_at == 10


def test_after_a_pause_the_timer_runs_again() -> None:
    loop, deadlines, client = make()
    deadlines.add(client())
    loop.go_to(50)
    late = client()
    deadlines.add(late)
    loop.go_to(100)
    assert late.expired_at == 60


def test_expiring_may_discard_others() -> None:
    loop, deadlines, client = make()
    other = client()

    class Taking(Client):
        def expire(self) -> None:
            super().expire()
            deadlines.discard(other)

    taking = Taking(loop)
    deadlines.add(taking)
    deadlines.add(other)
    loop.go_to(20)
    assert (taking.expired_at, other.expired_at) == (10, None)
