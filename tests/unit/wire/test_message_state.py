from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.close_codes import CloseCode
from odac.errors import ProtocolError
from odac.wire.message_state import ENDED, LARGE, MessageState, Pieces, is_utf8, verify_utf8

SIZES = st.lists(st.sampled_from([0, 1, 100, LARGE - 1, LARGE, LARGE + 1]), max_size=12)


@given(SIZES)
def test_pieces_come_back_in_their_order_whatever_their_sizes(sizes: list[int]) -> None:
    pieces = Pieces()
    given_ = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    for piece in given_:
        pieces.add(piece)
    assert pieces.join(b"last") == b"".join([*given_, b"last"])


def test_large_pieces_are_kept_by_reference() -> None:
    pieces = Pieces()
    large = b"x" * LARGE
    pieces.add(large)
    assert any(part is large for part in pieces._parts)


@given(st.text(), st.integers(1, 4))
def test_text_is_checked_piece_by_piece_as_it_is_as_a_whole(text: str, step: int) -> None:
    data = text.encode()
    assert is_utf8(data)
    tail = b""
    for start in range(0, len(data), step):
        tail = verify_utf8(tail, data[start : start + step], last=False)
    assert verify_utf8(tail, b"", last=True) == b""


@pytest.mark.parametrize("pieces", [[b"\xff"], [b"\xe2\x82", b"x"], [b"\xed", b"\xa0"], [b"\xf4", b"\x90"]])
def test_the_first_byte_that_cannot_be_there_is_1007(pieces: list[bytes]) -> None:
    *before, last = pieces
    tail = b""
    for piece in before:
        tail = verify_utf8(tail, piece, last=False)
    with pytest.raises(ProtocolError) as raised:
        verify_utf8(tail, last, last=False)
    assert raised.value.code == CloseCode.INVALID_DATA


def test_a_text_must_not_end_within_a_character() -> None:
    tail = verify_utf8(b"", "é".encode()[:1], last=False)
    assert tail == b"\xc3"
    with pytest.raises(ProtocolError):
        verify_utf8(tail, b"", last=True)


def test_a_new_state_waits_for_a_header_and_the_shared_one_stays_as_it_is() -> None:
    assert (MessageState().left, MessageState().kind) == (-1, 0)
    assert (ENDED.left, ENDED.kind, ENDED.message) == (-1, 0, None)
