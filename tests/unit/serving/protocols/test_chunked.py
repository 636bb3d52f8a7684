"""Where a chunked body ends, however it is cut, beside what the parser says."""

from __future__ import annotations

from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.serving.protocols.chunked import ChunkedBody

BODY = b"5;a=b\r\nhe\r\nl\r\n0a\r\n0\r\n\r\n12345\r\n0\r\nTrailer: x\r\n\r\n"


def length_of(data: bytes, cuts: list[int]) -> int | None:
    """How many bytes the body takes; None where its end is not there."""
    body, known = ChunkedBody(), 0
    for cut in [*cuts, len(data)]:
        stop, ended = body.end(data[:cut], known)
        if ended:
            return stop
        assert stop == cut
        known = cut
    return None


@given(cuts=st.sets(st.integers(1, len(BODY))))
def test_the_end_is_found_however_the_body_is_cut(cuts: set[int]) -> None:
    assert length_of(BODY + b"GET / HTTP/1.1\r\n\r\n", sorted(cuts)) == len(BODY)
    assert length_of(BODY[:-1], sorted(cut for cut in cuts if cut < len(BODY))) is None


class Message:
    """Counts what the parser has taken for one request."""

    def __init__(self) -> None:
        self.begun = self.complete = 0

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_message_complete(self) -> None:
        self.complete += 1


pieces = st.lists(
    st.sampled_from(
        [b"1", b"0", b"a", b"\r\n", b"\r", b"\n", b";", b"x", b"3\r\nabc\r\n", b"0\r\n", b"0\r\n\r\n", b"A: b\r\n"]
    ),
    max_size=12,
)


@given(parts=pieces)
def test_the_parser_never_sees_a_byte_behind_the_end(parts: list[bytes]) -> None:
    """What the two read differently would let a client hide a request within another one's body."""
    data = b"".join(parts)
    end = length_of(data, [])
    seen = Message()
    parser: Any = httptools.HttpRequestParser(seen)
    parser.feed_data(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        parser.feed_data(data if end is None else data[:end])
    except httptools.HttpParserError:
        return  # refused
    assert seen.begun == 1
    assert seen.complete == (end is not None)


@pytest.mark.parametrize("size", [b"", b"-1", b"0x1", b"1" * 16, b"g"])
def test_a_size_that_is_none_is_left_to_the_parser(size: bytes) -> None:
    data = size + b"\r\nabc\r\n0\r\n\r\n"
    assert length_of(data, []) is None
