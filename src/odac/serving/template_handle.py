"""The supervisor's handles of the process that workers are forked from, and of these workers' processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Mapping
from typing import Final

from odac.serving.options import CannotStart
from odac.serving.spawning import UNKNOWN, how_it_ended, spawn
from odac.serving.template import MAX_LINE, Said
from odac.serving.worker import Job

__all__ = ["Template"]

_LOOK: Final = 0.2
"""Seconds between two checks of a worker whose template has ended, so that its end is not reported."""


class Template:
    """One template process (see :mod:`odac.serving.template`), from its start to its end. :meth:`start` creates it.

    Attributes:
        threads: the names of the threads that importing the app has started, which forked processes do not have.
    """

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self.threads: list[str] = []
        self.is_alive = True
        self._process = process
        self._channel = channel
        self._forking = asyncio.Lock()
        self._answer: asyncio.Future[tuple[Said, ForkedProcess | None]] | None = None
        self._forked: dict[int, ForkedProcess] = {}
        self._reading: asyncio.Task[None] | None = None
        self._looking: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(cls, job: Job, environment: Mapping[str, str]) -> Template:
        """Start a process that imports the app.

        Raises:
            CannotStart: the app cannot be imported; the message gives the reason.
        """
        ours, theirs = socket.socketpair()
        try:
            process = await spawn("template", theirs, [], environment)
        except CannotStart:
            ours.close()
            raise
        template = cls(process, ours)
        try:
            await template._begin(job)
        except BaseException:
            template.kill()
            await template.ended()
            raise
        return template

    async def _begin(self, job: Job) -> None:
        self._answer = asyncio.get_running_loop().create_future()
        reader, self._writer = await asyncio.open_connection(sock=self._channel)
        self._writer.write(json.dumps(job).encode() + b"\n")
        self._reading = asyncio.get_running_loop().create_task(self._read(reader))
        answer, _ = await self._answer
        if "failed" in answer:
            raise CannotStart(answer["failed"])
        self.threads = answer["threads"]

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                said: Said = json.loads(line)
                if "ended" in said:
                    if (process := self._forked.pop(said["ended"], None)) is not None:
                        process.over(said["code"])
                elif self._answer is not None and not self._answer.done():
                    process = None
                    if "pid" in said:  # before the next line is read, which may report its end
                        process = self._forked[said["pid"]] = ForkedProcess(said["pid"])
                    self._answer.set_result((said, process))
        self.is_alive = False
        self._writer.close()
        if self._answer is not None and not self._answer.done():
            why = f"the process that imports the app {how_it_ended(await self._process.wait())}"
            self._answer.set_result(({"failed": why, "refused": why}, None))
        for process in self._forked.values():
            task = asyncio.get_running_loop().create_task(_look_at(process))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)
        self._forked.clear()

    async def fork(self, channel: socket.socket, job: Job) -> ForkedProcess:
        """Fork a process for a job.

        Args:
            channel: the process's end of a socket pair.
            job: the job; its listening sockets are passed to the process.

        Raises:
            CannotStart: the process cannot be forked.
        """
        async with self._forking:
            line = json.dumps(job).encode() + b"\n"
            assert len(line) < MAX_LINE
            self._answer = asyncio.get_running_loop().create_future()
            transport = self._writer.transport
            try:
                if not self.is_alive or transport.get_write_buffer_size():
                    raise OSError("it has ended")
                socket.send_fds(self._channel, [line], [channel.fileno(), *job["sockets"]])
            except OSError as error:
                raise CannotStart(f"no worker can be forked: {error}") from None
            answer, process = await asyncio.shield(self._answer)
            if process is None:
                raise CannotStart(answer["refused"])
            return process

    def retire(self) -> None:
        """Make it end with its last worker."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """End it at once; its workers keep running."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def ended(self) -> None:
        """Wait until it has ended and all its lines have been read."""
        await self._process.wait()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)
        else:
            self._channel.close()
        for task in list(self._looking):
            task.cancel()


class ForkedProcess:
    """The process of a worker that a template has forked; :class:`asyncio.subprocess.Process` is only for children."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def returncode(self) -> int | None:
        """Its exit code; None until it has ended."""
        return self._code.result() if self._code.done() else None

    def over(self, code: int) -> None:
        """It has ended."""
        if not self._code.done():
            self._code.set_result(code)

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        return await asyncio.shield(self._code)


async def _look_at(process: ForkedProcess) -> None:
    """Detect the end of a worker whose template has ended before: it is the child of another process now."""
    while process.returncode is None:
        if (code := _code_of(process.pid)) is not None:
            process.over(code)
        await asyncio.sleep(_LOOK)


def _code_of(pid: int) -> int | None:
    """The exit code of a process; None while it runs."""
    try:
        # If this is the first process of a container, processes whose parent has ended become its children.
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return UNKNOWN
        return None
    return os.waitstatus_to_exitcode(status) if ended else None
