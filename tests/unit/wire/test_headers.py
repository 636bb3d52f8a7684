from __future__ import annotations

import pytest

from odac.wire.headers import MAX_LIST, Malformed, is_token, parse_extensions, split_list


@pytest.mark.parametrize("text", ["a", "odac.v1", "!#$%&'*+-.^_`|~09azAZ", "odac-token-abc_-"])
def test_tokens(text: str) -> None:
    assert is_token(text)


@pytest.mark.parametrize(
    "text", ["", " a", "a b", "a,b", "a;b", 'a"b', "a=b", "é", "a\n", "a\x00", "(a)", "a/b", "a\x7f"]
)
def test_no_tokens(text: str) -> None:
    assert not is_token(text)


@pytest.mark.parametrize(
    ("values", "elements"),
    [
        ([], []),
        ([""], []),
        (["a"], ["a"]),
        (["a, b ,\tc"], ["a", "b", "c"]),
        ([",a,,b,"], ["a", "b"]),
        (["a", "b, c"], ["a", "b", "c"]),
        (["a b"], ["a b"]),
    ],
)
def test_split_list(values: list[str], elements: list[str]) -> None:
    assert split_list(values) == elements


def test_lists_are_bounded() -> None:
    assert len(split_list([",".join("a" * MAX_LIST)])) == MAX_LIST
    for values in (["," * MAX_LIST], ["a"] * (MAX_LIST + 1), ["," * 10_000]):
        with pytest.raises(Malformed, match="more than 64"):
            split_list(values)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        ("a", [("a", [])]),
        ("a; b; c=d", [("a", [("b", None), ("c", "d")])]),
        ('a; b="c"', [("a", [("b", "c")])]),
        ("a, b;c=1", [("a", []), ("b", [("c", "1")])]),
    ],
)
def test_parse_extensions(value: str, expected: list[tuple[str, list[tuple[str, str | None]]]]) -> None:
    assert parse_extensions([value]) == expected


@pytest.mark.parametrize(
    "value", ["a b", "a;", ";a", "a; b=", "a; b=c=d", 'a; b="c', 'a; b="c d"', "a; =b", "é", "a;" * 100]
)
def test_malformed_extensions(value: str) -> None:
    with pytest.raises(Malformed):
        parse_extensions([value])
