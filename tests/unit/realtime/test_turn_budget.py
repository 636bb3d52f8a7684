from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

from odac.realtime.turn_budget import FREE, TurnBudget
from tests.unit.realtime.realtime_fakes import ManualLoop, run

MANY = 200_000


def test_those_who_wait_are_served_in_their_order_as_far_as_the_bytes_of_each_turn_go() -> None:
    loop = ManualLoop()
    turn = TurnBudget(cast(Any, loop))
    served: list[int] = []

    def take(number: int) -> None:
        served.append(number)
        turn.spend(MANY)

    turn.spend(2 * MANY)
    assert turn.left <= 0
    for number in range(5):
        turn.call_next(partial(take, number))
    seen = []
    while len(served) < 5:
        loop.turn()
        seen.append(len(served))
    assert served == [0, 1, 2, 3, 4]
    assert seen == [2, 4, 5]


def test_whoever_asks_again_while_served_waits_for_the_next_turn() -> None:
    loop = ManualLoop()
    turn = TurnBudget(cast(Any, loop))
    calls: list[int] = []

    def again() -> None:
        calls.append(1)
        if len(calls) < 4:
            turn.call_next(again)

    turn.call_next(again)
    for number in range(1, 5):
        loop.turn()
        assert len(calls) == number


def test_what_is_small_is_not_counted() -> None:
    turn = TurnBudget(cast(Any, ManualLoop()))
    before = turn.left
    turn.spend(FREE - 1)
    assert turn.left == before
    turn.spend(FREE)
    assert turn.left == before - FREE


def test_waiting_in_a_task() -> None:
    async def main() -> None:
        turn = TurnBudget(asyncio.get_running_loop())
        turn.spend(10 * MANY)
        waiting = [asyncio.ensure_future(turn.wait_next(MANY)) for _ in range(4)]
        begun: list[object] = []
        while len(begun) < 4:
            await asyncio.sleep(0)
            begun = [each for each in waiting if each.done()]
            assert len(begun) % 2 == 0

    run(main())
