"""One member that catches up."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from odac.history.cursor import Cursor, HistoryCounters
from odac.realtime.receipts import Joining
from tests.unit.history.history_fakes import Backlog, FakeFeed, FakeMember, as_connection, kept


def cursor(feed: FakeFeed, member: FakeMember, *, recovered: bool | None = True) -> Cursor:
    made = Cursor(as_connection(member), cast("Any", feed), Joining(asyncio.get_running_loop()))
    made.admitted = True
    made.recovered = recovered
    feed.cursors[made.connection] = made
    return made


def run(test: Any) -> None:
    async def main() -> None:
        test()

    asyncio.run(main())


def test_it_writes_piece_by_piece_and_is_live_at_the_top() -> None:
    def test() -> None:
        feed, member = FakeFeed(catch_up_entries=2), FakeMember()
        feed.hold(*(kept(number, b"%d" % number) for number in range(1, 4)))
        going = cursor(feed, member)
        assert going.step()
        assert member.got == [("at", 7, 1, 2), b"1", b"2"]
        assert not going.step()
        assert member.got[3:] == [("at", 7, 3), b"3", ("live", 7, 3)]
        assert feed.live == [going.connection]
        assert (feed.counters.replayed, feed.counters.recovered) == (3, 1)

    run(test)


def test_what_is_not_for_it_moves_its_place() -> None:
    def test() -> None:
        feed, member = FakeFeed(), FakeMember("me.1")
        feed.hold(kept(1, b"1"), kept(2, b"2", "me.9"))
        cursor(feed, member).step()
        assert member.got == [("at", 7, 1), b"1", ("past", 7, 2), ("live", 7, 1)]

    run(test)


def test_a_plain_client_gets_bare_messages() -> None:
    def test() -> None:
        feed, member = FakeFeed(), FakeMember(speaks_odac=False)
        feed.hold(kept(1, b"1"))
        cursor(feed, member, recovered=None).step()
        assert member.got == [b"1"]

    run(test)


def test_it_waits_for_its_reader_and_for_the_store() -> None:
    def test() -> None:
        feed, member = FakeFeed(), FakeMember()
        feed.top = 5
        going = cursor(feed, member)
        assert not going.step()
        assert feed.fetched == [going]
        member.outbox.backlog = Backlog()
        feed.hold(kept(1))
        assert not going.step()
        assert member.got == [] == feed.live

    run(test)


def test_more_bytes_than_its_budget_are_not_recovered() -> None:
    def test() -> None:
        feed, member = FakeFeed(recovery_bytes=10, catch_up_entries=1), FakeMember()
        feed.hold(*(kept(number, b"x" * 8) for number in range(1, 5)))
        going = cursor(feed, member)
        while going.step():
            pass
        assert feed.gaps == [(going.connection, 4)]
        assert going.recovered is False
        assert (feed.counters.over_budget, feed.counters.not_recovered) == (1, 1)

    run(test)


def test_a_connection_that_has_ended_lets_its_join_go_on() -> None:
    async def main() -> None:
        feed, member = FakeFeed(), FakeMember()
        going = cursor(feed, member, recovered=None)
        member.is_open = False
        assert not going.step()
        assert feed.cursors == {}
        assert going.joining is not None
        assert (await going.joining).recovered is None

    asyncio.run(main())


def test_the_counters_have_names() -> None:
    counters = HistoryCounters()
    counters.reads += 2
    named = counters.as_dict()
    assert named["reads"] == 2
    assert set(named) >= {"sent", "failed", "gaps", "rereads", "over_budget", "recovered", "not_recovered"}
