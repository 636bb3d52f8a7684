"""Paths are divided as Starlette divides them, in linear time."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.routing import compile_path

from odac.errors import ConfigurationError
from odac.routing.pattern import Pattern

PATTERNS = [
    "/",
    "/a",
    "/{a}",
    "/{a}/b",
    "/{a:int}",
    "/x{a}",
    "/{a}x",
    "/{a}.{b}",
    "/{a}.{b}/",
    "/{a}-{b}.{c}",
    "/{a}--{b}",
    "/x{a}-{b}x",
    "/{a}-{b:int}",
    "/{a}1{b:int}",
    "/{a}1{b}2",
    "/{a}.{b}.{c}/{d}-{e}",
    "/{a}{b}",
    "/{a:int}.{b}",
    "/{a:int}{b:int}",
    "/{a}.{b:float}",
    "/{a:float}.{b}",
    "/{a:path}",
    "/{a:path}/{b}",
    "/{a:path}.{b}",
    "/{a:path}/x/{b:path}",
    "/{a}-{b:path}",
]


def starlette(pattern: str, path: str) -> dict[str, object] | None:
    regex, _, convertors = compile_path(pattern)
    found = regex.match(path)
    return None if found is None else {name: convertors[name].convert(text) for name, text in found.groupdict().items()}


@settings(max_examples=2_000, deadline=None)
@given(st.sampled_from(PATTERNS), st.text("abx12.-/", max_size=12))
def test_divides_as_starlette_does(pattern: str, rest: str) -> None:
    assert Pattern(pattern).match("/" + rest) == starlette(pattern, "/" + rest)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("piece", [".", "-", "--", "1", "1.", ".1", "a-", "a.", "/", "./", "-/", "x/", "12", "x"])
@pytest.mark.parametrize("end", ["", "/", "x", ".", "\n"])
def test_any_path_of_8_kib_takes_less_than_a_millisecond(pattern: str, piece: str, end: str) -> None:
    made = Pattern(pattern)
    path = "/" + piece * (8_000 // len(piece)) + end
    best = 1.0
    for _ in range(5):
        before = time.process_time()
        made.match(path)
        best = min(best, time.process_time() - before)
        if best < 0.001:
            return
    raise AssertionError(f"{best * 1_000:.1f} ms")


def test_a_number_of_too_many_digits_is_no_match() -> None:
    assert Pattern("/{a:int}").match("/" + "9" * 8_000) is None


def test_a_pattern_that_is_not_simple_looks_at_short_paths_only() -> None:
    pattern = Pattern("/{a:path}/x/{b:path}")
    assert pattern.match("/" + "a" * 100 + "/x/b") == {"a": "a" * 100, "b": "b"}
    assert pattern.match("/" + "a" * 300 + "/x/b") is None


@pytest.mark.parametrize(("one", "other"), [("/{a}", "/{b}"), ("/{a:str}", "/{b}"), ("/{a}.{b:int}", "/{c}.{d:int}")])
def test_the_shape_forgets_names(one: str, other: str) -> None:
    assert Pattern(one).shape == Pattern(other).shape
    assert Pattern(one).shape != Pattern("/x" + one[1:]).shape


@pytest.mark.parametrize("path", ["", "a", "{a}", None, 7, "/{a:nothing}", "/{a}/{a}", "/<a>", "/<int:a>"])
def test_a_path_that_cannot_be_read(path: object) -> None:
    with pytest.raises(ConfigurationError):
        Pattern(path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/room/:id", "written {name}"),
        ("/room/*", "written {name:path}"),
        ("/room/**", "written {name:path}"),
        ("/chat ", "ends with a space"),
        ("/room/{id:integer}", "there are str, path, int, float, uuid"),
    ],
)
def test_paths_of_other_frameworks(path: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(why)):
        Pattern(path)


@pytest.mark.parametrize("path", ["/room/v1:batch", "/room/a*", "/two words"])
def test_paths_that_only_look_like_them(path: str) -> None:
    assert Pattern(path).match(path) == {}
