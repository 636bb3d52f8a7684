"""The feeds of a process."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from odac.config import Limits
from odac.history import feeds as module
from odac.history.cursor import HistoryCounters
from odac.history.feeds import Feeds
from odac.history.memory_store import MemoryStore, Shared
from odac.history.position import Tickets
from odac.history.returning import Returning
from odac.history.rules import History
from odac.realtime.hub import Hub
from tests.unit.history.history_fakes import EPOCH, kept

HISTORY = History(ttl=1e6)


def feeds(**limits: Any) -> Feeds:
    hub = Hub(Limits(**limits))
    hub.start(asyncio.get_running_loop())
    counters = HistoryCounters()
    tickets = Tickets([], [])
    made = Feeds(hub, tickets, b"o" * 16, "ch-{}".format, counters, Returning(hub, tickets, counters))
    store = MemoryStore(Shared(lambda: 1000.0))
    made.start(store, store)
    return made


def test_a_room_has_one_feed_as_long_as_it_is_used() -> None:
    async def main() -> None:
        made = feeds()
        feed = made.follow("a", HISTORY)
        assert made.follow("a", HISTORY) is feed is made.of("a") is made.of_channel("ch-a")
        assert made.follow("b", HISTORY).number == feed.number + 1
        feed.cursors[cast("Any", "member")] = cast("Any", SimpleNamespace())
        made.close_unused(0.0)
        made.close_unused(module.FEED_LINGERS - 0.1)
        assert len(made) == 2
        made.close_unused(module.FEED_LINGERS)
        assert made.of("b") is None
        assert made.of("a") is feed

    asyncio.run(main())


def test_a_new_feed_begins_where_the_log_stands() -> None:
    async def main() -> None:
        made = feeds()
        assert made.instant is not None
        made.instant.append_now("ch-a", HISTORY, b"o" * 16, 1, [b"x", b"y"], EPOCH)
        feed = made.follow("a", HISTORY)
        assert (feed.epoch, feed.top, feed.is_ready) == (EPOCH, 2, True)
        await made.instant.erase("ch-a")
        assert made.read_again("a") is feed
        assert (feed.epoch, feed.top) == (None, 0)
        assert made.read_again("never followed") is None

    asyncio.run(main())


def test_all_rings_share_one_cap() -> None:
    async def main() -> None:
        made = feeds(history_cache_bytes=10 * kept(1).size)
        for room in "ab":
            made.follow(room, HISTORY).appended(EPOCH, [kept(number) for number in range(1, 7)])
        assert made.ring_bytes <= 10 * kept(1).size
        held = sum(cast("Any", made.of(room)).ring.size for room in "ab")
        assert made.figures()["history_cache_bytes"] == made.ring_bytes == held

    asyncio.run(main())


def test_so_many_read_at_a_time() -> None:
    async def main() -> None:
        made = feeds(history_reads=2)
        release = asyncio.Event()
        begun: list[int] = []

        async def read(number: int) -> None:
            async with made.reading():
                begun.append(number)
                await release.wait()

        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(read(number))
            for _ in range(10):
                await asyncio.sleep(0)
            assert begun == [0, 1]
            assert made.figures()["history_reading"] == 2
            release.set()
        assert begun == [0, 1, 2]
        assert made.figures()["history_reading"] == 0

    asyncio.run(main())
