from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from time import monotonic
from typing import Any

import anyio.to_thread
import pytest

from odac.testing import NeverIdle, TestLoop, run
from odac.testing import loop as loop_module
from odac.testing.loop import settle


def here() -> TestLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, TestLoop)
    return loop


def quickly(test: Coroutine[Any, Any, Any], within: float = 20.0) -> Any:
    begun = monotonic()
    result = run(test)
    assert monotonic() - begun < within
    return result


def test_a_timer_that_is_all_there_is_takes_no_time() -> None:
    async def test() -> float:
        begun = here().time()
        await asyncio.sleep(3600)
        return here().time() - begun

    assert quickly(test()) == pytest.approx(3600, abs=1)


def test_timers_keep_their_order() -> None:
    async def test() -> list[str]:
        seen: list[str] = []
        for delay, name in ((30, "c"), (10, "a"), (20, "b")):
            here().call_later(delay, seen.append, name)
        await asyncio.sleep(25)
        return seen

    assert quickly(test()) == ["a", "b"]


def test_a_timeout_is_a_timer_too() -> None:
    async def test() -> None:
        async with asyncio.timeout(600):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        quickly(test())


def test_idle_is_after_everything_that_is_ready() -> None:
    async def test() -> list[int]:
        done: list[int] = []

        async def chain(turns: int) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            done.append(turns)

        tasks = [asyncio.create_task(chain(turns)) for turns in (1, 500, 50)]
        assert await here().idle() is None
        await asyncio.wait(tasks)
        return done

    assert quickly(test()) == [1, 50, 500]


def test_idle_says_when_the_next_timer_is() -> None:
    async def test() -> float | None:
        here().call_later(7, lambda: None)
        return await here().idle()

    assert quickly(test()) == pytest.approx(7, abs=0.5)


def test_many_may_wait_for_the_same_idleness() -> None:
    async def test() -> None:
        await asyncio.gather(*(here().idle() for _ in range(10)))

    quickly(test())


def test_idle_waits_for_threads() -> None:
    async def test() -> list[str]:
        seen: list[str] = []
        gate = threading.Event()

        async def in_thread() -> None:
            assert await asyncio.to_thread(gate.wait, 5)
            seen.append("asyncio")

        async def in_anyio() -> None:
            assert await anyio.to_thread.run_sync(gate.wait, 5)
            seen.append("anyio")

        tasks = [asyncio.create_task(in_thread()), asyncio.create_task(in_anyio())]
        opener = threading.Timer(0.05, gate.set)
        opener.start()
        await here().idle()
        opener.join()
        assert all(task.done() for task in tasks)
        return sorted(seen)

    assert quickly(test()) == ["anyio", "asyncio"]


def test_time_does_not_jump_past_a_thread_or_a_socket() -> None:
    async def thread() -> str:
        async with asyncio.timeout(60):
            return "late" if await asyncio.to_thread(threading.Event().wait, 0.05) else "done"

    async def own_thread() -> str:
        answer = here().create_future()
        loop = here()
        timer = threading.Timer(0.05, lambda: loop.call_soon_threadsafe(answer.set_result, "done"))
        timer.start()
        async with asyncio.timeout(60):
            result: str = await answer
        timer.join()
        return result

    async def pipe() -> bytes:
        read, write = os.pipe()
        answer = here().create_future()

        def readable() -> None:
            here().remove_reader(read)
            answer.set_result(os.read(read, 10))

        here().add_reader(read, readable)
        timer = threading.Timer(0.05, os.write, (write, b"done"))
        timer.start()
        try:
            async with asyncio.timeout(60):
                result: bytes = await answer
        finally:
            timer.join()
            os.close(read)
            os.close(write)
        return result

    assert quickly(thread()) == "done"
    assert quickly(own_thread()) == "done"
    assert quickly(pipe()) == b"done"


def test_advance_runs_every_timer_at_its_time() -> None:
    async def test() -> list[float]:
        begun = here().time()
        seen: list[float] = []

        def tick() -> None:
            seen.append(here().time() - begun)
            here().call_later(10, tick)

        here().call_later(10, tick)
        await here().advance(35)
        await here().advance(0)
        assert here().time() - begun == pytest.approx(35, abs=0.5)
        return seen

    assert quickly(test()) == [pytest.approx(10, abs=0.5), pytest.approx(20, abs=0.5), pytest.approx(30, abs=0.5)]


def test_advance_lets_happen_what_a_timer_begins() -> None:
    async def test() -> list[str]:
        seen: list[str] = []

        async def work() -> None:
            await asyncio.sleep(5)
            seen.append("first")
            await asyncio.sleep(5)
            seen.append("second")
            await asyncio.sleep(5)
            seen.append("third")

        task = asyncio.create_task(work())
        await here().advance(11)
        task.cancel()
        return seen

    assert quickly(test()) == ["first", "second"]


def test_time_does_not_go_back() -> None:
    async def test() -> None:
        await here().advance(-1)

    with pytest.raises(ValueError, match=r"advance\(-1\): must be a number of seconds from 0"):
        quickly(test())


def test_what_never_rests_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "PATIENCE", 0.05)

    async def spinning() -> None:
        async def spin() -> None:
            while True:
                await asyncio.sleep(0)

        task = asyncio.create_task(spin())
        try:
            await here().idle()
        finally:
            task.cancel()

    async def in_a_thread() -> None:
        gate = threading.Event()
        task = asyncio.create_task(asyncio.to_thread(gate.wait, 5))
        try:
            await here().idle()
        finally:
            gate.set()
            await task

    with pytest.raises(NeverIdle, match="again and again"):
        quickly(spinning())
    with pytest.raises(NeverIdle, match="worker thread"):
        quickly(in_a_thread())


def test_on_another_loop_quiet_is_taken_for_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> int:
        activity = 0

        async def work() -> None:
            nonlocal activity
            for _ in range(20):
                await asyncio.sleep(0)
                activity += 1

        task = asyncio.create_task(work())
        await settle(lambda: activity)
        assert task.done()
        return activity

    assert asyncio.run(test()) == 20

    async def restless() -> None:
        activity = iter(range(10**9))
        await settle(lambda: next(activity))

    monkeypatch.setattr(loop_module, "PATIENCE", 0.05)
    with pytest.raises(NeverIdle):
        asyncio.run(restless())
