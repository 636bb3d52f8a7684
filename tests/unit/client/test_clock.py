from __future__ import annotations

import asyncio
import time

from odac.client.clock import SystemClock


def test_it_is_the_monotonic_clock() -> None:
    before = time.monotonic()
    now = SystemClock().now()
    assert before <= now <= time.monotonic()


def test_sleeping_lets_the_event_loop_go_on() -> None:
    async def test() -> list[str]:
        happened: list[str] = []
        asyncio.get_running_loop().call_soon(happened.append, "the loop's turn")
        await SystemClock().sleep(0)
        happened.append("awake")
        return happened

    assert asyncio.run(test()) == ["the loop's turn", "awake"]
