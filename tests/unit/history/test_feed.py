"""The members of one room in one process; how it follows its log is in test_follower.py."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from odac.config import Limits
from odac.history.cursor import Cursor, HistoryCounters
from odac.history.feed import Feed
from odac.history.position import Tickets
from odac.history.rules import History
from odac.history.store import Slice
from odac.protocol.message import Prepared
from odac.realtime.hub import Hub
from odac.realtime.receipts import Joining
from tests.unit.history.history_fakes import EPOCH, OTHER, FakeMember, FakeOwner, as_connection, kept


def feed_at(top: int) -> tuple[Feed, FakeOwner]:
    hub = Hub(Limits())
    hub.start(asyncio.get_running_loop())
    owner = FakeOwner()
    feed = Feed(owner, hub, cast("Any", None), Tickets([], []), "r", "c", History(ttl=1e6), 1, HistoryCounters())
    feed.start_at(Slice(EPOCH if top else None, top, top))
    return feed, owner


def test_entries_move_the_top_and_the_ring() -> None:
    async def main() -> None:
        feed, owner = feed_at(0)
        feed.appended(EPOCH, [kept(1), kept(2)])
        assert (feed.epoch, feed.top) == (EPOCH, 2)
        assert owner.ring == feed.ring.size > 0
        feed.close()
        assert owner.ring == 0

    asyncio.run(main())


def test_who_waits_for_an_entry_goes_on_with_it() -> None:
    async def main() -> None:
        feed, _ = feed_at(3)
        await feed.reached(3)
        waiting = asyncio.ensure_future(feed.reached(5))
        await asyncio.sleep(0)
        feed.appended(EPOCH, [kept(4)])
        await asyncio.sleep(0)
        assert not waiting.done()
        feed.appended(EPOCH, [kept(5)])
        async with asyncio.timeout(30):
            await waiting

    asyncio.run(main())


def test_a_member_waits_until_the_feed_is_in_step() -> None:
    async def main() -> None:
        feed, _ = feed_at(3)
        feed.is_ready = False
        member = FakeMember(speaks_odac=False)
        cursor = Cursor(as_connection(member), feed, Joining(asyncio.get_running_loop()))
        feed.cursors[cursor.connection] = cursor
        feed.run(cursor)
        assert feed.pages.waiting == [cursor]
        assert feed.is_used
        member.is_open = False
        feed.is_ready = True
        feed.pages.run_waiting()
        assert not feed.is_used, "it has ended meanwhile"

    asyncio.run(main())


def test_a_member_that_cannot_be_sent_what_it_missed_is_closed_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(FakeMember):
        def send_prepared(self, message: Prepared) -> None:
            raise KeyError("a defect")

    async def main() -> None:
        feed, _ = feed_at(0)
        feed.appended(EPOCH, [kept(1), kept(2)])
        members = [Failing("x.1", speaks_odac=False), FakeMember("y.1", speaks_odac=False)]
        joining = []
        feed.is_ready = False
        for member in members:
            joining.append(Joining(asyncio.get_running_loop()))
            cursor = Cursor(as_connection(member), feed, joining[-1], replay=2)
            feed.cursors[cursor.connection] = cursor
            feed.run(cursor)
        feed.is_ready = True
        followed: list[Any] = []
        monkeypatch.setattr(feed, "follow", followed.append)
        feed.pages.run_waiting()
        assert members[1].got == [b"x", b"x"]
        assert followed == [members[1]]
        assert [member.closed for member in members] == [[(1011, "internal error")], []]
        assert as_connection(members[0]) not in feed.cursors
        async with asyncio.timeout(30):
            await joining[0]

    asyncio.run(main())
    assert "a defect" in caplog.text


def test_a_gap_is_reported_to_members_that_catch_up_too() -> None:
    async def main() -> None:
        feed, _ = feed_at(3)
        cursor = Cursor(as_connection(FakeMember(speaks_odac=False)), feed, None)
        cursor.admitted, cursor.at = True, 1
        feed.cursors[cursor.connection] = cursor
        feed.epoch, feed.top = OTHER, 9
        feed.tell_gap_to_all()
        assert (cursor.recovered, cursor.at, feed.counters.gaps) == (False, 9, 1)

    asyncio.run(main())
