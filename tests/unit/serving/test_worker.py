from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from odac.serving import worker
from odac.serving.worker import DRAIN, END
from tests.unit.realtime.realtime_fakes import run

DEADLINE = 30


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_job_is_read_and_no_byte_more(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ours.sendall(b'{"app": "chat:app"}\n' + DRAIN)
    assert json.loads(worker._read_line(theirs)) == {"app": "chat:app"}
    assert theirs.recv(100) == DRAIN


def test_without_a_whole_job_the_worker_ends(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ours.sendall(b'{"app": ')
    ours.close()
    with pytest.raises(SystemExit):
        worker._read_line(theirs)


@pytest.mark.parametrize(("said", "at_once"), [(DRAIN, False), (END, True), (b"", False)])
def test_the_supervisor_is_heard(pair: tuple[socket.socket, socket.socket], said: bytes, at_once: bool) -> None:
    async def main() -> None:
        ours, theirs = pair
        heard = asyncio.Event()
        ends: list[bool] = []

        class Server(SimpleNamespace):
            def __setattr__(self, name: str, value: Any) -> None:
                super().__setattr__(name, value)
                heard.set()

        server: Any = Server()
        object.__setattr__(server, "should_exit", False)
        object.__setattr__(server, "end_at_once", lambda: ends.append(True))
        worker._listen(theirs, server)
        if said:
            ours.sendall(said)
        else:
            ours.close()  # the supervisor was killed
        async with asyncio.timeout(DEADLINE):
            await heard.wait()
        asyncio.get_running_loop().remove_reader(theirs)
        assert server.should_exit
        assert bool(ends) == at_once

    run(main())


def test_a_report_is_a_line_and_a_supervisor_that_is_gone_no_error(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    worker.say(theirs, {"failed": "no disk"})
    assert json.loads(ours.recv(1000)) == {"failed": "no disk"}
    ours.close()
    worker.say(theirs, {"failed": "no disk"})


def test_signs_of_life_go_on(pair: tuple[socket.socket, socket.socket]) -> None:
    async def main() -> None:
        ours, theirs = pair
        ours.setblocking(False)
        worker._beat(theirs, 0.001)
        received = b""
        async with asyncio.timeout(DEADLINE):
            while len(received) < 3:
                received += await asyncio.get_running_loop().sock_recv(ours, 10)
        assert set(received) == {ord("\n")}

    run(main())


@pytest.mark.parametrize(
    ("needs_secret", "alone", "workers", "own_secret", "said"),
    [
        (True, False, 2, True, ["No secret is set"]),
        (True, False, 2, False, []),
        (False, True, 2, True, ["The app's broker is memory://"]),
        (False, True, 1, True, []),
    ],
)
def test_what_does_not_work_over_workers_is_said(
    needs_secret: bool, alone: bool, workers: int, own_secret: bool, said: list[str]
) -> None:
    warnings = worker.warnings_of({"needs_secret": needs_secret, "alone": alone}, workers, own_secret=own_secret)
    assert [warning for warning, begin in zip(warnings, said, strict=True) if warning.startswith(begin)] == warnings
