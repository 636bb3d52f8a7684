from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from odac.context import Context
from odac.request import Request
from tests.unit.realtime.realtime_fakes import Room, idle, lane_of, run


def context_in(room: Room) -> Context:
    return Context(room.connect(), Request({"type": "websocket", "path": "/", "headers": []}), cast(Any, None))


def test_timers_belong_to_the_connection() -> None:
    room = Room()
    odac = context_in(room)
    fired: list[str] = []
    odac.set_timeout(1, lambda: fired.append("timeout"))
    odac.set_interval(2, lambda: fired.append("interval"))
    cancelled = odac.set_timeout(3, lambda: fired.append("never"))
    cancelled.cancel()
    room.loop.advance(5)
    assert fired == ["timeout", "interval", "interval"]
    lane_of(odac.ws).lose()
    room.loop.advance(60)
    assert fired == ["timeout", "interval", "interval"]
    odac.set_timeout(1, lambda: fired.append("too late"))
    room.loop.advance(60)
    assert fired == ["timeout", "interval", "interval"]


def test_times_that_make_no_sense() -> None:
    odac = context_in(Room())
    with pytest.raises(ValueError, match="seconds"):
        odac.set_timeout(-1, print)
    for seconds in (0, -1):
        with pytest.raises(ValueError, match="seconds"):
            odac.set_interval(seconds, print)


def test_a_task_gives_its_result_and_ends_with_the_connection() -> None:
    async def test() -> None:
        odac = context_in(Room(loop=asyncio.get_running_loop()))

        async def seven() -> int:
            return 7

        assert await odac.create_task(seven()) == 7
        forever = odac.create_task(asyncio.sleep(3600))
        lane_of(odac.ws).lose()
        await idle()
        assert forever.cancelled()

    run(test())


def test_what_a_timer_or_a_task_raises_goes_to_the_error_listeners() -> None:
    async def test() -> None:
        odac = context_in(Room(loop=asyncio.get_running_loop()))
        told: list[str] = []
        odac.ws.on("error", lambda error: told.append(type(error).__name__))

        async def fails() -> None:
            raise KeyError

        odac.create_task(fails())
        odac.set_timeout(0, lambda: 1 / 0)
        odac.set_timeout(0, fails)
        await asyncio.sleep(0.001)
        await idle()
        assert sorted(told) == ["KeyError", "KeyError", "ZeroDivisionError"]
        assert odac.ws.is_open

    run(test())


def test_a_context_has_no_other_places() -> None:
    with pytest.raises(AttributeError):
        context_in(Room()).user = 7  # type: ignore[attr-defined]
