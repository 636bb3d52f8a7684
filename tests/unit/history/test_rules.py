from __future__ import annotations

import re
import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.errors import ConfigurationError
from odac.history.rules import UNKNOWN_ERA, History, Rule, RuleBook
from odac.realtime.audience import session_room, user_room

LONG, SHORT = History(size=500), History(size=5)


@pytest.mark.parametrize(
    "values",
    [
        {"size": 0},
        {"size": 10_001},
        {"size": True},
        {"size": 5.0},
        {"ttl": 0},
        {"ttl": float("nan")},
        {"ttl": 32 * 86_400.0},
        {"ttl": "60"},
        {"max_bytes": 10},
        {"max_bytes": 2**40},
    ],
)
def test_a_history_is_checked_when_it_is_made(values: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=rf"History\({next(iter(values))}="):
        History(**values)  # type: ignore[arg-type]


def test_exact_names_win_and_then_the_first_that_fits() -> None:
    book = RuleBook().with_rooms("chat-*", LONG).with_rooms("*", SHORT).with_rooms("chat-7", SHORT)
    assert book.of("chat-8") is LONG
    assert book.of("chat-7") is SHORT
    assert book.of("news") is SHORT


def test_the_rooms_of_the_library_have_no_rule_but_the_inboxes() -> None:
    book = RuleBook().with_rooms("*", LONG)
    assert book.of(user_room("7")) is None
    assert book.with_users(SHORT).of(user_room("7")) is SHORT
    assert book.with_users(SHORT).of(session_room("s")) is None
    assert not RuleBook()
    assert RuleBook().with_users(SHORT)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_a_star_stands_for_any_text(pattern: str, room: str) -> None:
    assert Rule(pattern, LONG).matches(room) == fnmatchcase(room, pattern)


def test_other_characters_stand_for_themselves() -> None:
    assert Rule("a?[b]*", LONG).matches("a?[b]c")
    assert not Rule("a?*", LONG).matches("abc")


def test_matching_is_linear() -> None:
    rule = Rule("*a" * 90 + "*b", LONG)
    start = time.process_time()
    for _ in range(100):
        assert not rule.matches("a" * 200)
    assert time.process_time() - start < 2


def test_a_pattern_is_checked() -> None:
    with pytest.raises(ConfigurationError, match="control character"):
        RuleBook().with_rooms("\x01user:7", LONG)
    with pytest.raises(ConfigurationError, match="already"):
        RuleBook().with_rooms("a", LONG).with_rooms("a", SHORT)
    with pytest.raises(TypeError, match=re.escape("takes a History(…)")):
        RuleBook().with_rooms("a", 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=re.escape("takes a History(…)")):
        RuleBook().with_users(5)  # type: ignore[arg-type]


def test_rules_survive_being_written() -> None:
    book = RuleBook().with_rooms("chat-*", LONG).with_rooms("ä", SHORT).with_users(SHORT).continuing(RuleBook())
    again = RuleBook.decode(book.encode())
    assert again.of("chat-1") == LONG
    assert again.of("ä") == SHORT
    assert again.users == SHORT
    assert again.encode() == book.encode()
    eras = {book.era_of(room) for room in ("chat-1", "ä", user_room("7"))}
    assert len(eras) == 3
    assert {again.era_of(room) for room in ("chat-2", "ä", user_room("8"))} == eras
    assert again.era_of("no rule") == UNKNOWN_ERA


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b'{"rules": [["a", {"size": 0}]]}',
        b'{"rules": [], "new": 1}',
        b'{"rules": [], "eras": {"a": "QQ=="}}',
        b"[]",
    ],
)
def test_rules_of_another_version_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        RuleBook.decode(text)


def test_a_room_is_looked_up_once_but_names_are_not_kept_without_bound() -> None:
    book = RuleBook().with_rooms("a*", LONG)
    for number in range(10_000):
        assert book.of(f"a{number}") is LONG
        assert book.of(f"b{number}") is None
    assert len(book._found) <= 4096
