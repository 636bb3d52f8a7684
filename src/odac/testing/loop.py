"""An event loop for tests: it can wait until nothing is ready to run, and its clock can be moved."""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

import anyio.to_thread

__all__ = ["NeverIdle", "StillRunning", "TestLoop", "end_tasks", "run", "settle", "within"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PATIENCE: Final = 5.0
"""Seconds of real time that the app has to become idle."""

QUIET_ITERATIONS: Final = 100
"""Iterations of another event loop without activity of the app, after which it counts as idle."""

_WORKERS: Final = ("asyncio_", "AnyIO worker")


class _Machine:
    """The machine's clock. Freezegun replaces ``time.monotonic`` in every module, and does not find it here."""

    monotonic = staticmethod(time.monotonic)


class NeverIdle(AssertionError):
    """The app did not become idle: something in it runs again and again without waiting, or a thread still works."""


class _Selector(selectors.DefaultSelector):
    """Calls the loop back before it waits: then nothing is ready to run."""

    about_to_wait: Callable[[float | None], float | None]
    about_to_spin: Callable[[], None]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            self.about_to_spin()
            return super().select(0)
        return super().select(0) or super().select(self.about_to_wait(timeout))


class TestLoop(asyncio.SelectorEventLoop):
    """asyncio's event loop, with two additions for tests.

    :meth:`idle` waits until nothing is ready to run and no worker thread is at work, and does not have to guess. And
    while the loop waits for nothing but timers, its clock jumps to the next one: ``sleep(60)`` takes no time. While a
    socket is open or a thread runs, its clock runs as real time does.
    """

    __test__ = False  # pytest: not a test class

    def __init__(self) -> None:
        self._ahead = 0.0  # seconds that the loop's clock is ahead of the machine's
        self._jobs: set[asyncio.Future[Any]] = set()  # of run_in_executor() that are not done
        self._in_threads: dict[object, str] = {}  # the functions that worker threads run, by name
        self._stuck = False
        self._limiter: Any = None  # of anyio's worker threads
        self._watchers: list[asyncio.Future[float | None]] = []
        self._deadline = 0.0
        self._known_threads = frozenset(threading.enumerate())
        selector = _Selector()
        selector.about_to_wait = self._before_wait
        selector.about_to_spin = self._before_spin
        self._odac_selector = selector
        super().__init__(selector)
        self._own_files = len(selector.get_map())

    def time(self) -> float:
        """The loop's clock, in seconds; libraries that freeze Python's clock do not stop it."""
        return _Machine.monotonic() + self._ahead

    moved_time = time
    """The same, by a name that other event loops do not have: rate limits are measured by it."""

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """See :meth:`asyncio.loop.run_in_executor`; the job counts as work until it is done."""
        key = object()

        def job(*arguments: *Ts) -> T:
            # Both the future and the function are tracked, because cancelling the future does not end the thread.
            self._in_threads[key] = getattr(func, "__qualname__", repr(func))
            try:
                return func(*arguments)
            finally:
                del self._in_threads[key]

        future = super().run_in_executor(executor, job, *args)
        self._jobs.add(future)
        future.add_done_callback(self._jobs.discard)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncio's own
        """See :meth:`asyncio.loop.shutdown_default_executor`; it does not wait for a thread that does not end."""
        if not self._stuck:
            await super().shutdown_default_executor()

    async def end_all(self) -> None:
        """End what the app has left running: cancel its tasks, and wait for its worker threads.

        Raises:
            StillRunning: a task or thread does not end; the error names it. The loop can be closed all the same.
        """
        own = asyncio.current_task()
        tasks = {task for task in asyncio.all_tasks() if task is not own}
        for task in tasks:
            task.cancel()
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=1.0)
        deadline = _Machine.monotonic() + PATIENCE
        while self._in_threads and _Machine.monotonic() < deadline:
            time.sleep(0.001)  # noqa: ASYNC251 - threads take real time, and the app has ended
            await asyncio.sleep(0)  # run the callbacks that the threads schedule
        threads = [f"a worker thread in {name}" for name in self._in_threads.copy().values()]
        if not tasks and not threads:
            return
        self._stuck = bool(threads)
        descriptions = [_describe(task) for task in tasks] + threads
        for task in tasks:
            asyncio._unregister_task(task)  # or closing the loop would wait for it
        raise StillRunning(
            f"still running after the end of the test, although it was cancelled: {'; '.join(descriptions)}"
        )

    async def idle(self) -> float | None:
        """Wait until nothing is ready to run and no worker thread is at work.

        Code that waits for a timer, or for a socket that the app opened, does not count.

        Returns:
            seconds until the next timer, or None without one.

        Raises:
            NeverIdle: that did not happen within :data:`PATIENCE` seconds.
        """
        if self._limiter is None:
            self._limiter = anyio.to_thread.current_default_thread_limiter()
        if not self._watchers:
            self._deadline = _Machine.monotonic() + PATIENCE
        watcher: asyncio.Future[float | None] = self.create_future()
        self._watchers.append(watcher)
        return await watcher

    async def advance(self, seconds: float) -> None:
        """Move the loop's clock forward; timers that become due run in order, each at its own time.

        Raises:
            ValueError: ``seconds`` is negative.
            NeverIdle: see :meth:`idle`.
        """
        if seconds < 0:
            raise ValueError(f"advance({seconds}): must be a number of seconds from 0")
        left = seconds
        while True:
            before = self.time()
            wait = await self.idle()
            left -= self.time() - before
            if wait is None or wait > left:
                break
            self._ahead += wait
            left -= wait
        self._ahead += max(left, 0.0)
        await self.idle()

    # Called by the selector

    def _before_spin(self) -> None:
        if self._watchers and _Machine.monotonic() > self._deadline:
            self._give_up("something in it runs again and again without waiting: a loop around asyncio.sleep(0)?")

    def _before_wait(self, timeout: float | None) -> float | None:
        """The seconds for which the selector is to wait; None without a bound."""
        if self._watchers:
            if not self._threads_at_work():
                watchers, self._watchers = self._watchers, []
                for watcher in watchers:
                    if not watcher.done():
                        watcher.set_result(timeout)
                return 0
            left = self._deadline - _Machine.monotonic()
            if left <= 0:
                self._give_up("a worker thread is still at work")
                return 0
            return left if timeout is None else min(timeout, left)
        if timeout is not None and not self._something_outside():
            self._ahead += timeout
            return 0
        return timeout

    def _give_up(self, reason: str) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_exception(NeverIdle(f"the app was not idle within {PATIENCE:g} s: {reason}"))

    def _threads_at_work(self) -> bool:
        return bool(self._jobs) or (self._limiter is not None and self._limiter.borrowed_tokens > 0)

    def _something_outside(self) -> bool:
        if self._threads_at_work() or len(self._odac_selector.get_map()) > self._own_files:
            return True
        return any(
            thread not in self._known_threads and not thread.name.startswith(_WORKERS)
            for thread in threading.enumerate()
        )


class StillRunning(AssertionError):
    """Code of the app still ran after the end of the test, although it was cancelled."""


def run(test: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as :func:`asyncio.run` does, on a :class:`TestLoop`."""
    with asyncio.Runner(loop_factory=TestLoop) as runner:
        return runner.run(test)


async def settle(activity: Callable[[], int]) -> None:
    """Wait until the app is idle: exactly on a :class:`TestLoop`, approximately on any other loop.

    Any other loop does not tell whether something is ready to run. There this runs it for :data:`QUIET_ITERATIONS`
    iterations in which the app shows no activity, and no thread of anyio's is at work.

    Args:
        activity: returns a number that grows with what the app does.

    Raises:
        NeverIdle: the app did not become idle.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, TestLoop):
        await loop.idle()
        return
    limiter = anyio.to_thread.current_default_thread_limiter()
    deadline = _Machine.monotonic() + PATIENCE
    seen, quiet = activity(), 0
    while quiet < QUIET_ITERATIONS:
        if _Machine.monotonic() > deadline:
            raise NeverIdle(f"the app was not idle within {PATIENCE:g} s")
        await asyncio.sleep(0 if limiter.borrowed_tokens == 0 else 0.001)
        now = activity()
        quiet = quiet + 1 if now == seen and limiter.borrowed_tokens == 0 else 0
        seen = now


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """As :func:`asyncio.timeout`, also if a library has frozen the clock of an event loop other than :class:`TestLoop`.

    Raises:
        TimeoutError: the block took longer.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, TestLoop) or time.monotonic is _Machine.monotonic:
        async with asyncio.timeout(seconds):
            yield
        return
    async with asyncio.timeout(None) as limit:
        # A thread waits by the machine's clock, which such a library does not freeze.
        timer = threading.Timer(seconds, lambda: loop.call_soon_threadsafe(limit.reschedule, loop.time()))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


async def end_tasks(tasks: Iterable[asyncio.Task[Any] | None], grace: float) -> None:
    """Wait until tasks of the app have ended; cancel those that have not within ``grace`` seconds of the app's time.

    Raises:
        StillRunning: some still run although they were cancelled; the error says where.
    """
    running = {task for task in tasks if task is not None and not task.done()}
    if running:
        _, running = await asyncio.wait(running, timeout=grace)
    for task in running:
        task.cancel()
    if running:
        _, running = await asyncio.wait(running, timeout=1.0)
    if running:
        raise StillRunning(
            f"cancelled {grace:g} s after the end of the test, and still running 1 s later: "
            + "; ".join(_describe(task) for task in running)
        )


def _describe(task: asyncio.Task[Any]) -> str:
    """A task's name, and the line of the app, not of asyncio, at which it waits."""
    awaitable: Any = task.get_coro()
    where = ""
    while awaitable is not None:
        frame = (
            getattr(awaitable, "cr_frame", None)
            or getattr(awaitable, "gi_frame", None)
            or getattr(awaitable, "ag_frame", None)
        )
        if frame is not None and "/asyncio/" not in frame.f_code.co_filename:
            code = frame.f_code
            where = f" at {code.co_qualname} ({code.co_filename}, line {frame.f_lineno})"
        awaitable = getattr(awaitable, "cr_await", None) or getattr(awaitable, "gi_yieldfrom", None)
    return f"{task.get_name()}{where}"
