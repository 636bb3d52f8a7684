"""The compiled function for one whole text and its reference take the same, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.wire.frames import BINARY, PING, TEXT, encode_masked_frame
from odac.wire.parser import reference_whole_text

LIMIT = 1 << 20


@pytest.fixture(params=["reference", "compiled"])
def whole_text(request: pytest.FixtureRequest) -> Any:
    if request.param == "reference":
        return reference_whole_text
    return pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").whole_text


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 64, 124, 125, 126, 127, 128, 1000, 65_535])
def test_one_text_is_taken(whole_text: Any, length: int) -> None:
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
        encode_masked_frame(TEXT, b"a" * 65_536, b"mask"),
        encode_masked_frame(TEXT, b"a" * 200, b"mask")[:-1],
        encode_masked_frame(TEXT, b"a" * 200, b"mask") + b"\x81",
        encode_masked_frame(TEXT, b"a" * 199 + "é".encode(), b"mask"),
        b"\x81\xfe\x00\x05mask" + b"a" * 5,  # a length in more bytes than it needs
        b"\x81\xfe\x00\x7dmask" + b"a" * 125,
        b"\x81\xffmask" + b"a" * 127,
        b"\x81\xfe\x00",
        b"\x81\xfe\x00\x00ma",
        encode_masked_frame(BINARY, b"ab", b"mask"),
        encode_masked_frame(PING, b"ab", b"mask"),
        b"\x81\x04text",
    ],
)
def test_anything_else_is_left_to_the_parser(whole_text: Any, data: bytes) -> None:
    assert whole_text(data, LIMIT) is None


def test_nothing_over_the_limit_is_taken(whole_text: Any) -> None:
    for length in (4, 200):
        frame = encode_masked_frame(TEXT, b"a" * length, b"mask")
        assert whole_text(frame, length) == b"a" * length
        assert whole_text(frame, length - 1) is None
        assert whole_text(frame, -1) is None
    assert whole_text(encode_masked_frame(TEXT, b"", b"mask"), 0) == b""
    assert whole_text(encode_masked_frame(TEXT, b"", b"mask"), -1) is None


@given(st.binary(max_size=140), st.integers(-1, 140), st.integers(0, 140))
def test_both_agree_on_any_bytes(data: bytes, limit: int, more: int) -> None:
    compiled = pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").whole_text
    long = data + b"a" * more
    for candidate in (
        data,
        b"\x81" + data,
        b"\x81" + bytes((0x80 | min(len(data), 127),)) + b"mask" + data,
        b"\x81\xfe" + len(long).to_bytes(2, "big") + b"mask" + long,
    ):
        assert compiled(candidate, limit) == reference_whole_text(candidate, limit)
