from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf, nan
from typing import cast

import pytest

from odac.realtime.cancellation import Raised
from odac.realtime.ownership import Owned
from tests.unit.realtime.realtime_fakes import ManualLoop, idle, run


def call(function: Callable[..., object], *arguments: object) -> None:
    function(*arguments)


def owned() -> tuple[Owned, ManualLoop, list[Raised]]:
    loop, failed = ManualLoop(), list[Raised]()
    return Owned(cast(asyncio.AbstractEventLoop, loop), call, failed.append, lambda: None), loop, failed


def test_a_timeout_fires_once() -> None:
    mine, loop, _ = owned()
    fired: list[float] = []
    mine.set_timer(5, lambda: fired.append(loop.now))
    loop.advance(4.9)
    assert fired == []
    loop.advance(100)
    assert fired == [1005.0]


def test_an_interval_fires_until_it_is_cancelled() -> None:
    mine, loop, _ = owned()
    fired: list[float] = []
    timer = mine.set_timer(5, lambda: fired.append(loop.now), interval=5)
    loop.advance(17)
    timer.cancel()
    timer.cancel()
    loop.advance(100)
    assert fired == [1005.0, 1010.0, 1015.0]


def test_an_error_of_a_timer_is_reported_and_an_interval_continues() -> None:
    mine, loop, failed = owned()
    mine.set_timer(1, lambda: 1 / 0, interval=1)
    loop.advance(3)
    assert [type(each) for each in failed] == [ZeroDivisionError] * 3


def test_the_end_stops_everything_and_nothing_begins_after_it() -> None:
    mine, loop, _ = owned()
    fired: list[str] = []
    mine.set_timer(1, lambda: fired.append("timeout"))
    mine.set_timer(1, lambda: fired.append("interval"), interval=1)
    mine.cancel()
    mine.set_timer(1, lambda: fired.append("late"))
    mine.set_timer(1, lambda: fired.append("late interval"), interval=1)
    loop.advance(10)
    assert fired == []


def test_a_timer_may_cancel_itself_while_it_fires() -> None:
    mine, loop, _ = owned()
    fired: list[str] = []

    def once() -> None:
        fired.append("fired")
        timer.cancel()

    timer = mine.set_timer(1, once, interval=1)
    loop.advance(10)
    assert fired == ["fired"]


@pytest.mark.parametrize(
    ("delay", "interval"), [(-1, None), (1, 0), (1, -1), (nan, None), (inf, None), (1, nan), (inf, inf)]
)
def test_times_that_make_no_sense(delay: float, interval: float | None) -> None:
    mine, _, _ = owned()
    with pytest.raises(ValueError, match="seconds"):
        mine.set_timer(delay, lambda: None, interval)


def test_tasks_end_with_their_owner_and_tell_what_they_raise() -> None:
    async def test() -> None:
        failed: list[Raised] = []
        mine = Owned(asyncio.get_running_loop(), call, failed.append, lambda: None)
        ended: list[str] = []

        async def work(name: str) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(name)

        async def fails() -> None:
            raise KeyError("x")

        first = mine.create_task(work("first"))
        mine.create_task(fails())
        mine.set_timer(0, lambda: work("timer"))
        await asyncio.sleep(0.001)
        await idle()
        assert [str(each) for each in failed] == ["'x'"]
        assert mine.has_tasks
        mine.cancel()
        late = mine.create_task(work("late"))
        await idle()
        assert first.cancelled()
        assert late.cancelled()
        assert sorted(ended) == ["first", "timer"]
        assert not mine.has_tasks

    run(test())


def test_a_task_that_ends_everything_is_not_cancelled_itself() -> None:
    async def test() -> None:
        mine = Owned(asyncio.get_running_loop(), call, lambda error: None, lambda: None)

        async def last() -> str:
            mine.cancel()
            await asyncio.sleep(0)
            return "through"

        assert await mine.create_task(last()) == "through"

    run(test())


def test_the_arguments_of_a_timer_in_javascripts_order() -> None:
    mine, _, _ = owned()
    with pytest.raises(TypeError, match="the seconds come first"):
        mine.set_timer(cast(float, lambda: None), cast(Callable[[], object], 5))
