"""The decision whether a member recovers, and what it is told of its place."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from odac.history.cursor import Cursor
from odac.history.position import Position, Tickets, epoch_text, user_hash
from odac.history.recovery import FIRST_TIME, NOT_RECOVERABLE, RECOVERING, Recoveries
from odac.security.mac import Mac
from tests.unit.history.history_fakes import EPOCH, OTHER, FakeFeed, FakeMember, FakeOwner, as_connection

CLIENT = "A" * 22
KEY = Mac(b"k" * 32)


def parts(**owner: Any) -> tuple[FakeFeed, FakeOwner, Recoveries, Tickets]:
    feed, made = FakeFeed(), FakeOwner(**owner)
    feed.top = 10
    tickets = Tickets([KEY], [KEY])
    return feed, made, Recoveries(cast("Any", feed), made, tickets), tickets


def coming(feed: FakeFeed, position: Position | None, replay: int = 0) -> tuple[Cursor, FakeMember]:
    member = FakeMember(f"{CLIENT}.1")
    return Cursor(as_connection(member), cast("Any", feed), None, replay, CLIENT, position), member


def test_a_member_without_a_place_has_missed_nothing() -> None:
    async def main() -> None:
        feed, owner, recoveries, _ = parts()
        cursor, member = coming(feed, None, replay=3)
        assert recoveries.decide_recovery(cursor) is None
        recoveries.admit(cursor)
        assert (cursor.at, cursor.recovered, cursor.admitted) == (7, None, True)
        assert member.got[0][:5] == ("room", 7, "room", epoch_text(EPOCH), 7)
        assert member.got[0][6] == FIRST_TIME
        assert owner.asked == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("epoch", "offset", "ticket_from", "allows", "decided"),
    [
        (EPOCH, 4, 1, True, True),
        (EPOCH, 10, 1, True, True),
        (EPOCH, 11, 1, True, False),
        (OTHER, 4, 1, True, False),
        (None, 0, 1, True, False),
        (EPOCH, 4, 6, True, False),
        (EPOCH, 4, 1, False, False),
    ],
    ids=[
        "good",
        "at the top",
        "beyond it",
        "another epoch",
        "of the empty room",
        "below its ticket",
        "over its budget",
    ],
)
def test_a_place_is_good_or_not(
    epoch: bytes | None, offset: int, ticket_from: int, allows: bool, decided: bool
) -> None:
    async def main() -> None:
        feed, owner, recoveries, tickets = parts()
        owner.allows = allows
        ticket = tickets.ticket(CLIENT, "room", epoch, ticket_from, 0)
        cursor, member = coming(feed, Position("room", epoch, offset, ticket), replay=2)
        recoveries.admit(cursor)
        assert cursor.recovered is decided
        assert cursor.at == (offset if decided else 8)
        assert member.got[0][6] == (RECOVERING if decided else NOT_RECOVERABLE)
        assert feed.counters.not_recovered == (not decided)
        if decided:
            assert owner.asked == [10 - offset]

    asyncio.run(main())


def test_a_revoked_user_recovers_nothing_until_it_has_a_new_ticket() -> None:
    async def main() -> None:
        feed, owner, recoveries, tickets = parts()
        owner.user = "7"
        old = Position("room", EPOCH, 4, tickets.ticket(CLIENT, "room", EPOCH, 1, 0))
        recoveries.revoked = {user_hash("7"): 1}
        assert recoveries.decide_recovery(coming(feed, old)[0]) is False
        new = Position("room", EPOCH, 4, tickets.ticket(CLIENT, "room", EPOCH, 1, 1))
        assert recoveries.decide_recovery(coming(feed, new)[0]) is True
        owner.user = "8"
        assert recoveries.decide_recovery(coming(feed, old)[0]) is True

    asyncio.run(main())


@pytest.mark.parametrize("epoch", [EPOCH, None], ids=["a log", "an empty room"])
def test_a_place_is_good_only_while_the_rooms_rule_has_been_in_force(epoch: bytes | None) -> None:
    async def main() -> None:
        feed, owner, recoveries, _ = parts()
        feed.epoch = epoch
        if epoch is None:
            feed.top = 0
        cursor, member = coming(feed, None)
        recoveries.admit(cursor)
        _, _, _, _, offset, ticket, _ = member.got[0]
        position = Position("room", epoch, offset, ticket)
        assert recoveries.decide_recovery(coming(feed, position)[0]) is True
        owner.era = b"another."
        assert recoveries.decide_recovery(coming(feed, position)[0]) is False

    asyncio.run(main())


def test_a_gap_names_the_place_with_a_ticket_for_what_comes() -> None:
    async def main() -> None:
        feed, _, recoveries, tickets = parts()
        _, member = coming(feed, None)
        recoveries.tell_gap(as_connection(member), 10)
        kind, number, epoch, offset, ticket = member.got[0]
        assert (kind, number, epoch, offset) == ("gap", 7, epoch_text(EPOCH), 10)
        assert tickets.check(CLIENT, "room", Position("room", EPOCH, 10, ticket), 0)
        assert not tickets.check(CLIENT, "room", Position("room", EPOCH, 9, ticket), 0)
        plain = FakeMember(speaks_odac=False)
        recoveries.tell_gap(as_connection(plain), 10)
        assert plain.got == []

    asyncio.run(main())
