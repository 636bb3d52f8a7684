"""Joining and leaving in order with this process's own sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from odac.history.members import HistoryMembers
from odac.history.rules import History, RuleBook
from tests.unit.history.history_fakes import Backlog, FakeMember, as_connection


class Feed:
    def __init__(self) -> None:
        self.cursors: dict[Any, Any] = {}
        self.ran: list[Any] = []

    def run(self, cursor: Any) -> None:
        self.ran.append(cursor)


class Rooms:
    """Sends that are unconfirmed until the test says so."""

    def __init__(self) -> None:
        self.book = RuleBook().with_rooms("room", History())
        self.feed = Feed()
        self.fell_back: list[Any] = []
        self.feeds = SimpleNamespace(follow=lambda room, history: self.feed, fall_back=self.fell_back.append)
        self.unconfirmed: list[Callable[[], object]] | None = None
        self.runs = True

    @property
    def store(self) -> Any:
        if not self.runs:
            raise RuntimeError("the app does not run")
        return None

    def behind(self, rooms: tuple[str, ...], call: Callable[[], object]) -> bool:
        if self.unconfirmed is None:
            return False
        self.unconfirmed.append(call)
        return True


def members() -> tuple[HistoryMembers, Rooms, list[Any], asyncio.AbstractEventLoop]:
    rooms = Rooms()
    entered: list[Any] = []
    loop = asyncio.get_running_loop()
    hub = SimpleNamespace(delivery=SimpleNamespace(loop=loop), enter=lambda *entry: entered.append(entry))
    returning = SimpleNamespace(place_of=lambda connection, room: ("client", None))
    return HistoryMembers(cast("Any", hub), cast("Any", rooms), cast("Any", returning)), rooms, entered, loop


def test_who_joins_begins_to_catch_up() -> None:
    async def main() -> None:
        made, rooms, _, _ = members()
        connection = as_connection(FakeMember())
        made.join(connection, "room", 5)
        (cursor,) = rooms.feed.ran
        assert (cursor.replay, cursor.client) == (5, "client")
        assert rooms.feed.cursors == {connection: cursor}

    asyncio.run(main())


def test_a_connection_that_has_ended_is_not_added_to_the_feed() -> None:
    async def main() -> None:
        made, rooms, _, _ = members()
        member = FakeMember()
        member.is_open = False
        joining = made.join(as_connection(member), "room", 5)
        assert not rooms.feed.cursors
        async with asyncio.timeout(30):
            assert (await joining).recovered is None

    asyncio.run(main())


def test_leaving_waits_for_unconfirmed_sends_and_joining_again_for_the_leaving() -> None:
    async def main() -> None:
        made, rooms, entered, _ = members()
        connection = as_connection(FakeMember())
        left: list[str] = []
        assert not made.leaves(connection, "room", lambda: left.append("now")), "nothing is unconfirmed"
        rooms.unconfirmed = []
        assert made.leaves(connection, "room", lambda: left.append("later"))
        assert made.leaves(connection, "room", lambda: left.append("twice"))
        assert made.is_leaving(connection, "room")
        made.join(connection, "room", 0)
        assert rooms.feed.ran == []
        for call in rooms.unconfirmed:
            call()
        assert left == ["later"]
        assert entered == [(connection, "room")]
        assert len(rooms.feed.ran) == 1
        assert not made.is_leaving(connection, "room")

    asyncio.run(main())


def test_leaves_and_joins_behind_unconfirmed_sends_are_carried_out_in_their_order() -> None:
    async def main() -> None:
        made, rooms, _, _ = members()
        connection = as_connection(FakeMember())
        left: list[int] = []
        rooms.unconfirmed = []
        made.leaves(connection, "room", lambda: left.append(1))
        first = made.join(connection, "room", 0)
        assert made.join(connection, "room", 0) is first, "it joins once"
        assert made.leaves(connection, "room", lambda: left.append(2))
        assert made.leaves(connection, "room", lambda: left.append(3)), "it leaves already"
        calls = rooms.unconfirmed
        assert len(calls) == 3
        calls[0]()
        assert made.is_leaving(connection, "room"), "between the leave and the join"
        calls[1]()
        assert [len(rooms.feed.ran), left] == [1, [1]]
        calls[2]()
        assert [len(rooms.feed.ran), left] == [1, [1, 2]]
        assert not made.is_leaving(connection, "room")

    asyncio.run(main())


def test_a_connection_that_ended_meanwhile_does_not_come_back() -> None:
    async def main() -> None:
        made, rooms, entered, _ = members()
        member = FakeMember()
        rooms.unconfirmed = []
        made.leaves(as_connection(member), "room", lambda: None)
        joining = made.join(as_connection(member), "room", 0)
        member.is_open = False
        for call in rooms.unconfirmed:
            call()
        assert (await joining).recovered is None
        assert entered == []

    asyncio.run(main())


def test_an_app_that_does_not_run_refuses_members() -> None:
    async def main() -> None:
        made, rooms, _, _ = members()
        rooms.runs = False
        with pytest.raises(RuntimeError, match="does not run"):
            made.join(as_connection(FakeMember()), "room", 0)

    asyncio.run(main())


def test_a_slow_reader_falls_back_if_it_is_live_in_a_room_and_still_slow() -> None:
    from odac.realtime.audience import follower_room

    async def main() -> None:
        made, rooms, _, _ = members()
        member = FakeMember()
        member.outbox.take_share = lambda: None  # type: ignore[attr-defined]
        member.outbox.backlog = Backlog()
        made.congested(as_connection(member))
        await asyncio.sleep(0)
        assert rooms.fell_back == []
        member.memberships[follower_room("room", positioned=True)] = None
        made.congested(as_connection(member))
        await asyncio.sleep(0)
        assert rooms.fell_back == [member]
        made.congested(as_connection(member))
        member.outbox.backlog = None  # it has read everything meanwhile
        await asyncio.sleep(0)
        assert rooms.fell_back == [member]

    asyncio.run(main())


def test_at_the_stop_nothing_is_kept_of_leaves_and_joins_that_wait() -> None:
    async def main() -> None:
        made, rooms, _, _ = members()
        connection = as_connection(FakeMember())
        rooms.unconfirmed = []
        made.leaves(connection, "room", lambda: None)
        joining = made.join(connection, "room", 0)
        made.leaves(connection, "room", lambda: None)
        made.stop()
        assert not made.is_leaving(connection, "room")
        async with asyncio.timeout(30):
            assert (await joining).recovered is None

    asyncio.run(main())
