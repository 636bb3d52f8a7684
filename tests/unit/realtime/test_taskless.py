"""What begins at once, and becomes a task only where it must."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

import pytest

from odac.realtime.taskless import begin, in_task
from tests.unit.realtime.realtime_fakes import run


async def begun(work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None] | None:
    """What ``begin`` returns where no task runs, as in a transport's callback."""
    loop = asyncio.get_running_loop()
    outside: asyncio.Future[asyncio.Task[None] | None] = loop.create_future()
    loop.call_soon(lambda: outside.set_result(begin(work(), loop, copy_context())))
    return await outside


def test_what_waits_for_nothing_needs_no_task() -> None:
    seen: list[object] = []

    async def work() -> None:
        seen.append(asyncio.current_task())

    async def main() -> None:
        assert await begun(work) is None
        assert seen == [None]

    run(main())


def test_in_task_gives_the_task_that_does_the_rest_and_timeouts_work_in_it() -> None:
    seen: list[object] = []

    async def work() -> None:
        seen.append(asyncio.current_task())
        seen.append(await in_task())
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        seen.append(await in_task())
        seen.append(asyncio.current_task())

    async def main() -> None:
        task = await begun(work)
        assert task is not None
        await task
        assert seen == [None, task, task, task]

    run(main())


def test_within_a_task_nothing_is_waited_for() -> None:
    async def main() -> None:
        others: list[str] = []
        asyncio.get_running_loop().call_soon(others.append, "had a turn")
        assert await in_task() is asyncio.current_task()
        assert others == []

    run(main())


def test_a_cancellation_reaches_what_was_begun() -> None:
    seen: list[object] = []

    async def work() -> None:
        await in_task()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            seen.append(error.args)
            raise
        finally:
            seen.append("cleaned up")

    async def main() -> None:
        task = await begun(work)
        assert task is not None
        await asyncio.sleep(0)
        task.cancel("now")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == [("now",), "cleaned up"]

    run(main())
