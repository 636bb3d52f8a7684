from __future__ import annotations

import asyncio

import pytest

from odac.realtime.sent import ONE_TURN, SENT, is_to_be_awaited
from tests.unit.realtime.realtime_fakes import run


async def coroutine() -> None: ...


def test_awaiting_what_is_sent_takes_no_turn_of_the_loop() -> None:
    async def test() -> list[str]:
        order: list[str] = []
        asyncio.get_running_loop().call_soon(order.append, "loop")
        await SENT
        order.append("sent")
        await ONE_TURN
        order.append("one turn")
        return order

    assert run(test()) == ["sent", "loop", "one turn"]


@pytest.mark.parametrize("result", [None, SENT, 7, "text"])
def test_most_results_need_no_wait(result: object) -> None:
    assert not is_to_be_awaited(result)


def test_awaitable_results_do() -> None:
    made = coroutine()
    assert is_to_be_awaited(made)
    made.close()
    assert is_to_be_awaited(ONE_TURN)
