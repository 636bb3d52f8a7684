"""A coroutine that starts at once, and becomes a task only when it has to wait.

Most handshakes wait for nothing: a task for each would cost a turn of the event loop, and more time than the checks
themselves. Code that runs without a task must not await the application's functions, which may need the current task
(timeouts do, and libraries such as anyio). It awaits :func:`in_task` first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context
from types import coroutine
from typing import Any

__all__ = ["begin", "in_task"]


@coroutine
def in_task() -> Generator[None, None, asyncio.Task[Any]]:
    """Continue in a task; returns at once if the coroutine runs in one already.

    Returns:
        the task.
    """
    task = asyncio.current_task()
    if task is None:
        yield
        task = asyncio.current_task()
        assert task is not None
    return task


def begin(
    work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, context: Context
) -> asyncio.Task[None] | None:
    """Run a coroutine now, until it returns or awaits :func:`in_task`.

    Args:
        work: the coroutine; it must not raise.
        loop: the running event loop, which gets the task.
        context: the context that the whole coroutine runs in.

    Returns:
        the task that does the rest, or None if the coroutine has returned.
    """
    try:
        context.run(work.send, None)
    except StopIteration:
        return None
    return loop.create_task(_run_rest(work), context=context)


async def _run_rest(work: Coroutine[Any, Any, None]) -> None:
    await _rest(work)


@coroutine
def _rest(work: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
    yield from work.__await__()  # awaiting a coroutine that has started would be an error
