from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from odac.brokers.base import MAX_PAYLOAD
from odac.cluster.envelope import Piece
from odac.cluster.pieces import MOST, Assembly, pieces_of

A, B = b"a" * 16, b"b" * 16


def last(assembly: Assembly, pieces: list[Piece], channel: str = "c", origin: bytes = A) -> bytes | None:
    whole = None
    for piece in pieces:
        whole = assembly.add(channel, origin, piece)
    return whole


@given(st.binary(min_size=1, max_size=100), st.integers(1, 120))
def test_what_is_taken_apart_is_put_together(payload: bytes, size: int) -> None:
    pieces = list(pieces_of(payload, size))
    assert all(len(piece.data) <= size for piece in pieces)
    assembly = Assembly()
    assert all(assembly.add("c", A, piece) is None for piece in pieces[:-1])
    assert assembly.add("c", A, pieces[-1]) == payload


def test_a_message_of_which_a_piece_is_missing_is_given_up_and_the_next_one_is_whole() -> None:
    first, second = list(pieces_of(b"abcdef", 2)), list(pieces_of(b"uvwxyz", 2))
    for missing in range(3):
        assembly = Assembly()
        assert last(assembly, [piece for piece in first if piece.index != missing]) is None
        assert last(assembly, second) == b"uvwxyz"


def test_publishers_and_channels_are_kept_apart() -> None:
    pieces = list(pieces_of(b"abcd", 2))
    assembly = Assembly()
    for channel, origin in (("c", A), ("d", A), ("c", B)):
        assert assembly.add(channel, origin, pieces[0]) is None
    for channel, origin in (("c", A), ("d", A), ("c", B)):
        assert assembly.add(channel, origin, pieces[1]) == b"abcd"


def test_a_publisher_that_never_ends_a_message_takes_no_more_than_a_bound() -> None:
    assembly = Assembly()
    part = bytes(MAX_PAYLOAD // 4)
    for index in range(4):
        assert assembly.add("c", A, Piece(1, index, 99, part)) is None
    assert assembly.add("c", A, Piece(1, 4, 99, b"1")) is None
    assert not assembly._begun
    for number in range(MOST + 5):
        assembly.add(f"c{number}", A, Piece(1, 0, 2, b"x"))
    assert len(assembly._begun) == MOST
