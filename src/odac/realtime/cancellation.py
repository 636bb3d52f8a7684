"""Telling a cancellation that is meant for the running task from one that its code only came across."""

from __future__ import annotations

import asyncio
from typing import Final

__all__ = ["OVERDUE", "RAISED", "Raised", "is_own"]

Raised = Exception | asyncio.CancelledError
RAISED: Final = (Exception, asyncio.CancelledError)
"""What a function of the application may raise that concerns its own connection only. Awaiting a task that somebody has
cancelled, or asking it for its ``result()``, raises ``CancelledError``, which is no ``Exception``."""

OVERDUE: Final = "the connection has ended"
"""Marks the cancellation of what goes on for too long after its connection's end, and of nothing else."""


def is_own(error: BaseException) -> bool:
    """Whether ``error`` is the cancellation of the task that runs now."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
