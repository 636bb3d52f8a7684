"""The supervisor of several processes that serve one app: it starts, watches, replaces and stops them."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine, Mapping
from typing import Any, Final

import click

from odac.serving import worker_handle
from odac.serving.listener import Ports
from odac.serving.options import CannotStart, ServeOptions
from odac.serving.reload import Watch
from odac.serving.spawning import how_it_ended
from odac.serving.starter import ForkingStarter, Starter
from odac.serving.terminal import terminal_is_gone
from odac.serving.worker import DRAIN, END, Report, warnings_of
from odac.serving.worker_handle import Slot, Worker

__all__ = ["Supervisor"]

logger = logging.getLogger("odac.server")

_YOUNG: Final = 5.0
"""Seconds. A worker that has run this long resets the delay before the next restart."""
_LONGEST_WAIT: Final = 30.0


class Supervisor:
    """Keeps the requested number of workers running until it is stopped.

    Args:
        app: the app, as ``module:app``.
        options: how it is served.
        ports: the listening sockets, one set for each worker if the system allows that.
        environment: the workers' environment.
        own_secret: whether the secret in it is a random one, made for these workers.
    """

    def __init__(
        self,
        app: str,
        options: ServeOptions,
        ports: Ports,
        environment: Mapping[str, str],
        *,
        own_secret: bool = False,
    ) -> None:
        make = ForkingStarter if options.preload else Starter
        self._starter = make(app, options, ports.address, environment)
        self._options = options
        self._ports = ports
        self._own_secret = own_secret
        self._slots = [Slot(index) for index in range(options.workers)]
        self._alive: set[Worker] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = asyncio.Event()
        self._signal = 0
        self._introduced = False
        self._restarting = asyncio.Lock()
        self._restart_due = False
        self._failure: BaseException | None = None
        self._why = ""

    async def run(self) -> None:
        """Start the workers, and return when all have stopped after SIGINT or SIGTERM.

        Raises:
            CannotStart: the app cannot start at all.
            SystemExit: a second signal came, or a worker had to be killed.
        """
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self._on_signal, each)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        try:
            self._own(self._begin())
            await self._stopping.wait()
        finally:
            clean = await self._stop_all()
        if self._failure is not None:
            raise self._failure
        if self._signal:
            sys.exit(128 + self._signal)
        if not clean:
            sys.exit(1)

    # Signals

    def _on_signal(self, number: int) -> None:
        if not self._stopping.is_set():
            self._stopping.set()
            return
        self._signal = number
        for worker in self._alive:
            worker.say(END)
            worker.kill()

    def _on_hangup(self) -> None:
        if terminal_is_gone():
            self._on_signal(signal.SIGTERM)
        elif not self._stopping.is_set():
            self._own(self._restart_one_by_one())

    # Starting

    async def _begin(self) -> None:
        # Before the workers start, so that a change made meanwhile is not missed.
        watch = Watch(self._options.reload_dirs or ("",)) if self._options.reload else None
        await self._start_all()
        if watch is not None:
            self._own(self._watch_files(watch))

    async def _start_all(self) -> None:
        reports = await asyncio.gather(*(self._start(slot, slot.turn) for slot in self._slots))
        good = [report for report in reports if report and "failed" not in report]
        failed = [
            (slot, report["failed"])
            for slot, report in zip(self._slots, reports, strict=True)
            if report and "failed" in report
        ]
        if self._stopping.is_set():
            return
        if failed and not good and not self._options.reload:
            raise CannotStart(failed[0][1])
        if good:
            self._introduce(good[0])
        for slot, why in failed:
            self._failed_to_start(slot, why)

    async def _start(self, slot: Slot, turn: int) -> Report | None:
        """Start a worker in a slot and return its report; None if it is no longer needed."""
        async with slot.lock:
            if slot.turn != turn or self._stopping.is_set():
                return None
            slot.turn += 1
            try:
                worker = slot.worker = await self._spawn(slot)
            except CannotStart as error:
                return {"failed": str(error)}
            report = await worker.report()
            if slot.worker is not worker or self._stopping.is_set():
                return None
            if "failed" not in report:
                self._own(self._watch(slot, worker))
            return report

    async def _spawn(self, slot: Slot) -> Worker:
        self._ports.open(slot.index)
        worker = await self._starter.start(self._ports.descriptors(slot.index))
        self._alive.add(worker)
        self._own(self._bury(worker))
        if self._stopping.is_set():
            worker.say(DRAIN)
        return worker

    async def _bury(self, worker: Worker) -> None:
        await worker.ended()
        self._alive.discard(worker)

    def _introduce(self, report: Report) -> None:
        if not self._introduced:
            self._introduced = True
            click.echo(report["introduction"])
            for warning in warnings_of(report, self._options.workers, own_secret=self._own_secret):
                logger.warning(warning)

    # Replacing

    async def _watch(self, slot: Slot, worker: Worker) -> None:
        """Replace a worker that ends by itself, or that hangs."""
        if not self._options.reload:  # with it, the worker may be paused in a debugger
            self._own(self._end_if_frozen(worker))
        code = await worker.process.wait()
        if self._stopping.is_set() or slot.worker is not worker:
            return
        if asyncio.get_running_loop().time() - worker.born >= _YOUNG:
            slot.failures = 0
        # With exit code 0 nothing has failed: another program sent SIGTERM to the worker, or the app called sys.exit().
        # It is a warning all the same, because it closes the worker's connections and the supervisor did not ask.
        level = logging.WARNING if code == 0 else logging.ERROR
        logger.log(level, "worker %d %s and is replaced", worker.pid, how_it_ended(code))
        await self._replace(slot)

    async def _end_if_frozen(self, worker: Worker) -> None:
        if await worker.stands_still():
            logger.error(
                "worker %d has sent no heartbeat for %g s: it is suspended, or code in it does not return to the"
                " event loop; it is killed",
                worker.pid,
                worker_handle.BEAT * worker_handle.MISSED,
            )
            worker.kill()

    def _failed_to_start(self, slot: Slot, why: str) -> None:
        if self._options.reload:
            logger.error("%s\nwaiting for a change", why)
        else:
            logger.error("a worker cannot start%s", " for the same reason" if why == self._why else f": {why}")
            self._why = why
            self._own(self._replace(slot))

    async def _replace(self, slot: Slot) -> None:
        wait = min(0.5 * 2.0 ** (slot.failures - 1), _LONGEST_WAIT) if slot.failures else 0.0
        slot.failures += 1
        turn = slot.turn
        if wait:
            logger.error("the next attempt is in %g s", wait)
            # Meanwhile the other workers get the new connections.
            self._ports.close(slot.index)
            await asyncio.sleep(wait)
        if self._stopping.is_set():
            return
        report = await self._start(slot, turn)
        if report is None:
            return
        if "failed" in report:
            self._failed_to_start(slot, report["failed"])
        else:
            self._why = ""
            self._introduce(report)

    async def _restart_one_by_one(self) -> None:
        """Start a new worker in each slot before the old one stops, so that the port is always served."""
        if self._restart_due:
            return
        self._restart_due = True  # workers of a running restart may have imported the old code
        async with self._restarting:
            self._restart_due = False
            logger.info("rolling restart started: replacing the workers one by one")
            try:
                await self._starter.renew()
            except CannotStart as error:
                logger.error("a new worker cannot start, so the old ones keep running: %s", error)
                return
            for slot in self._slots:
                async with slot.lock:
                    if self._stopping.is_set():
                        return
                    old, why = slot.worker, await self._renew(slot)
                if self._stopping.is_set():
                    return
                if why:
                    logger.error("a new worker cannot start, so the old ones keep running: %s", why)
                    return
                if old is not None:
                    await old.stop()
            logger.info("rolling restart complete: all workers are new")

    async def _renew(self, slot: Slot) -> str:
        """Put a new worker into a slot, or return the reason why that is not possible."""
        try:
            new = await self._spawn(slot)
            report = await new.report()
        except CannotStart as error:
            return str(error)
        if "failed" in report:
            return report["failed"]
        slot.turn += 1
        slot.worker = new
        self._own(self._watch(slot, new))
        return ""

    async def _watch_files(self, watch: Watch) -> None:
        async for names in watch.changes():
            logger.info("changed: %s; starting again", names)
            old = [slot.worker for slot in self._slots if slot.worker is not None]
            for slot in self._slots:
                slot.worker = None
            await asyncio.gather(*(worker.stop() for worker in old))
            if self._stopping.is_set():
                return
            await self._start_all()

    # Stopping

    async def _stop_all(self) -> bool:
        self._stopping.set()
        self._ports.close_all()
        clean = await asyncio.gather(*(worker.stop() for worker in list(self._alive)))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._starter.stop()
        return all(clean)

    def _own(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = self._failure or task.exception()
            self._stopping.set()
