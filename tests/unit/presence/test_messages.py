from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.presence.messages import Ask, Compare, Delta, Entry, Last, Page, Versions, decode, encode

entries = st.builds(
    Entry,
    person=st.text(max_size=20),
    data=st.integers().map(lambda number: str(number).encode()),
    since=st.floats(0, 2**40),
    changed=st.integers(0, 2**50),
    away=st.booleans(),
)


@given(st.dictionaries(st.text(max_size=8), entries, max_size=4), st.lists(st.text(max_size=8), max_size=3))
def test_a_decoded_message_equals_the_encoded_one(changed: dict[str, Entry], removed: list[str]) -> None:
    for item in (
        Delta("room", 1, 2, changed, removed),
        Ask("room", 7, 3),
        Page("room", 7, 2, 0, 1, changed),
        Compare(7),
        Compare(7, 3),
        Versions(7, 0, 1, {"room": 2}),
        Versions(7, 0, 1, {"room": 2}, 1, 9),
        Last(9),
    ):
        assert decode(encode(item)) == item


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x90", encode(Ask("room", 1))[:-1], b"\x94\x07\xa1r\x00\x00"])
def test_garbage_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(body)


@pytest.mark.parametrize("data", [b"", b"nope", b'{"a":1', b'"\xff"', b"1 2"])
def test_data_that_is_no_json_text_is_garbage(data: bytes) -> None:
    entries = {"c1": Entry("u:1", b"1", 0.0, 1), "c2": Entry("u:2", data, 0.0, 1)}
    for item in (Delta("room", 0, 1, entries), Page("room", 1, 1, 0, 1, entries)):
        with pytest.raises(ValueError, match=r"."):
            decode(encode(item))
