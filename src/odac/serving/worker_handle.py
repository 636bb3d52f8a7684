"""A worker's process, and its place, as the supervisor holds them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from odac.serving.options import CannotStart
from odac.serving.spawning import Process, how_it_ended, spawn
from odac.serving.worker import DRAIN, Job, Report

if TYPE_CHECKING:
    from odac.serving.template_handle import Template

__all__ = ["BEAT", "MISSED", "PATIENCE", "Slot", "Worker"]

logger = logging.getLogger("odac.server")

PATIENCE: Final = 20.0
"""Seconds beyond a worker's own limits after which one that does not end is killed: what an app's shutdown may take."""
_RELOAD_PATIENCE: Final = 2.0
BEAT: Final = 5.0
"""Seconds between two heartbeats of a worker."""
MISSED: Final = 6
"""Heartbeats that do not come from one that is frozen, or whose event loop is held up."""


class Worker:
    """One process, from its start to its end."""

    def __init__(
        self,
        process: Process,
        channel: asyncio.StreamWriter,
        reader: asyncio.StreamReader,
        patience: float,
    ) -> None:
        self.process = process
        self.pid = process.pid
        self.grace = 0.0
        self._serves = False
        self._patience = patience
        self.born = asyncio.get_running_loop().time()
        self._channel = channel
        self._reader = reader

    @classmethod
    async def start(cls, job: Job, environment: Mapping[str, str]) -> Worker:
        """Start a fresh process on a job.

        Raises:
            CannotStart: the system starts no process.
        """
        ours, theirs = socket.socketpair()
        try:
            process = await spawn("worker", theirs, job["sockets"], environment)
        except CannotStart:
            ours.close()
            raise
        worker = await cls._of(process, ours, job)
        worker._channel.write(json.dumps(job).encode() + b"\n")
        return worker

    @classmethod
    async def fork(cls, job: Job, template: Template) -> Worker:
        """Let a process that has imported the app fork one for a job.

        Raises:
            CannotStart: it cannot.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await template.fork(theirs, job)
        except BaseException:
            ours.close()
            raise
        return await cls._of(process, ours, job)

    @classmethod
    async def _of(cls, process: Process, channel: socket.socket, job: Job) -> Worker:
        reader, writer = await asyncio.open_connection(sock=channel)
        return cls(process, writer, reader, PATIENCE if job["grace"] is None else _RELOAD_PATIENCE)

    async def report(self) -> Report:
        """What it says once it serves, or cannot."""
        with contextlib.suppress(ConnectionError):
            line = await self._reader.readline()
            if line:
                report: Report = json.loads(line)
                self.grace = report.get("grace", self.grace)
                self._serves = "failed" not in report
                return report
        code = await self.process.wait()
        return {"failed": f"a worker {how_it_ended(code)} before it served"}

    async def stands_still(self) -> bool:
        """Wait until it has sent no heartbeat for long, and return True; False once it has ended.

        The signs that did not come are counted, and not the time: Ctrl-Z stops this process as well.
        """
        missed = 0
        while missed < MISSED:
            try:
                async with asyncio.timeout(BEAT):
                    if not await self._reader.read(1024):
                        return False
            except TimeoutError:
                missed += 1
            except ConnectionError:
                return False
            else:
                missed = 0
        return True

    def say(self, word: bytes) -> None:
        """Tell it to drain, or to end."""
        if not self._channel.is_closing():
            self._channel.write(word)

    async def stop(self) -> bool:
        """Let it drain and end; kill it if it does not. False if it was killed."""
        if self._serves:
            self.say(DRAIN)
        else:
            # It may still be importing the app, and reads no orders until then.
            self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self.grace + self._patience):
                await self.process.wait()
        except TimeoutError:
            logger.error("worker %d did not end within %g s and is killed", self.pid, self.grace + self._patience)
            self.kill()
            await self.process.wait()
            return False
        return True

    async def ended(self) -> int:
        """Its exit code, once it has ended by whatever cause."""
        code = await self.process.wait()
        self._channel.close()
        return code

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Not Process.send_signal(): up to Python 3.12.7 and 3.13.0 it first asks the system whether the process ended
        # (Popen.poll), and so takes the exit code from asyncio's child watcher, which then logs "Unknown child process"
        # and reports 255.
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Slot:
    """The place of one worker, with its own share of the connections."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.worker: Worker | None = None
        self.failures = 0
        self.turn = 0  # counts the workers, so that two ways to replace one do not both do it
        self.lock = asyncio.Lock()  # held while one is started
