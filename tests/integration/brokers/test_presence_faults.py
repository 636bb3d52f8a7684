"""The people in a room, for every process and every page, after each kind of fault between real processes.

Each test runs over one broker, and times are a tenth of the real ones; ``make presence-faults`` runs all over each
broker, with the real times.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from odac import Publisher
from odac.presence.ports import SUBSYSTEM, Viewer
from odac.presence.roster import News
from odac.presence.rules import Presence
from odac.presence.service import PresenceService
from tests.integration.brokers.network import network_to
from tests.integration.brokers.peers import BusPeer, buses
from tests.integration.brokers.presence_pages import GONE, GRACE, REAL, SCALE, Page, Processes
from tests.integration.brokers.servers import RedisCluster, Server


def brokers(*names: str, short: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fragile", names if REAL else [short], indirect=True)


def go(work: Callable[[Processes], Awaitable[None]], directory: Path) -> None:
    async def main() -> None:
        async with contextlib.aclosing(Processes(directory)) as processes:
            await work(processes)

    asyncio.run(asyncio.wait_for(main(), 900 if REAL else 120))


async def gone(processes: Processes, *names: str) -> None:
    """Wait until no page shows these people any more."""
    await processes.until(lambda: all(not set(names) & set(page.people) for page in processes.pages), 3 * GONE + 30)


@brokers("local", "redis", "cluster", "nats", short="redis")
def test_processes_and_the_broker_are_frozen_killed_and_restarted(fragile: Server, short_directory: Path) -> None:
    """Their clocks are ten minutes apart, and all have the same pid and host name."""

    async def work(processes: Processes) -> None:
        a, b, c = [await processes.process(fragile.url, skew) for skew in (0.0, -300.0, 300.0)]
        ada, bob, eve = [await processes.page(name, process) for name, process in (("ada", a), ("bob", b), ("eve", c))]
        await processes.same()

        # Pages that reload or lose their network, and come back elsewhere.
        await bob.close(1001)
        eve.lose()
        await asyncio.sleep(GRACE / 4)
        await bob.open(c)
        await eve.open(b)
        await processes.same()
        processes.nobody_left()

        # The broker hangs, and then dies, while people come, go and change.
        if not isinstance(fragile, RedisCluster):
            fragile.freeze()
        await bob.close()
        dan = await processes.page("dan", b)
        await asyncio.sleep(8 * SCALE)
        if not isinstance(fragile, RedisCluster):
            fragile.thaw()
        await processes.same()
        await asyncio.to_thread(fragile.kill)
        await dan.close()
        await eve.say(mood="fine")
        fay = await processes.page("fay", c)
        await asyncio.sleep(8 * SCALE)
        await asyncio.to_thread(fragile.start)
        await processes.same()
        processes.nobody_left("bob", "dan")

        # A process is stopped for longer than the time after which it counts as gone.
        b.signal(signal.SIGSTOP)
        await processes.until(lambda: all("eve" not in page.people for page in (ada, fay)), 3 * GONE + 30)
        gil = await processes.page("gil", a)
        b.signal(signal.SIGCONT)
        await processes.same()

        # A process is killed, and its successor serves other people.
        assert await processes.kill(c) == [fay]
        await processes.process(fragile.url)
        await gone(processes, "fay")
        assert ada.left.count("fay") == gil.left.count("fay") == 1
        await fay.open(processes.all[-1])
        await processes.same()

    go(work, short_directory)


@brokers("redis", "nats", short="nats")
def test_a_partition_heals(fragile: Server, short_directory: Path) -> None:
    async def work(processes: Processes) -> None:
        async with network_to(fragile, short_directory) as (network, url):
            near, far = await processes.process(fragile.url), await processes.process(url)
            ada, bob = await processes.page("ada", near), await processes.page("bob", far)
            await processes.same()
            network.refuses = True
            network.cut()
            await gone_from(processes, ada, "bob")
            await gone_from(processes, bob, "ada")
            assert not (await far.members())[1]
            eve, dan = await processes.page("eve", near), await processes.page("dan", far)
            await ada.say(mood="alone")
            await bob.close()
            network.refuses = False
            await processes.same()
            assert set(eve.people) == set(dan.people) == {"ada", "eve", "dan"}

    go(work, short_directory)


async def gone_from(processes: Processes, page: Page, name: str) -> None:
    await processes.until(lambda: name not in page.people, 3 * GONE + 30)


@brokers("local", "redis", "cluster", "nats", short="local")
def test_a_deployment_of_all_processes_is_no_leaving(fragile: Server, short_directory: Path) -> None:
    async def work(processes: Processes) -> None:
        names = [f"user {number}" for number in range(12)]
        for _ in range(3):
            await processes.process(fragile.url)
        pages = [await processes.page(name, processes.all[number % 3]) for number, name in enumerate(names)]
        await processes.same()
        for old in list(processes.all):
            moving = list(old.pages)
            new = await processes.process(fragile.url)
            old.signal(signal.SIGTERM)
            for page in moving:
                await page.closed()
                await page.open(new)
            processes.all.remove(old)
            await asyncio.to_thread(old.running.wait)
            await processes.same()
        await asyncio.sleep(GRACE + 2 * SCALE)
        await processes.same()
        processes.nobody_left()
        assert all(sorted(page.joined) == sorted(set(page.joined)) for page in pages)

    go(work, short_directory)


@brokers("local", "redis", "cluster", "nats", short="redis")
def test_orders_from_outside_are_followed(fragile: Server, short_directory: Path) -> None:
    """A program that is no server sends one person away, and takes another one out of the room."""

    def orders() -> None:
        with Publisher(fragile.url) as publisher:
            publisher.user("bob").close(4001, "signed out")
            publisher.user("eve").leave("room")
            publisher.user("dan").close(4999, "come back")

    async def work(processes: Processes) -> None:
        a, b = await processes.process(fragile.url), await processes.process(fragile.url)
        ada = await processes.page("ada", a)
        bob, eve, dan = [await processes.page(name, b) for name in ("bob", "eve", "dan")]
        await processes.same()
        await asyncio.to_thread(orders)
        await bob.closed()
        await dan.closed()
        await processes.until(lambda: set(ada.people) == {"ada"}, GRACE + 30)
        assert (sorted(ada.left[:2]), ada.left[2:]) == (["bob", "eve"], ["dan"]), "dan might have come back"
        assert eve.people == {}
        assert set((await a.members())[0]) == {"ada"}
        await eve.close()
        await processes.same()

    go(work, short_directory)


class Watcher:
    speaks_odac = True

    def __init__(self, number: int) -> None:
        self.id = f"connection {number}"


class Process:
    """Presence on one bus, with connections that are nothing but names."""

    def __init__(self, peer: BusPeer) -> None:
        self.peer = peer
        self.people: dict[str, bytes] = {}
        self.service = PresenceService(asyncio.get_running_loop(), peer.bus.subsystems, self._announce)
        peer.bus.subsystems.add(SUBSYSTEM, self.service)
        peer.bus.room_opened("room")

    def _announce(self, room: str, news: News, viewers: list[Viewer]) -> None:
        if news.whole:
            self.people = {}
        self.people |= dict(news.people or ())
        for person in news.left or ():
            del self.people[person]
        self.peer.change()

    def join(self, number: int) -> None:
        self.service.join(Watcher(number), "room", Presence(limit=10_000), f"u:{number}", b'{"n":%d}' % number)


@pytest.mark.parametrize("server", ["memory", "local", "redis", "cluster", "nats"], indirect=True)
def test_a_storm_of_ten_thousand_joins(server: Server) -> None:
    """Half of them in each of two processes, as fast as they can; all are there, and most leave again."""

    async def work() -> None:
        async with buses(server.url, server.url) as peers:
            processes = [Process(peer) for peer in peers]
            everybody = {f"u:{number}": b'{"n":%d}' % number for number in range(10_000)}
            for number in range(0, 10_000, 2):
                for index, process in enumerate(processes):
                    process.join(number + index)
                if not number % 100:
                    await asyncio.sleep(0)
            for process in processes:
                await process.peer.until(lambda process=process: process.people == everybody, 60)  # type: ignore[misc]
                members = await process.service.members("room", Presence(), 10)
                assert (members.total, members.complete) == (10_000, True)
            for number in range(2, 10_000):
                processes[number % 2].service.ended(f"connection {number}", 1000)
            for process in processes:
                await process.peer.until(lambda process=process: set(process.people) == {"u:0", "u:1"}, 60)  # type: ignore[misc]
            for process in processes:
                process.service.stop()

    asyncio.run(asyncio.wait_for(work(), 120))
