"""Telling a cancellation that is meant for the running task from one that its code only came across."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from odac.notices import limit_met

if TYPE_CHECKING:
    from odac.realtime.policy import Policy

__all__ = ["OVERDUE", "RAISED", "Raised", "cancel_overdue", "is_own"]

Raised = BaseException
RAISED: Final = (BaseException,)
"""What a function of the application may raise that concerns its own connection only: everything. Awaiting a task that
was cancelled raises ``CancelledError``, and ``sys.exit()`` raises ``SystemExit``; neither is an ``Exception``, and the
event loop would end with the latter, for every connection."""

OVERDUE: Final = "the connection has ended"
"""Marks the cancellation of a task that runs for too long after its connection's end, and no other cancellation."""


def is_own(error: BaseException) -> bool:
    """Whether ``error`` ends the task that runs now: its cancellation, or the closing of its coroutine."""
    if isinstance(error, GeneratorExit):
        return True
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def cancel_overdue(loop: asyncio.AbstractEventLoop, policy: Policy, task: asyncio.Task[Any], what: str) -> None:
    """Let a task go on for ``Limits.close_timeout`` after its connection's end, and cancel it then.

    Args:
        loop: runs the task.
        policy: of the connection.
        task: of the application.
        what: for the log line, such as ``"a handler"``.
    """
    waiting = ref(task)

    def cancel() -> None:
        task = waiting()
        if task is not None and not task.done():
            limit_met(
                "close_timeout",
                "%s: %s went on for %g s after its connection had ended and is cancelled (Limits.close_timeout);"
                " start what must go on with asyncio",
                policy.name,
                what,
                policy.limits.close_timeout,
            )
            task.cancel(OVERDUE)

    loop.call_later(policy.limits.close_timeout, cancel)
