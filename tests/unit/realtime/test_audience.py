from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from odac.realtime.audience import (
    browser_room,
    check_room,
    check_user_id,
    is_private,
    session_of,
    session_room,
    user_room,
)


@pytest.mark.parametrize(
    "name", ["r", "a b", "ünïcödé", "🦉", "*", ">", "a.b", "x" * 200, "ü" * 100, "\xa0", "e\u0301", "\u2028"]
)
def test_names_that_are_allowed_come_back(name: str) -> None:
    assert check_room(name) is name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("x" * 201, "201"),
        ("ü" * 101, "202"),
        ("a\x00", "control"),
        ("a\r\n", "control"),
        ("\x7f", "control"),
        ("\x80", "control"),
        ("\x9f", "control"),
        ("\ud800", "surrogate"),
    ],
)
def test_names_that_are_not_say_why(name: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_room(name)


@pytest.mark.parametrize(
    "user_id", [None, True, 1.5, b"7", {"id": 2}, {}, [7], object()], ids=lambda value: type(value).__name__
)
def test_an_argument_that_identifies_no_user_is_an_error(user_id: object) -> None:
    with pytest.raises(TypeError, match="what identifies a user"):
        check_user_id(user_id)


def test_an_id_is_its_text() -> None:
    assert [check_user_id(each) for each in (7, "7", UUID(int=7))] == ["7", "7", str(UUID(int=7))]
    with pytest.raises(ValueError, match="empty"):
        check_user_id("")


@pytest.mark.parametrize("name", [None, 7, b"r", ["r"], ("r",)])
def test_a_name_is_a_str(name: object) -> None:
    with pytest.raises(TypeError, match="str"):
        check_room(name)  # type: ignore[arg-type]


def test_the_message_for_another_type_names_the_fix() -> None:
    with pytest.raises(TypeError, match=r"str\(7\)"):
        check_room(7)  # type: ignore[arg-type]


@given(st.text(max_size=250))
@example("\x01user:7")
def test_what_is_allowed_is_exactly_this(name: str) -> None:
    try:
        allowed = 0 < len(name.encode()) <= 200 and not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in name)
    except UnicodeEncodeError:
        allowed = False
    try:
        check_room(name)
    except ValueError:
        assert not allowed
    else:
        assert allowed
        assert not is_private(name)


def test_private_rooms_cannot_be_named_by_the_application() -> None:
    for room in (user_room("7"), session_room("s"), browser_room("s")):
        assert is_private(room)
        with pytest.raises(ValueError, match="control"):
            check_room(room)
    assert user_room("s") != session_room("s")


def test_a_session_is_found_in_its_room_and_in_no_other() -> None:
    assert session_of(session_room("abc")) == "abc"
    assert session_of(user_room("abc")) is None
    assert session_of(browser_room("abc")) is None
    assert session_of("abc") is None


def test_the_room_of_a_user_is_short_whatever_the_id_and_another_for_each() -> None:
    ids = ["7", "a" * 64, "a" * 65, "a" * 100_000, "a" * 99_999 + "b", "\udcff" * 65]
    rooms = [user_room(each) for each in ids]
    assert len(set(rooms)) == len(ids)
    assert all(len(room) <= 80 and is_private(room) for room in rooms)
    assert rooms == [user_room(each) for each in ids]
