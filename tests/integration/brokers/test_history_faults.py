"""The promises about rooms with history, checked over real processes while connections are cut, and processes frozen, killed and restarted.

A short run of each over one broker; ``make history-faults`` runs longer, over every broker.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.integration.brokers.history_deployment import Deployment, Record, deploying, gaps_reported
from tests.integration.brokers.servers import Server
from tests.integration.brokers.test_history import ask

LONG = os.environ.get("ODAC_LONG") == "1"
TURNS = 60 if LONG else 8


def brokers(*names: str, short: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fragile", names if LONG else [short], indirect=True)


def go(server: Server, directory: Path, work: Callable[[Deployment], Awaitable[None]], seed: int = 1) -> Deployment:
    async def main() -> Deployment:
        async with deploying(server.url, directory, seed) as deployment:
            await work(deployment)
            await deployment.settle()
            return deployment

    deployment = asyncio.run(asyncio.wait_for(main(), 900 if LONG else 110))
    deployment.record.check()
    assert len(deployment.record.confirmed) > 50
    assert all(any(not isinstance(each, bool) for each in record) for record in deployment.record.pages.values())
    return deployment


@brokers("local", "redis", "cluster", short="redis")
def test_pages_that_are_cut_off_again_and_again_lose_nothing(fragile: Server, short_directory: Path) -> None:
    async def work(deployment: Deployment) -> None:
        for _ in range(5 * TURNS):
            deployment.cut()
            await asyncio.sleep(0.05)

    deployment = go(fragile, short_directory, work)
    # The room was empty when the first pages joined: only that may be reported.
    assert all(gaps_reported(record) <= 1 for record in deployment.record.pages.values())


@brokers("local", "redis", "cluster", short="local")
def test_processes_are_killed_and_frozen(fragile: Server, short_directory: Path) -> None:
    async def work(deployment: Deployment) -> None:
        for _ in range(max(1, TURNS // 4)):
            await deployment.process()
            frozen = deployment.processes[0]
            frozen.signal(signal.SIGSTOP)
            await asyncio.sleep(1)
            frozen.signal(signal.SIGCONT)
            await asyncio.sleep(0.3)
            deployment.kill()
            await asyncio.sleep(0.5)

    deployment = go(fragile, short_directory, work)
    assert all(gaps_reported(record) <= 1 for record in deployment.record.pages.values())


@brokers("redis", short="redis")
def test_the_servers_connections_are_killed(fragile: Server, short_directory: Path) -> None:
    async def work(deployment: Deployment) -> None:
        for turn in range(TURNS):
            await asyncio.to_thread(ask, fragile, "CLIENT", "KILL", "TYPE", "pubsub" if turn % 2 else "normal")  # type: ignore[arg-type]
            deployment.cut()
            await asyncio.sleep(0.3)

    deployment = go(fragile, short_directory, work)
    assert all(gaps_reported(record) <= 1 for record in deployment.record.pages.values())


@brokers("redis", "cluster", short="redis")
def test_the_broker_is_frozen_restarted_and_wiped(fragile: Server, short_directory: Path) -> None:
    async def work(deployment: Deployment) -> None:
        for _ in range(max(1, TURNS // 8)):
            await asyncio.to_thread(fragile.freeze)
            await asyncio.sleep(1)
            await asyncio.to_thread(fragile.thaw)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(fragile.kill)
            await asyncio.to_thread(fragile.start)
            await asyncio.sleep(2)
            deployment.cut()

    deployment = go(fragile, short_directory, work)
    # The log is lost: every page that was in the room got the notice.
    assert all(gaps_reported(record) >= 1 for record in deployment.record.pages.values())


@brokers("local", short="local")
def test_the_process_that_holds_the_local_broker_is_killed(fragile: Server, short_directory: Path) -> None:
    """Over local:// a process of the app takes over, with an empty log: its restart and its loss are one."""

    async def work(deployment: Deployment) -> None:
        await asyncio.to_thread(fragile.kill)
        for _ in range(max(1, TURNS // 8)):
            await asyncio.sleep(2)
            await deployment.process()
            while len(deployment.processes) > 1:  # one of them holds the broker, unless the new one does already
                deployment.processes.pop(0).process.kill()
            await deployment.process()
            await asyncio.sleep(1)
            deployment.cut()

    deployment = go(fragile, short_directory, work)
    assert all(gaps_reported(record) >= 1 for record in deployment.record.pages.values())


def test_the_checker_finds_what_it_is_there_for() -> None:
    def record(*pages: list[tuple[str, int] | bool]) -> Record:
        deployment = Record()
        deployment.confirmed = {("p", number) for number in range(1, 10)}
        deployment.pages = {f"page {number}": page for number, page in enumerate(pages)}
        return deployment

    record([("p", 1), ("p", 2), False, ("p", 5)], [("p", 2), ("p", 3)]).check()
    for bad, why in (
        ([("p", 1), ("p", 1)], "behind"),
        ([("p", 2), ("p", 1)], "behind"),
        ([("p", 1), ("p", 3)], "misses 1"),
        ([("p", 1), True, ("p", 3)], "misses 1"),
    ):
        with pytest.raises(AssertionError, match=why):
            record(bad).check()  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="another order"):
        record([("p", 1), ("q", 1)], [("q", 1), ("p", 1)]).check()
