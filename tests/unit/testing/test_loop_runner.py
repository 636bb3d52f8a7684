from __future__ import annotations

import asyncio

import pytest

from odac.testing.loop_runner import LoopRunner


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return number * 2


def test_it_turns_until_the_coroutine_has_returned_and_no_longer() -> None:
    loop_runner = LoopRunner()
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            ticks.append(asyncio.get_running_loop().time())
            await asyncio.sleep(10)

    async def begin() -> asyncio.Task[None]:
        return asyncio.ensure_future(tick())

    task = loop_runner(begin())
    assert loop_runner(double(21)) == 42
    assert len(ticks) <= 1
    loop_runner(asyncio.sleep(25))
    assert len(ticks) == 3
    loop_runner.close()
    assert task.cancelled()


def test_after_the_end_it_says_how_it_is_used() -> None:
    loop_runner = LoopRunner()
    assert loop_runner(double(1)) == 2
    loop_runner.close()
    loop_runner.close()
    with pytest.raises(RuntimeError, match="with TestClient"):
        loop_runner(double(1))


def test_within_a_running_loop_it_names_the_asynchronous_client() -> None:
    async def test() -> None:
        loop_runner = LoopRunner()
        with pytest.raises(RuntimeError, match="AsyncTestClient"):
            loop_runner(double(1))
        loop_runner.close()

    asyncio.run(test())
