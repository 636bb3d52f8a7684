"""Reads for members that are further behind than what their process holds."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from odac.history.cursor import Cursor
from odac.history.pages import Pages
from odac.history.store import Slice
from odac.realtime.receipts import Joining
from tests.unit.history.history_fakes import (
    EPOCH,
    OTHER,
    FakeFeed,
    FakeMember,
    FakeOwner,
    as_connection,
    entry,
    kept,
    until,
)


class Reader:
    """A log of 100 entries from ``base`` on."""

    def __init__(self, base: int = 0, epoch: bytes = EPOCH) -> None:
        self.base = base
        self.epoch = epoch
        self.asked: list[tuple[int, int]] = []

    async def read(self, after: int, limit: int) -> Slice:
        self.asked.append((after, limit))
        first = max(after, self.base) + 1
        return Slice(self.epoch, 100, self.base, tuple(entry(number) for number in range(first, 101))[:limit])


class Hub:
    def keep(self, task: object) -> None: ...


def behind(feed: FakeFeed, at: int, *, recovered: bool | None = True) -> Cursor:
    made = Cursor(as_connection(FakeMember()), cast("Any", feed), Joining(asyncio.get_running_loop()))
    made.at, made.recovered = at, recovered
    return made


def pages(reader: Reader, **limits: Any) -> tuple[Pages, FakeFeed]:
    feed = FakeFeed()
    feed.hold(kept(100))
    feed.store = reader
    return Pages(cast("Any", feed), FakeOwner(**limits), cast("Any", Hub())), feed


def test_members_that_come_back_together_are_served_by_one_read() -> None:
    async def main() -> None:
        reader = Reader()
        made, feed = pages(reader)
        cursors = [behind(feed, at) for at in (50, 40, 60)]
        for cursor in cursors:
            made.fetch(cursor)
        await until(lambda: len(feed.ran) == 3)
        assert reader.asked == [(40, 1000)]
        assert feed.ran == cursors
        assert not made.waiting

    asyncio.run(main())


def test_who_is_behind_the_page_waits_for_the_next() -> None:
    async def main() -> None:
        reader = Reader()
        made, feed = pages(reader, history_page=10)
        made.fetch(behind(feed, 40))
        made.fetch(behind(feed, 70))
        await until(lambda: len(feed.ran) == 2)
        assert reader.asked == [(40, 10), (70, 10)]

    asyncio.run(main())


def test_what_is_no_longer_kept_is_told_to_who_recovers_and_skipped_by_who_does_not() -> None:
    async def main() -> None:
        made, feed = pages(Reader(base=80))
        back, new = behind(feed, 40), behind(feed, 40, recovered=None)
        back.replay = 5
        made.fetch(back)
        made.fetch(new)
        await until(lambda: len(feed.ran) == 2)
        assert feed.gaps == [(back.connection, 95)]
        assert (back.recovered, back.at) == (False, 95)
        assert (new.recovered, new.at) == (None, 80)

    asyncio.run(main())


def test_another_epoch_is_for_the_feed_to_tell() -> None:
    async def main() -> None:
        made, feed = pages(Reader(epoch=OTHER))
        made.fetch(behind(feed, 40))
        await until(lambda: feed.synced)
        assert feed.ran == []
        made.close()

    asyncio.run(main())
