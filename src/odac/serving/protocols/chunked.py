"""Finds the end of a chunked body (RFC 9112 section 7.1), so that a parser gets no bytes of the request after it."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

__all__ = ["ChunkedBody"]

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_LINE_END: Final = b"\r\n"


class _Part(Enum):
    SIZE = auto()
    DATA = auto()
    TRAILERS = auto()


class ChunkedBody:
    """Follows the framing of one body, however it is split into pieces.

    Bytes that violate the grammar count as part of the body, so that the parser refuses them.
    """

    __slots__ = ("_left", "_line", "_part")

    def __init__(self) -> None:
        self._part = _Part.SIZE
        self._left = 0  # missing bytes of the chunk, including the line end after it
        self._line = b""  # the beginning of an incomplete line

    def end(self, data: bytes, at: int) -> tuple[int, bool]:
        """Scan the bytes from ``at`` on. Every byte must be passed once and in order.

        Returns:
            The offset up to which they belong to the body, and whether the body ends there.
        """
        size = len(data)
        while at < size:
            if self._part is _Part.DATA:
                taken = min(self._left, size - at)
                self._left -= taken
                at += taken
                if self._left == 0:
                    self._part = _Part.SIZE
                continue
            stop = self._line_end(data, at)
            if stop < 0:
                self._line += data[at:]
                return size, False
            line, self._line = self._line + data[at:stop], b""
            at = stop
            if self._part is _Part.TRAILERS:
                if line == _LINE_END:
                    return at, True
            elif (found := _SIZE.fullmatch(line)) is None:
                return size, False
            elif (length := int(found[1], 16)) == 0:
                self._part = _Part.TRAILERS
            else:
                self._part, self._left = _Part.DATA, length + len(_LINE_END)
        return at, False

    def _line_end(self, data: bytes, at: int) -> int:
        """The offset after the next line end, or -1."""
        if self._line.endswith(b"\r") and data[at : at + 1] == b"\n":
            return at + 1
        return data.find(_LINE_END, at) + len(_LINE_END) if data.find(_LINE_END, at) >= 0 else -1
