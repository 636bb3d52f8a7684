"""The supervisor's hold on a real template process, and on the processes that it has forked."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from odac.serving.options import CannotStart, ServeOptions
from odac.serving.spawning import UNKNOWN
from odac.serving.starter import Starter
from odac.serving.template_handle import ForkedProcess, Template
from odac.serving.worker import Job

APP = "from odac import Odac\napp = Odac('a secret of the tests, long enough')\n"
DEADLINE = 60.0


def job(sockets: list[int]) -> Job:
    return Starter("app:app", ServeOptions(workers=2), "http://127.0.0.1:8000", {})._job(sockets)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def run(then: Callable[[Template], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(DEADLINE):
            template = await Template.start(job([]), os.environ)
            try:
                await then(template)
            finally:
                template.kill()
                await template.ended()
            assert not template.is_alive

    asyncio.run(main())


async def fork(template: Template) -> tuple[ForkedProcess, socket.socket]:
    ours, theirs = socket.socketpair()
    try:
        with theirs, socket.create_server(("127.0.0.1", 0)) as listening:
            return await template.fork(theirs, job([listening.fileno()])), ours
    except BaseException:
        ours.close()
        raise


def test_an_app_that_cannot_be_imported_is_the_reason(folder: Path) -> None:
    (folder / "app.py").write_text("raise RuntimeError('no database')")

    async def main() -> None:
        with pytest.raises(CannotStart, match="no database"):
            await Template.start(job([]), os.environ)

    asyncio.run(main())


def test_a_template_that_ends_during_the_import_is_the_reason(folder: Path) -> None:
    (folder / "app.py").write_text("import os; os._exit(7)")

    async def main() -> None:
        with pytest.raises(CannotStart, match="the process that imports the app ended with exit code 7"):
            await Template.start(job([]), os.environ)

    asyncio.run(main())


def test_workers_are_forked_and_their_ends_are_known(folder: Path) -> None:
    async def then(template: Template) -> None:
        assert template.threads == []
        (one, channel), (other, further) = await asyncio.gather(fork(template), fork(template))
        with channel, further:
            assert one.pid != other.pid
            assert one.returncode is None
            for each in (one, other):
                os.kill(each.pid, signal.SIGKILL)
                assert await each.wait() == each.returncode == -signal.SIGKILL
        template.retire()
        await template.ended()

    run(then)


def test_its_socket_is_closed_once_it_has_ended(folder: Path) -> None:
    async def then(template: Template) -> None:
        template.retire()
        while template._channel.fileno() != -1:  # each SIGHUP would leave one open
            await asyncio.sleep(0.01)

    run(then)


def test_the_end_of_a_worker_is_noticed_without_its_template(folder: Path) -> None:
    async def then(template: Template) -> None:
        worker, channel = await fork(template)
        with channel:
            template.kill()
            while template.is_alive:
                await asyncio.sleep(0.01)
            with pytest.raises(CannotStart, match="no worker can be forked"):
                await fork(template)
            assert worker.returncode is None
            os.kill(worker.pid, signal.SIGKILL)
            assert await worker.wait() in (UNKNOWN, -signal.SIGKILL)

    run(then)


def test_an_end_that_is_reported_twice_counts_once() -> None:
    async def main() -> None:
        process = ForkedProcess(1)
        process.over(3)
        process.over(UNKNOWN)
        assert await process.wait() == process.returncode == 3

    asyncio.run(main())
