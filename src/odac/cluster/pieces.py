"""Splits messages that are larger than the broker's limit into pieces, and reassembles them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final

from odac.brokers.base import MAX_PAYLOAD
from odac.cluster.envelope import Piece

__all__ = ["PIECE_OVERHEAD", "Assembly", "pieces_of"]

PIECE_OVERHEAD: Final = 128
"""The most bytes that an envelope with one piece has besides the piece's data."""
MOST: Final = 64
"""Messages that are being reassembled at the same time. Each publisher sends one at a time on each channel."""


def pieces_of(payload: bytes, size: int) -> Iterator[Piece]:
    """Split an encoded envelope into pieces of at most ``size`` bytes."""
    count = -(-len(payload) // size)
    message = secrets.randbits(63)
    for index in range(count):
        yield Piece(message, index, count, payload[index * size : (index + 1) * size])


class Assembly:
    """The messages of which some pieces have arrived. The pieces of one message arrive in order, on one channel."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun: dict[tuple[str, bytes], tuple[int, list[bytes], int]] = {}

    def add(self, channel: str, origin: bytes, piece: Piece) -> bytes | None:
        """Add a piece; return the whole envelope once it is the last one and all others have arrived."""
        key = (channel, origin)
        message, parts, size = self._begun.pop(key, (-1, [], 0))
        if piece.index == 0:
            message, parts, size = piece.message, [], 0
        size += len(piece.data)
        if message != piece.message or len(parts) != piece.index or size > MAX_PAYLOAD:
            return None
        parts.append(piece.data)
        if piece.index == piece.count - 1:
            return b"".join(parts)
        self._begun[key] = (message, parts, size)
        if len(self._begun) > MOST:
            del self._begun[next(iter(self._begun))]
        return None
