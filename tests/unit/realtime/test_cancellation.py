from __future__ import annotations

import asyncio

from odac.realtime.cancellation import is_own
from tests.unit.realtime.realtime_fakes import run


def test_a_cancellation_of_this_task_is_told_from_one_that_it_met() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    seen: list[bool] = []

    async def watched() -> None:
        other = asyncio.ensure_future(forever())
        other.cancel()
        try:
            await other
        except asyncio.CancelledError as error:
            seen.append(is_own(error))
        try:
            await forever()
        except asyncio.CancelledError as error:
            seen.append(is_own(error))
            raise

    async def test() -> None:
        task = asyncio.ensure_future(watched())
        while not seen:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert seen == [False, True]
        assert not is_own(ValueError())

    run(test())
