"""Telling a cancellation that is meant for the running task from one that its code only came across."""

from __future__ import annotations

import asyncio
from typing import Final

__all__ = ["OVERDUE", "RAISED", "Raised", "is_own"]

Raised = BaseException
RAISED: Final = (BaseException,)
"""What a function of the application may raise that concerns its own connection only: everything. Awaiting a task that
somebody has cancelled raises ``CancelledError``, and ``sys.exit()`` raises ``SystemExit``; neither is an ``Exception``, and
the event loop would end with the latter, for every connection."""

OVERDUE: Final = "the connection has ended"
"""Marks the cancellation of what goes on for too long after its connection's end, and of nothing else."""


def is_own(error: BaseException) -> bool:
    """Whether ``error`` ends the task that runs now: its cancellation, or the closing of its coroutine."""
    if isinstance(error, GeneratorExit):
        return True
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
