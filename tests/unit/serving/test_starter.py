"""Which process a worker is started from. Real ones are in tests/integration/test_preload.py."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest

from odac.serving import starter
from odac.serving.options import CannotStart, ServeOptions
from odac.serving.starter import ForkingStarter, Starter


class FakeTemplate:
    made: ClassVar[list[FakeTemplate]] = []
    fails: ClassVar[list[str]] = []
    started_threads: ClassVar[list[str]] = []

    def __init__(self) -> None:
        self.is_alive = True
        self.is_retired = False
        self.threads = self.started_threads
        self.made.append(self)

    @classmethod
    async def start(cls, job: Any, environment: Any) -> FakeTemplate:
        await asyncio.sleep(0)  # several may ask at once
        if cls.fails:
            raise CannotStart(cls.fails[0])
        return cls()

    def retire(self) -> None:
        self.is_retired = True

    async def ended(self) -> None:
        assert self.is_retired


class FakeWorker:
    @staticmethod
    async def start(job: Any, environment: Any) -> Any:
        return ("fresh", job["sockets"])

    @staticmethod
    async def fork(job: Any, template: FakeTemplate) -> Any:
        return (FakeTemplate.made.index(template), job["sockets"])


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeTemplate.made, FakeTemplate.fails, FakeTemplate.started_threads = [], [], []
    monkeypatch.setattr(starter, "Template", FakeTemplate)
    monkeypatch.setattr(starter, "Worker", FakeWorker)


def run(then: Callable[[Any], Awaitable[None]], kind: type[Starter] = ForkingStarter) -> None:
    async def main() -> None:
        made = kind("app:app", ServeOptions(workers=2), "http://127.0.0.1:8000", {})
        await then(made)
        await made.stop()

    asyncio.run(main())


def test_without_preload_each_worker_is_fresh() -> None:
    async def then(made: Any) -> None:
        await made.renew()
        assert await made.start([4]) == ("fresh", [4])

    run(then, Starter)


def test_workers_that_start_at_once_share_one_import() -> None:
    async def then(made: Any) -> None:
        assert list(await asyncio.gather(made.start([4]), made.start([5]))) == [(0, [4]), (0, [5])]
        await made.renew()
        assert await made.start([6]) == (1, [6])
        assert [each.is_retired for each in FakeTemplate.made] == [True, False]

    run(then)


def test_templates_that_have_ended_are_forgotten() -> None:
    async def then(made: Any) -> None:
        for _ in range(5):
            await made.renew()
            for each in FakeTemplate.made[:-1]:
                each.is_alive = False
        assert len(made._retired) == 1

    run(then)


def test_a_new_import_that_fails_leaves_the_old_one_in_use() -> None:
    async def then(made: Any) -> None:
        await made.start([4])
        FakeTemplate.fails = ["broken"]
        with pytest.raises(CannotStart, match="broken"):
            await made.renew()
        assert await made.start([5]) == (0, [5])

    run(then)


def test_a_template_that_has_ended_is_made_again() -> None:
    async def then(made: Any) -> None:
        await made.start([4])
        FakeTemplate.made[0].is_alive = False
        assert await made.start([5]) == (1, [5])

    run(then)


def test_an_import_that_starts_threads_is_not_forked(caplog: pytest.LogCaptureFixture) -> None:
    FakeTemplate.started_threads = ["busy"]

    async def then(made: Any) -> None:
        assert await made.start([4]) == ("fresh", [4])
        assert await made.start([5]) == ("fresh", [5])
        await made.renew()
        assert len(FakeTemplate.made) == 1

    with caplog.at_level(logging.WARNING, "odac.server"):
        run(then)
    assert len([each for each in caplog.messages if "busy" in each]) == 1
