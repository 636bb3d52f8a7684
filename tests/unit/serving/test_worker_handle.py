from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from odac.serving import worker_handle
from odac.serving.worker_handle import Worker


class Reader:
    """What a worker says, read by read: bytes, or None for nothing until the reader gives up."""

    def __init__(self, *script: bytes | None) -> None:
        self.left: Iterator[bytes | None] = iter(script)

    async def read(self, limit: int) -> bytes:
        said = next(self.left)
        if said is None:
            await asyncio.Event().wait()
            raise AssertionError
        return said


class Process:
    pid = 1


async def watched(*script: bytes | None) -> tuple[bool, list[bytes | None]]:
    reader, nothing = Reader(*script), Any
    worker = Worker(Process(), nothing, reader, 0.0)  # type: ignore[arg-type]
    return await worker.stands_still(), list(reader.left)


@pytest.mark.parametrize(
    ("script", "still"),
    [
        ((None, None), True),
        ((None, b"\n", None, None), True),
        ((b"\n", b"\n\n", None, b"\n", b""), False),
        ((b"",), False),
    ],
    ids=["nothing at all", "nothing any more", "ended, and was late once", "ended"],
)
def test_a_worker_that_stands_still_misses_several_beats_in_turn(
    script: tuple[bytes | None, ...], still: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_handle, "BEAT", 0.01)
    monkeypatch.setattr(worker_handle, "MISSED", 2)
    assert asyncio.run(watched(*script)) == (still, [])


@contextlib.contextmanager
def watched_by_the_loop() -> Iterator[None]:
    """Let the event loop itself notice the end of a process, as it does from Python 3.12 on where the system allows."""
    if sys.version_info < (3, 12):
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(asyncio.get_running_loop())
        asyncio.set_child_watcher(watcher)
        try:
            yield
        finally:
            asyncio.set_child_watcher(None)  # type: ignore[arg-type]
    else:
        yield


class Channel:
    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


async def ended_before_the_signal(send: Callable[[Worker], None]) -> int:
    """The exit code of a worker that ended, unnoticed as yet by the event loop, before a signal was sent to it."""
    with watched_by_the_loop():
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(3)")
        worker = Worker(process, Channel(), Any, 30.0)  # type: ignore[arg-type]
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        send(worker)
        return await asyncio.wait_for(worker.ended(), 30)


@pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="not for this one: the event loop cannot watch a process itself"
)
@pytest.mark.parametrize(
    "send", [Worker.kill, lambda worker: worker._signal(signal.SIGTERM)], ids=["kill", "terminate"]
)
def test_a_signal_to_a_worker_that_has_just_ended_leaves_its_exit_code(
    send: Callable[[Worker], None], caplog: pytest.LogCaptureFixture
) -> None:
    assert asyncio.run(ended_before_the_signal(send)) == 3
    assert not caplog.records
