from __future__ import annotations

from typing import Any

import pytest

from odac.client.presence import Person, PresenceChange, Rosters

ADA, BOB = ["a", {"name": "Ada"}], ["b", {"name": "Bob"}]


def people(*pairs: list[Any]) -> list[Person]:
    return [Person(*pair) for pair in pairs]


def opened() -> Rosters:
    rosters = Rosters()
    assert rosters.receive("here", [1, [ADA, BOB], 2, "tea"]) == PresenceChange(
        "tea", people(ADA, BOB), people(ADA, BOB), [], [], 2
    )
    return rosters


def test_changes_come_with_the_whole() -> None:
    rosters = opened()
    changed = ["a", {"name": "Ada Lovelace"}]
    assert rosters.receive("diff", [1, [changed], [], 2]) == PresenceChange(
        "tea", people(changed, BOB), [], people(changed), [], 2
    )
    assert rosters.receive("diff", [1, [], ["b"], 1]) == PresenceChange("tea", people(changed), [], [], people(BOB), 1)
    assert rosters.people("tea") == people(changed)
    assert rosters.people("coffee") == []


def test_a_reconnect_reports_only_what_changed() -> None:
    rosters = opened()
    rosters.lost()
    assert rosters.people("tea") == people(ADA, BOB)
    assert rosters.receive("diff", [1, [], ["b"], 1]) is None
    eve = ["e", 1]
    assert rosters.receive("here", [7, [ADA, eve], 2, "tea"]) == PresenceChange(
        "tea", people(ADA, eve), people(eve), [], people(BOB), 2
    )
    assert rosters.receive("diff", [7, [], ["a"], 1]) == PresenceChange("tea", people(eve), [], [], people(ADA), 1)


def test_a_room_over_its_limit_has_only_a_total() -> None:
    rosters = opened()
    assert rosters.receive("diff", [1, None, None, 500]) == PresenceChange("tea", [], [], [], [], 500)
    assert rosters.receive("here", [1, [ADA], 1, "tea"]) == PresenceChange("tea", people(ADA), people(ADA), [], [], 1)
    assert rosters.receive("here", [2, None, 900, "coffee"]) == PresenceChange("coffee", [], [], [], [], 900)


def test_who_is_not_known_cannot_leave() -> None:
    assert opened().receive("diff", [1, [], ["x"], 2]) == PresenceChange("tea", people(ADA, BOB), [], [], [], 2)


@pytest.mark.parametrize("kind", ["hello", "room", "her", "diffs"])
def test_other_kinds_are_no_news_of_people(kind: str) -> None:
    assert opened().receive(kind, [1, [ADA], [], 1]) is None


@pytest.mark.parametrize("values", [[], [1], ["1", [], 0, "tea"], [1, {}, 0, "tea"], [1, [], 0, 7]])
def test_what_is_malformed_is_no_news(values: list[Any]) -> None:
    assert opened().receive("here", values) is None
