from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from odac.serving import worker_handle
from odac.serving.worker_handle import Worker, how_it_ended


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


def test_an_end_in_words() -> None:
    assert how_it_ended(3) == "ended with exit code 3"
    assert how_it_ended(-signal.SIGKILL) == "was ended by SIGKILL"
    assert how_it_ended(-64) in ("was ended by signal 64", "was ended by SIGRTMAX")
