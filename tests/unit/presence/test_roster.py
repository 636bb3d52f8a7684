from __future__ import annotations

import pytest

from odac.presence.messages import Entry
from odac.presence.roster import MAX_LIST_BYTES, News, Roster
from odac.realtime.ports import Member


def entry(
    person: str = "u:1", data: bytes = b"1", changed: int = 1, *, since: float = 5.0, away: bool = False
) -> Entry:
    return Entry(person, data, since, changed, away)


def test_nothing_is_news_only_once() -> None:
    roster = Roster(10)
    assert roster.take_news() is None
    roster.update(b"a", "c1", None, entry())
    assert roster.take_news() == News([("u:1", b"1")], [], 1, False)
    assert roster.take_news() is None


def test_who_came_and_left_between_two_tellings_is_no_news() -> None:
    roster = Roster(10)
    roster.update(b"a", "c1", None, entry())
    roster.update(b"a", "c1", entry(), None)
    assert roster.take_news() is None


def test_the_newest_data_counts_and_ties_go_the_same_way_in_any_order() -> None:
    forward, backward = Roster(10), Roster(10)
    entries = [(b"a", "c1", entry(data=b"1")), (b"a", "c3", entry(data=b"2")), (b"b", "c2", entry(data=b"3"))]
    for origin, connection, each in entries:
        forward.update(origin, connection, None, each)
    for origin, connection, each in reversed(entries):
        backward.update(origin, connection, None, each)
    assert forward.take_news() == backward.take_news() == News([("u:1", b"2")], [], 1, False)


def test_a_connection_may_become_another_persons() -> None:
    roster = Roster(10)
    roster.update(b"a", "c1", None, entry("s:1"))
    roster.take_news()
    roster.update(b"a", "c1", entry("s:1"), entry("u:1"))
    assert roster.take_news() == News([("u:1", b"1")], ["s:1"], 1, False)


def test_members_count_open_connections() -> None:
    roster = Roster(10)
    roster.update(b"a", "c1", None, entry(data=b'{"n":1}', since=7.0))
    roster.update(b"b", "c2", None, entry(data=b'{"n":2}', changed=2, since=6.0, away=True))
    assert roster.members() == {"u:1": Member({"n": 2}, 1, 6.0)}


@pytest.mark.parametrize("limit", [10, 100])
def test_the_limit_has_a_width(limit: int) -> None:
    roster = Roster(limit)
    for number in range(limit + 1):
        roster.update(b"a", f"c{number}", None, entry(f"u:{number}"))
    assert roster.take_news() == News(None, None, limit + 1, False)
    assert roster.everybody() == News(None, None, limit + 1, True)
    gone = 0
    while len(roster) > 0.9 * limit - 1:
        roster.update(b"a", f"c{gone}", entry(f"u:{gone}"), None)
        gone += 1
        news = roster.take_news()
        assert news is not None
        assert news.total == limit + 1 - gone
        if news.total >= 0.9 * limit:
            assert news.people is None
        else:
            assert news.whole
            assert news.people is not None
            assert len(news.people) == news.total


def test_a_room_whose_people_say_too_much_has_a_total_alone() -> None:
    roster = Roster(10_000)
    most = MAX_LIST_BYTES // 1024
    for number in range(most):
        roster.update(b"a", f"c{number}", None, entry(f"u:{number}", b"x" * 1024))
    news = roster.take_news()
    assert news is not None
    assert news.people is not None
    one_more = entry(f"u:{most}", b"x" * 1024)
    roster.update(b"a", f"c{most}", None, one_more)
    assert roster.take_news() == News(None, None, most + 1, False)
    assert roster.everybody() == News(None, None, most + 1, True)
    for number in range(most // 5):
        roster.update(b"a", f"c{number}", entry(f"u:{number}", b"x" * 1024), None)
    news = roster.take_news()
    assert news is not None
    assert news.whole
    assert news.people is not None
    assert len(news.people) == news.total == most + 1 - most // 5


def test_data_that_grows_counts_and_shrinks_again() -> None:
    roster = Roster(10_000)
    small, large = entry(data=b"1"), entry(data=b"x" * 1024)
    roster.update(b"a", "c", None, small)
    roster.take_news()
    for _ in range(1000):
        roster.update(b"a", "c", small, large)
        roster.take_news()
        roster.update(b"a", "c", large, small)
        news = roster.take_news()
        assert news is not None
        assert news.people == [("u:1", b"1")]
