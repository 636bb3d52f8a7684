"""The promises about rooms with history, checked over real processes while things are cut, frozen, killed and restarted.

A short run of each over one broker; ``make history-faults`` runs longer, over every broker.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.integration.brokers.histories import Record, World, told, world
from tests.integration.brokers.servers import Server
from tests.integration.brokers.test_history import ask

LONG = os.environ.get("ODAC_LONG") == "1"
TURNS = 60 if LONG else 8


def brokers(*names: str, short: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fragile", names if LONG else [short], indirect=True)


def go(server: Server, directory: Path, work: Callable[[World], Awaitable[None]], seed: int = 1) -> World:
    async def main() -> World:
        async with world(server.url, directory, seed) as made:
            await work(made)
            await made.settle()
            return made

    made = asyncio.run(asyncio.wait_for(main(), 900 if LONG else 110))
    made.record.check()
    assert len(made.record.confirmed) > 50
    assert all(any(not isinstance(each, bool) for each in record) for record in made.record.pages.values())
    return made


@brokers("local", "redis", "cluster", short="redis")
def test_pages_that_are_cut_off_again_and_again_lose_nothing(fragile: Server, short_directory: Path) -> None:
    async def work(made: World) -> None:
        for _ in range(5 * TURNS):
            made.cut()
            await asyncio.sleep(0.05)

    made = go(fragile, short_directory, work)
    # The room was empty when the first ones came: that alone may be told.
    assert all(told(record) <= 1 for record in made.record.pages.values())


@brokers("local", "redis", "cluster", short="local")
def test_processes_are_killed_and_frozen(fragile: Server, short_directory: Path) -> None:
    async def work(made: World) -> None:
        for _ in range(max(1, TURNS // 4)):
            await made.process()
            frozen = made.processes[0]
            frozen.signal(signal.SIGSTOP)
            await asyncio.sleep(1)
            frozen.signal(signal.SIGCONT)
            await asyncio.sleep(0.3)
            made.kill()
            await asyncio.sleep(0.5)

    made = go(fragile, short_directory, work)
    assert all(told(record) <= 1 for record in made.record.pages.values())


@brokers("redis", short="redis")
def test_the_servers_connections_are_killed(fragile: Server, short_directory: Path) -> None:
    async def work(made: World) -> None:
        for turn in range(TURNS):
            await asyncio.to_thread(ask, fragile, "CLIENT", "KILL", "TYPE", "pubsub" if turn % 2 else "normal")  # type: ignore[arg-type]
            made.cut()
            await asyncio.sleep(0.3)

    made = go(fragile, short_directory, work)
    assert all(told(record) <= 1 for record in made.record.pages.values())


@brokers("redis", "cluster", short="redis")
def test_the_broker_is_frozen_restarted_and_wiped(fragile: Server, short_directory: Path) -> None:
    async def work(made: World) -> None:
        for _ in range(max(1, TURNS // 8)):
            await asyncio.to_thread(fragile.freeze)
            await asyncio.sleep(1)
            await asyncio.to_thread(fragile.thaw)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(fragile.kill)
            await asyncio.to_thread(fragile.start)
            await asyncio.sleep(2)
            made.cut()

    made = go(fragile, short_directory, work)
    # The log is gone: every page that was there has been told.
    assert all(told(record) >= 1 for record in made.record.pages.values())


@brokers("local", short="local")
def test_the_process_that_holds_the_local_broker_is_killed(fragile: Server, short_directory: Path) -> None:
    """Over local:// a process of the app takes over, with an empty log: its restart and its loss are one."""

    async def work(made: World) -> None:
        await asyncio.to_thread(fragile.kill)
        for _ in range(max(1, TURNS // 8)):
            await asyncio.sleep(2)
            await made.process()
            while len(made.processes) > 1:  # one of them holds the broker, unless the new one does already
                made.processes.pop(0).process.kill()
            await made.process()
            await asyncio.sleep(1)
            made.cut()

    made = go(fragile, short_directory, work)
    assert all(told(record) >= 1 for record in made.record.pages.values())


def test_the_checker_finds_what_it_is_there_for() -> None:
    def record(*pages: list[tuple[str, int] | bool]) -> Record:
        made = Record()
        made.confirmed = {("p", number) for number in range(1, 10)}
        made.pages = {f"page {number}": page for number, page in enumerate(pages)}
        return made

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
