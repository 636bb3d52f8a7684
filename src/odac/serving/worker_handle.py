"""A worker's process, and its place, as the supervisor holds them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from typing import Final

from odac.serving.options import CannotStart
from odac.serving.worker import DRAIN, GROUP_SIGNALS, Job, Report

__all__ = ["BEAT", "MISSED", "PATIENCE", "Slot", "Worker", "how_it_ended"]

# Modules are found as they are here, and -P keeps the current directory from coming before Python's own until then.
_START: Final = (
    "import sys; sys.path[:] = sys.argv[2:]; from odac.serving.worker import main; main()  # one of Odac's workers"
)

logger = logging.getLogger("odac.server")

PATIENCE: Final = 20.0
"""Seconds beyond a worker's own limits after which one that does not end is killed: what an app's shutdown may take."""
_RELOAD_PATIENCE: Final = 2.0
BEAT: Final = 5.0
"""Seconds between two heartbeats of a worker."""
MISSED: Final = 6
"""Heartbeats that do not come from one that is frozen, or whose event loop is held up."""


_starting = 0
"""How many processes are being started at this moment."""


@contextlib.contextmanager
def _group_signals_blocked() -> Iterator[None]:
    """Block SIGINT and SIGHUP while processes are started.

    A process inherits the signal mask. A worker needs these signals blocked until it ignores them: Ctrl-C would end it
    with a traceback before its first line. Several workers are started at the same time, and creating a process
    awaits, so only the last one to finish may unblock: each one restoring the mask that it found would leave the
    signals of this process blocked for good.
    """
    global _starting
    _starting += 1
    if _starting == 1:
        signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
    try:
        yield
    finally:
        _starting -= 1
        if _starting == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)


class Worker:
    """One process, from its start to its end."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
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
        """Start a process on a job."""
        ours, theirs = socket.socketpair()
        try:
            with _group_signals_blocked():
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",
                    "-c",
                    _START,
                    str(theirs.fileno()),
                    *sys.path,
                    pass_fds=(theirs.fileno(), *job["sockets"]),
                    env=dict(environment),
                )
        except OSError as error:
            ours.close()
            raise CannotStart(f"no process can be started: {error}") from None
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        writer.write(json.dumps(job).encode() + b"\n")
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
            # It may be importing the app, and hears nothing until that is done.
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


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"
    return f"ended with exit code {code}"
