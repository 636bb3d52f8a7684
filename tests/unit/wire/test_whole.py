"""The compiled function for one small whole text and its reference take the same, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.wire.frames import BINARY, PING, TEXT, encode_masked_frame
from odac.wire.whole import reference_whole_text

LIMIT = 131


@pytest.fixture(params=["reference", "compiled"])
def whole_text(request: pytest.FixtureRequest) -> Any:
    if request.param == "reference":
        return reference_whole_text
    return pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").whole_text


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 64, 124, 125])
def test_one_small_text_is_taken(whole_text: Any, length: int) -> None:
    assert whole_text(encode_masked_frame(TEXT, b"a" * length, b"\x01\x80\xff\x7e"), LIMIT) == b"a" * length


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x81",
        encode_masked_frame(TEXT, b"ab", b"mask")[:-1],
        encode_masked_frame(TEXT, b"ab", b"mask") + b"\x81",
        encode_masked_frame(TEXT, b"ab", b"mask", fin=False),
        encode_masked_frame(TEXT, b"ab", b"mask", rsv1=True),
        encode_masked_frame(TEXT, "é".encode(), b"mask"),
        encode_masked_frame(TEXT, b"a" * 126, b"mask"),
        encode_masked_frame(BINARY, b"ab", b"mask"),
        encode_masked_frame(PING, b"ab", b"mask"),
        b"\x81\x04text",
    ],
)
def test_anything_else_is_left_to_the_parser(whole_text: Any, data: bytes) -> None:
    assert whole_text(data, LIMIT) is None


def test_nothing_over_the_limit_is_taken(whole_text: Any) -> None:
    frame = encode_masked_frame(TEXT, b"abcd", b"mask")
    assert whole_text(frame, len(frame)) == b"abcd"
    assert whole_text(frame, len(frame) - 1) is None
    assert whole_text(frame, 0) is None


@given(st.binary(max_size=140), st.integers(0, 140))
def test_both_agree_on_any_bytes(data: bytes, limit: int) -> None:
    compiled = pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").whole_text
    for candidate in (data, b"\x81" + data, b"\x81" + bytes((0x80 | min(len(data), 125),)) + b"mask" + data):
        assert compiled(candidate, limit) == reference_whole_text(candidate, limit)
