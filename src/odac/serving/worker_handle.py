"""The supervisor's handles of a worker's process, and of its slot."""

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
"""Seconds beyond a worker's own limits, for the app's shutdown, after which a worker that does not end is killed."""
_RELOAD_PATIENCE: Final = 2.0
BEAT: Final = 5.0
"""Seconds between two heartbeats of a worker."""
MISSED: Final = 6
"""Missing heartbeats after which a worker counts as suspended, or its event loop as blocked."""


class Worker:
    """One worker process, from its start to its end."""

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
            CannotStart: the system cannot start a process.
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
        """Fork a process for a job from a template, which has imported the app.

        Raises:
            CannotStart: the process cannot be forked.
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
        """The worker's report, sent when it serves or its start has failed."""
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
        """Wait until it has missed too many heartbeats, and return True; return False when it has ended.

        Missing heartbeats are counted instead of the time, because Ctrl-Z suspends this process as well.
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
        """Send it a command: ``drain`` or ``end``."""
        if not self._channel.is_closing():
            self._channel.write(word)

    async def stop(self) -> bool:
        """Drain and end it; kill it if it does not end in time. Return False if it was killed."""
        if self._serves:
            self.say(DRAIN)
        else:
            # It may still be importing the app, and reads no commands until then.
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
        """Wait until it has ended, and return its exit code."""
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
    """The place of one worker, which stays when the worker is replaced; it has its own listening sockets."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.worker: Worker | None = None
        self.failures = 0
        self.turn = 0  # counts the workers of this slot, so that two causes do not both replace one
        self.lock = asyncio.Lock()  # held while a worker is started
