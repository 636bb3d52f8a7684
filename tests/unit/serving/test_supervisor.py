from __future__ import annotations

import asyncio
import os
import signal
from typing import Any, ClassVar

import pytest

from odac.serving import starter, supervisor
from odac.serving.options import CannotStart, ServeOptions
from odac.serving.supervisor import Supervisor
from odac.serving.worker import Job, Report

DEADLINE = 30


class Ports:
    """Listening sockets without sockets."""

    address = "http://127.0.0.1:8000"

    def __init__(self) -> None:
        self.is_closed = False

    def open(self, index: int) -> None: ...

    def close(self, index: int) -> None: ...

    def descriptors(self, index: int) -> list[int]:
        return [index]

    def close_all(self) -> None:
        self.is_closed = True


class FakeWorker:
    """A worker without a process."""

    started: ClassVar[list[FakeWorker]] = []
    reports: ClassVar[list[Report]] = []

    def __init__(self, job: Job) -> None:
        self.job = job
        self.pid = 1000 + len(self.started)
        self.born = asyncio.get_running_loop().time()
        self.process: Any = self
        self._over: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.started.append(self)

    @classmethod
    async def start(cls, job: Job, environment: Any) -> FakeWorker:
        return cls(job)

    async def report(self) -> Report:
        if self.reports:
            return self.reports.pop(0)
        return {"introduction": "it serves", "grace": 1, "needs_secret": False, "alone": False}

    async def stands_still(self) -> bool:
        await asyncio.shield(self._over)
        return False

    async def wait(self) -> int:
        return await asyncio.shield(self._over)

    ended = wait

    def die(self, code: int) -> None:
        if not self._over.done():
            self._over.set_result(code)

    async def stop(self) -> bool:
        self.die(0)
        return True

    def say(self, word: bytes) -> None: ...

    def kill(self) -> None:
        self.die(-9)


@pytest.fixture(autouse=True)
def _fake_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeWorker.started, FakeWorker.reports = [], []
    monkeypatch.setattr(starter, "Worker", FakeWorker)


async def started(count: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while len(FakeWorker.started) < count:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)


def supervised(workers: int, then: Any) -> Ports:
    """Run a supervisor, do something, and stop it with a signal."""
    ports: Any = Ports()

    async def main() -> None:
        running = asyncio.ensure_future(Supervisor("chat:app", ServeOptions(workers=workers), ports, {}).run())
        try:
            await started(workers)
            await then()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(DEADLINE):
                await running

    asyncio.run(main())
    return ports  # type: ignore[no-any-return]


def test_as_many_workers_as_asked_for_run_until_a_signal(capsys: pytest.CaptureFixture[str]) -> None:
    async def then() -> None:
        assert [each.job["sockets"] for each in FakeWorker.started] == [[0], [1], [2]]

    ports = supervised(3, then)
    assert ports.is_closed
    assert all(each._over.done() for each in FakeWorker.started)
    assert capsys.readouterr().out == "it serves\n", "said once"


def test_a_worker_that_dies_is_replaced_in_its_place() -> None:
    async def then() -> None:
        FakeWorker.started[1].die(-11)
        await started(3)
        assert FakeWorker.started[2].job["sockets"] == [1]

    supervised(2, then)


@pytest.mark.parametrize(("code", "level"), [(0, "WARNING"), (1, "ERROR"), (-9, "ERROR")])
def test_a_worker_that_ends_by_itself_is_a_warning_and_one_that_fails_an_error(
    code: int, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def then() -> None:
        FakeWorker.started[0].die(code)
        await started(2)

    supervised(1, then)
    assert [record.levelname for record in caplog.records if "and is replaced" in record.getMessage()] == [level]


def test_a_hangup_replaces_each_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "terminal_is_gone", lambda: False)

    async def then() -> None:
        before = FakeWorker.started[:]
        os.kill(os.getpid(), signal.SIGHUP)
        await started(4)
        assert all(each._over.done() for each in before)
        assert [each.job["sockets"] for each in FakeWorker.started[2:]] == [[0], [1]]

    supervised(2, then)


def test_an_app_that_no_worker_can_start_ends_it() -> None:
    FakeWorker.reports = [{"failed": "there is no app"}, {"failed": "there is no app"}]
    ports: Any = Ports()
    with pytest.raises(CannotStart, match="there is no app"):
        asyncio.run(Supervisor("chat:app", ServeOptions(workers=2), ports, {}).run())
    assert ports.is_closed
