from __future__ import annotations

import asyncio

import pytest

from odac.testing.turner import Turner


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return number * 2


def test_it_turns_until_the_coroutine_has_returned_and_no_longer() -> None:
    turner = Turner()
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            ticks.append(asyncio.get_running_loop().time())
            await asyncio.sleep(10)

    async def begin() -> asyncio.Task[None]:
        return asyncio.ensure_future(tick())

    task = turner(begin())
    assert turner(double(21)) == 42
    assert len(ticks) <= 1
    turner(asyncio.sleep(25))
    assert len(ticks) == 3
    turner.close()
    assert task.cancelled()


def test_after_the_end_it_says_how_it_is_used() -> None:
    turner = Turner()
    assert turner(double(1)) == 2
    turner.close()
    turner.close()
    with pytest.raises(RuntimeError, match="with TestClient"):
        turner(double(1))


def test_within_a_running_loop_it_names_the_asynchronous_client() -> None:
    async def test() -> None:
        turner = Turner()
        with pytest.raises(RuntimeError, match="AsyncTestClient"):
            turner(double(1))
        turner.close()

    asyncio.run(test())
