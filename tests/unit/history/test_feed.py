"""The members of one room in one process; how it follows its log is in test_follower.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from odac.config import Limits
from odac.history.cursor import Cursor, HistoryCounters
from odac.history.feed import Feed
from odac.history.position import Position, Tickets, epoch_text
from odac.history.recovery import NOT_RECOVERABLE, RECOVERING
from odac.history.rules import History
from odac.history.store import Entry, Message, Slice, encode_message
from odac.protocol.message import Prepared
from odac.realtime.hub import Hub
from odac.realtime.receipts import Joining
from odac.security.mac import Mac
from tests.unit.history.history_fakes import EPOCH, OTHER, Backlog, FakeMember, FakeOwner, as_connection, kept


def feed_at(top: int) -> tuple[Feed, FakeOwner]:
    hub = Hub(Limits())
    hub.start(asyncio.get_running_loop())
    owner = FakeOwner()
    tickets = Tickets([], [Mac(b"k" * 32)])
    feed = Feed(owner, hub, cast("Any", None), tickets, "r", "c", History(ttl=1e6), 1, HistoryCounters())
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
        assert list(feed.pages.waiting) == [cursor]
        assert feed.is_used
        member.is_open = False
        feed.is_ready = True
        feed.pages.run_waiting()
        assert not feed.is_used, "it has ended meanwhile"

    asyncio.run(main())


def test_a_member_that_leaves_while_it_waits_gets_nothing_and_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        feed, _ = feed_at(0)
        feed.appended(EPOCH, [kept(1)])
        feed.is_ready = False
        member = FakeMember()
        joining = Joining(asyncio.get_running_loop())
        cursor = Cursor(as_connection(member), feed, joining, replay=1)
        feed.cursors[cursor.connection] = cursor
        feed.run(cursor)
        live: list[Any] = []
        monkeypatch.setattr(feed, "follow", live.append)
        feed.leave(cursor.connection)
        assert not feed.pages.waiting
        feed.is_ready = True
        feed.pages.run_waiting()
        feed.run(cursor)  # as a call that was scheduled before it left
        assert [member.got, live] == [[("left", 1)], []]
        async with asyncio.timeout(30):
            await joining

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


def test_members_that_catch_up_with_a_lost_log_are_told_of_a_gap_only_if_they_have_missed_entries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        feed, _ = feed_at(9)
        monkeypatch.setattr(feed, "follow", lambda connection: None)
        cursors = []
        for at in (4, 9):
            member = FakeMember(f"client{at}.1")
            member.outbox.backlog = Backlog()
            cursor = Cursor(as_connection(member), feed, None)
            cursor.at, cursor.admitted = at, True
            feed.cursors[cursor.connection] = cursor
            cursors.append((member, cursor))
        feed.lost()
        assert (feed.epoch, feed.top, feed.ring.size) == (None, 0, 0)
        feed.appended(OTHER, [kept(1)])
        assert [[each[0] for each in member.got] for member, _ in cursors] == [["gap", "room"], ["room"]]
        for member, cursor in cursors:
            assert member.got[-1][3:5] == (epoch_text(OTHER), 0), "its position is in the new log"
            member.outbox.backlog = None
            cursor.step()
            assert (cursor.at, [each for each in member.got if isinstance(each, bytes)]) == (1, [b"x"])

    asyncio.run(main())


class Log:
    """A store whose log has more entries than the feed has received; it counts the reads."""

    def __init__(self, top: int, epoch: bytes = EPOCH) -> None:
        self.top = top
        self.epoch = epoch
        self.reads = 0
        self.during: Callable[[], object] | None = None

    async def read(self, _channel: str, _history: History, after: int, _limit: int) -> Slice:
        self.reads += 1
        first = max(0, self.top + after) if after < 0 else after
        entries = tuple(Entry(at + 1, 0, encode_message(Message((), 1, b"x"))) for at in range(first, self.top))
        found = Slice(self.epoch, self.top, 0, entries)
        if self.during is not None:
            self.during()
        await asyncio.sleep(0)
        return found


class Returned:
    """A member with a position and a valid ticket, and its feed, which has received less of the log than the member."""

    def __init__(self, log: Log, received: int, epoch: bytes, offset: int, monkeypatch: pytest.MonkeyPatch) -> None:
        hub = Hub(Limits())
        hub.start(asyncio.get_running_loop())
        tickets = Tickets([], [Mac(b"k" * 32)])
        self.log = log
        self.feed = Feed(FakeOwner(), hub, cast("Any", log), tickets, "r", "c", History(ttl=1e6), 1, HistoryCounters())
        self.feed.epoch, self.feed.top, self.feed.is_ready = EPOCH, received, True
        self.feed.follower._has_begun, self.feed.follower._unproven = True, False
        self.live: list[Any] = []
        monkeypatch.setattr(self.feed, "follow", self.live.append)
        self.member = FakeMember("client.1")
        ticket = tickets.ticket("client", "r", epoch, 1)
        self.cursor = Cursor(
            as_connection(self.member), self.feed, None, 3, "client", Position("r", epoch, offset, ticket)
        )
        self.feed.cursors[self.cursor.connection] = self.cursor

    async def come_back(self) -> tuple[int, int, bytes | None]:
        """Join, wait until the member is live, and return its status, its offset, and its messages."""
        self.feed.run(self.cursor)
        async with asyncio.timeout(30):
            while not self.live:
                await asyncio.sleep(0)
        (room,) = [each for each in self.member.got if each[0] == "room"]
        return room[6], room[4], b"".join(each for each in self.member.got if isinstance(each, bytes))


def test_a_position_ahead_of_this_process_is_decided_after_a_read_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        log = Log(top=12)
        returned = Returned(log, received=10, epoch=EPOCH, offset=11, monkeypatch=monkeypatch)
        assert await returned.come_back() == (RECOVERING, 11, b"x"), "only what it has missed"
        assert log.reads == 1

    asyncio.run(main())


def test_a_position_in_a_log_that_this_process_does_not_know_yet_is_decided_after_a_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        log = Log(top=4, epoch=OTHER)
        returned = Returned(log, received=10, epoch=OTHER, offset=3, monkeypatch=monkeypatch)
        assert await returned.come_back() == (RECOVERING, 3, b"x")
        assert log.reads == 2, "the second for the messages before the top"

    asyncio.run(main())


def test_a_position_beyond_the_log_is_refused_after_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        log = Log(top=10)
        returned = Returned(log, received=10, epoch=EPOCH, offset=11, monkeypatch=monkeypatch)
        assert await returned.come_back() == (NOT_RECOVERABLE, 7, b"xxx")
        assert log.reads <= 2, "one for its position, and one for the messages before the top"

    asyncio.run(main())


def test_a_read_that_began_before_a_member_joined_does_not_decide_about_its_position(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        log = Log(top=10)
        returned = Returned(log, received=10, epoch=EPOCH, offset=11, monkeypatch=monkeypatch)
        returned.feed.sync(prove=False)
        log.during = lambda: setattr(log, "top", 12)  # after the store has made its answer
        assert await returned.come_back() == (RECOVERING, 11, b"x")

    asyncio.run(main())


def test_a_position_without_a_valid_ticket_takes_no_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        log = Log(top=12)
        returned = Returned(log, received=10, epoch=EPOCH, offset=11, monkeypatch=monkeypatch)
        returned.cursor.position = Position("r", EPOCH, 11, "A" * 38)
        returned.cursor.replay = 0
        assert await returned.come_back() == (NOT_RECOVERABLE, 10, b"")
        assert log.reads == 0

    asyncio.run(main())
