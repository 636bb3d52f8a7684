"""The chat's rooms: their names, and which are listed."""

from __future__ import annotations

import pytest

from examples.chat import rooms as module
from examples.chat.people import NotAllowed
from examples.chat.rooms import ALWAYS_THERE, Rooms, clean_room_name


@pytest.mark.parametrize(
    ("written", "name"),
    [("lobby", "lobby"), (" Book Club ", "book-club"), ("#Music", "music"), ("küche", "küche"), ("r2", "r2")],
)
def test_a_room_name_is_tidied(written: str, name: str) -> None:
    assert clean_room_name(written) == name


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "write the room's name"),
        ("#", "write"),
        ("a" * 41, "41 characters"),
        ("a/b", "not allowed"),
        ("-", "not allowed"),
    ]
    + [(f"a{character}b", "not allowed") for character in "*>?[].<\x00\x01"],
)
def test_a_room_name_that_is_none_is_refused_in_words(written: str, why: str) -> None:
    with pytest.raises(NotAllowed, match=why):
        clean_room_name(written)


def test_the_listing_shows_the_standing_rooms_and_those_with_people() -> None:
    rooms = Rooms()
    rooms.room("empty")
    rooms.room("book-club").tabs += 1
    assert rooms.names == [*ALWAYS_THERE, "empty", "book-club"]
    people = {"music": 1, "book-club": 1, "left": 0}
    listing = {entry["name"]: entry["people"] for entry in rooms.listing(people)}
    assert listing == {"lobby": 0, "kitchen": 0, "music": 1, "book-club": 1}
    assert list(listing)[: len(ALWAYS_THERE)] == list(ALWAYS_THERE)


def test_empty_rooms_make_place_for_new_ones_and_full_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROOMS", len(ALWAYS_THERE) + 1)
    rooms = Rooms()
    rooms.room("first").tabs += 1
    with pytest.raises(NotAllowed, match="too many rooms"):
        rooms.room("second")
    rooms.room("first").tabs -= 1
    assert rooms.room("second").name == "second"
