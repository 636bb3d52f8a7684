"""Distinguishes a cancellation of the running task from a ``CancelledError`` that its code got from another task."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import ref

from odac.notices import limit_met

if TYPE_CHECKING:
    from odac.realtime.policy import Policy

__all__ = ["OVERDUE", "RAISED", "Raised", "cancel_overdue", "is_own"]

Raised = BaseException
RAISED: Final = (BaseException,)
"""The exceptions of the application's functions that must affect their own connection only: all. Awaiting a cancelled
task raises ``CancelledError``, and ``sys.exit()`` raises ``SystemExit``; neither is an ``Exception``, and the latter
would end the event loop for every connection."""

OVERDUE: Final = "the connection has ended"
"""The message of the cancellation of a task that runs too long after its connection's end, and of no other."""


class TaskOwner(Protocol):
    """The attributes of a connection that the time limit of its tasks uses."""

    policy: Policy

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the connection."""
        ...


def is_own(error: BaseException) -> bool:
    """Whether ``error`` ends the task that runs now: its cancellation, or the closing of its coroutine."""
    if isinstance(error, GeneratorExit):
        return True
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def cancel_overdue(connection: TaskOwner, task: asyncio.Task[Any], what: str) -> None:
    """Cancel a task that still runs ``Limits.close_timeout`` after its connection's end.

    Args:
        connection: has ended.
        task: runs code of the application.
        what: for the log line, such as ``"a handler"``.
    """
    loop, policy, task_ref = connection.loop, connection.policy, ref(task)

    def cancel() -> None:
        task = task_ref()
        if task is not None and not task.done():
            limit_met(
                "close_timeout",
                "%s: %s still ran %g s after its connection had ended and is cancelled (Limits.close_timeout);"
                " start work that must continue as an asyncio task of your own",
                policy.path,
                what,
                policy.limits.close_timeout,
            )
            task.cancel(OVERDUE)

    loop.call_later(policy.limits.close_timeout, cancel)
