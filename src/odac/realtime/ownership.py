"""Timers and tasks that belong to one connection and end with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from typing import Any, TypeVar

from odac.realtime.cancellation import RAISED, Raised

__all__ = ["Owned", "Timer"]

T = TypeVar("T")


class Timer:
    """A timer of a connection; :meth:`cancel` stops it."""

    __slots__ = ("_function", "_handle", "_interval", "_owned", "_running")

    def __init__(self, owned: Owned, delay: float, function: Callable[[], object], interval: float | None) -> None:
        self._owned: Owned | None = owned  # None once it has ended: the application may keep it beside the connection
        self._function: Callable[[], object] | None = function
        self._interval = interval
        self._running: asyncio.Task[Any] | None = None
        self._handle: asyncio.TimerHandle | None = owned.loop.call_later(delay, owned.run, self._fire)

    def cancel(self) -> None:
        """Stop the timer. Stopping it twice is no error."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._end()

    def _end(self) -> None:
        owned = self._owned
        self._interval = self._function = self._owned = None
        if owned is not None:
            owned.forget(self)

    def _fire(self) -> None:
        self._handle = None
        owned, function = self._owned, self._function
        assert owned is not None
        assert function is not None
        if self._interval is not None:
            self._handle = owned.loop.call_later(self._interval, owned.run, self._fire)
        else:
            self._end()
        if self._running is not None and not self._running.done():
            return  # an asynchronous function that takes longer than the interval is not started a second time
        try:
            result = function()
        except RAISED as error:
            owned.failed(error)
            return
        if asyncio.iscoroutine(result):
            self._running = owned.create_task(result)


class Owned:
    """The timers and tasks of one connection.

    Args:
        loop: the event loop.
        run: calls a function in the connection's own context.
        failed: called with an exception that a timer or task raised.
        idle: called when the last task has ended.
    """

    __slots__ = ("_ended", "_tasks", "_timers", "failed", "idle", "loop", "run")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        run: Callable[..., None],
        failed: Callable[[Raised], None],
        idle: Callable[[], None],
    ) -> None:
        self.loop = loop
        self.run = run
        self.failed = failed
        self.idle = idle
        self._ended = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timers: set[Timer] = set()

    @property
    def has_tasks(self) -> bool:
        """Whether a task runs."""
        return bool(self._tasks)

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine until it returns or the connection ends."""
        if not asyncio.iscoroutine(coroutine):
            raise TypeError(f"a coroutine was expected, not {coroutine!r}")
        task = self.loop.create_task(self._guarded(coroutine))
        self._tasks.add(task)
        task.add_done_callback(partial(self.run, self._done, coroutine))
        if self._ended:
            task.cancel()
        return task

    async def _guarded(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            return await coroutine
        except (SystemExit, KeyboardInterrupt) as error:
            # Caught, because a task that ends with one of these ends the event loop as well.
            self.failed(error)
            raise asyncio.CancelledError from error

    def _done(self, coroutine: Coroutine[Any, Any, object], task: asyncio.Task[Any]) -> None:
        coroutine.close()  # if it was cancelled before it began; else this does nothing
        self._tasks.discard(task)
        if not task.cancelled():
            error = task.exception()
            if error is not None:
                self.failed(error)
        if not self._tasks:
            self.idle()

    def set_timer(self, delay: float, function: Callable[[], object], interval: float | None = None) -> Timer:
        """Call a function after ``delay`` seconds, then every ``interval`` seconds if one is given.

        Raises:
            ValueError: the interval is not above 0, or the delay is negative, infinite or not a number.
        """
        if callable(delay):
            raise TypeError("the seconds come first: set_timeout(5, function)")
        if not 0 <= delay < inf or (interval is not None and not interval > 0):
            raise ValueError("a delay must be a number of seconds from 0, an interval a number of seconds above 0")
        timer = Timer(self, delay, function, interval)
        self._timers.add(timer)
        if self._ended:
            timer.cancel()
        return timer

    def forget(self, timer: Timer) -> None:
        """A timer has ended."""
        self._timers.discard(timer)

    def cancel(self) -> None:
        """End everything."""
        self._ended = True
        for timer in list(self._timers):
            timer.cancel()
        for task in list(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()
