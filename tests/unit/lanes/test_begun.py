from __future__ import annotations

import asyncio

import pytest

from odac.lanes.begun import Resumed
from tests.unit.realtime.realtime_fakes import idle, run


def test_a_begun_coroutine_goes_on_in_a_task_as_if_it_had_been_in_it_all_along() -> None:
    async def test() -> None:
        first, second = asyncio.Event(), asyncio.Event()
        done: list[str] = []

        async def work() -> None:
            await first.wait()
            done.append("first")
            try:
                await second.wait()
            finally:
                done.append("second")

        coroutine = work()
        waiting = coroutine.send(None)

        async def rest() -> None:
            await Resumed(coroutine, waiting)

        task = asyncio.ensure_future(rest())
        await idle()
        assert done == []
        first.set()
        await idle()
        assert done == ["first"]
        second.set()
        await task
        assert done == ["first", "second"]

    run(test())


def test_a_cancellation_reaches_the_begun_coroutine() -> None:
    async def test() -> None:
        told: list[str] = []

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                told.append("cancelled")
                raise

        coroutine = work()
        waiting = coroutine.send(None)

        async def rest() -> None:
            await Resumed(coroutine, waiting)

        task = asyncio.ensure_future(rest())
        await idle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert told == ["cancelled"]

    run(test())
