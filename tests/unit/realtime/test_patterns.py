from __future__ import annotations

import fnmatch
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.errors import ConfigurationError
from odac.realtime.patterns import MOST, REMEMBERED, Patterns, matches


@given(st.text("ab*", min_size=1, max_size=8), st.text("ab*", max_size=10))
def test_a_star_is_any_text(pattern: str, name: str) -> None:
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL)
    assert matches(pattern, name) == (expected is not None)


def test_other_characters_mean_themselves() -> None:
    for pattern in ("a?c", "a[bc]", "a.c"):
        assert matches(pattern, pattern)
        assert not matches(pattern, "abc")
    assert fnmatch.fnmatch("abc", "a?c")


def test_exact_names_win_and_then_the_first_that_fits() -> None:
    patterns: Patterns[int] = Patterns()
    assert not patterns
    patterns.add("chat-*", 1)
    patterns.add("*", 2)
    patterns.add("chat-7", 3)
    assert patterns
    assert [patterns.of(name) for name in ("chat-7", "chat-8", "other", "chat-7")] == [3, 1, 2, 3]


def test_what_was_looked_up_before_a_pattern_came_is_looked_up_again() -> None:
    patterns: Patterns[int] = Patterns()
    assert patterns.of("a") is None
    patterns.add("a", 1)
    assert patterns.of("a") == 1


@pytest.mark.parametrize("pattern", ["", "a\x01", "x" * 201])
def test_a_pattern_that_names_no_room_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError):
        Patterns[int]().add(pattern, 1)


def test_a_pattern_is_a_str_and_there_once() -> None:
    patterns: Patterns[Any] = Patterns()
    number: Any = 7
    with pytest.raises(TypeError):
        patterns.add(number, 1)
    patterns.add("a*", 1)
    with pytest.raises(ConfigurationError, match="already"):
        patterns.add("a*", 2)


def test_patterns_and_what_is_remembered_are_bounded() -> None:
    patterns: Patterns[int] = Patterns()
    for number in range(MOST):
        patterns.add(f"room-{number}", number)
    with pytest.raises(ConfigurationError, match="1000 rules"):
        patterns.add("one more", 0)
    for number in range(3 * REMEMBERED):
        patterns.of(f"of a client's choice {number}")
    assert len(patterns._found) <= REMEMBERED
