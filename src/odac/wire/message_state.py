"""The state of an incomplete frame and message, and the check of its text as it arrives."""

from __future__ import annotations

from codecs import utf_8_decode
from typing import Final

from odac.close_codes import CloseCode
from odac.errors import ProtocolError

__all__ = ["ENDED", "LARGE", "MessageState", "Pieces", "is_utf8", "not_utf8", "verify_utf8"]

LARGE: Final = 16 * 1024
"""Bytes from which a part of a message is kept as received: joining it with others would cost more."""

_UTF8_STEP: Final = 64 * 1024
"""Bytes checked at a time: the check makes a str of them, four times as large at worst."""


class Pieces:
    """The part of a message received so far: large pieces by reference, small ones joined, which saves memory."""

    __slots__ = ("_parts", "_small")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._small = bytearray()

    def add(self, piece: bytes) -> None:
        """Keep the next piece."""
        if len(piece) >= LARGE:
            self._close_small()
            self._parts.append(piece)
        else:
            self._small += piece
            if len(self._small) >= 4 * LARGE:
                self._close_small()

    def _close_small(self) -> None:
        if self._small:
            self._parts.append(bytes(self._small))
            self._small = bytearray()

    def join(self, last: bytes) -> bytes:
        """Return the whole message, ``last`` at its end."""
        return b"".join((*self._parts, self._small, last))


class MessageState:
    """The state of an incomplete frame and message; dropped when they are complete."""

    __slots__ = (
        "compressed",
        "control",
        "fin",
        "fragments",
        "header",
        "kind",
        "left",
        "mask",
        "message",
        "opcode",
        "size",
        "tail",
    )

    def __init__(self) -> None:
        # The frame: its header while incomplete, then how many bytes of it are still to come (-1: the next header is).
        self.header = b""
        self.left = -1
        self.opcode = 0
        self.fin = False
        self.mask = b""
        self.control = b""
        # The message: its opcode (0: none has begun), frames and bytes so far, and the beginning of a character.
        self.kind = 0
        self.compressed = False
        self.fragments = 0
        self.size = 0
        self.message: Pieces | None = None
        self.tail = b""


ENDED: Final = MessageState()
"""The state after an error or a close frame; shared by all parsers, changed by none."""


def not_utf8() -> ProtocolError:
    """The error of a text message that is not UTF-8: 1007 (RFC 6455 section 8.1)."""
    return ProtocolError(CloseCode.INVALID_DATA, "text that is not UTF-8")


def is_utf8(text: bytes) -> bool:
    """Whether a whole text is UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def verify_utf8(tail: bytes, chunk: bytes, *, last: bool) -> bytes:
    """Check the next bytes of a text; return the beginning of a character that the next ones must complete.

    Raises:
        ProtocolError: 1007 at the first byte that no UTF-8 text could have there.
    """
    if not tail and chunk.isascii():
        return b""
    try:
        for start in range(0, len(chunk), _UTF8_STEP):
            piece = tail + chunk[start : start + _UTF8_STEP]
            tail = piece[utf_8_decode(piece, "strict", False)[1] :]
        # The codec waits for the third byte of a surrogate, for callers that allow surrogates.
        if (last and tail) or (tail[:1] == b"\xed" and tail[1:] >= b"\xa0"):
            utf_8_decode(tail, "strict", True)
    except UnicodeDecodeError:
        raise not_utf8() from None
    return tail
