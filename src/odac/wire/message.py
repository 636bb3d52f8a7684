"""A message made ready once for everyone who gets it."""

from __future__ import annotations

from odac.wire.deflate import deflate_frame
from odac.wire.frames import BINARY, SMALL_HEADERS, TEXT, encode_frame

__all__ = ["Prepared"]


class Prepared:
    """An immutable outgoing message: encoded once, framed once, shared by all receivers by reference.

    Args:
        opcode: :data:`TEXT` or :data:`BINARY`.
        payload: the bytes of the message, unframed; UTF-8 for text.

    Attributes:
        opcode: as given.
        payload: as given.
        frame: one complete unmasked, uncompressed frame (RFC 6455 section 5.2).
    """

    __slots__ = ("_escaped", "_frames", "frame", "opcode", "payload")

    opcode: int
    payload: bytes
    frame: bytes
    # The two others stay unset until somebody asks: most messages are never compressed, hardly any is escaped.
    _frames: dict[int, bytes]
    _escaped: Prepared

    def __init__(self, opcode: int, payload: bytes) -> None:
        self.opcode = opcode
        self.payload = payload
        length = len(payload)
        self.frame = SMALL_HEADERS[opcode][length] + payload if length < 126 else encode_frame(opcode, payload)

    def __repr__(self) -> str:
        return f"<Prepared {'text' if self.is_text else 'binary'}, {len(self.payload)} bytes>"

    @property
    def is_text(self) -> bool:
        """Whether this is a text message; binary otherwise."""
        return self.opcode == TEXT

    @property
    def is_binary(self) -> bool:
        """Whether this is a binary message; text otherwise."""
        return self.opcode == BINARY

    @property
    def escaped(self) -> Prepared | None:
        """What ``odac.v1`` clients get instead: one more U+001E in front of text that begins with it; else None.

        Ask once per message, not once per receiver.
        """
        if not self.payload.startswith(b"\x1e") or self.opcode != TEXT:
            return None
        try:
            return self._escaped
        except AttributeError:
            self._escaped = Prepared(TEXT, b"\x1e" + self.payload)
            return self._escaped

    def compressed(self, bits: int) -> bytes:
        """Return the frame for receivers that negotiated permessage-deflate, made at most once per window size.

        Args:
            bits: the server's window bits that were negotiated, 8 to 15.

        It is the plain frame where compressing would not pay.
        """
        try:
            return self._frames[bits]
        except AttributeError:
            self._frames = {}
        except KeyError:
            pass
        frame = self._frames[bits] = deflate_frame(self.opcode, self.payload, bits)
        return frame
