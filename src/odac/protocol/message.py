"""A message that is encoded once for all its receivers."""

from __future__ import annotations

from typing import Final

from odac.wire.deflate import deflate_frame
from odac.wire.frames import SMALL_HEADERS, TEXT, encode_frame

__all__ = ["SEPARATOR", "Prepared", "Verbatim"]

SEPARATOR: Final = b"\x1e"
"""U+001E, the record separator that an ``odac.v1`` control message begins with."""


class Prepared:
    """An immutable outgoing message: encoded once, framed once, shared by all receivers by reference.

    Args:
        opcode: :data:`TEXT` or :data:`BINARY`; or of a control frame, whose payload has fewer than 126 bytes.
        payload: the bytes of the message, unframed; UTF-8 for text.

    Attributes:
        opcode: as given.
        payload: as given.
        frame: one complete unmasked, uncompressed frame (RFC 6455 section 5.2).
        escaped: the message for ``odac.v1`` peers if the text begins with U+001E: it has one more in front; else None.
    """

    __slots__ = ("_frames", "_text", "escaped", "frame", "opcode", "payload")

    opcode: int
    payload: bytes
    frame: bytes
    escaped: Prepared | None
    # Made on first use, because most messages are neither compressed nor sent over plain ASGI.
    _frames: dict[int, bytes] | None
    _text: str | None

    def __init__(self, opcode: int, payload: bytes) -> None:
        self.opcode = opcode
        self.payload = payload
        self._frames = self._text = None
        length = len(payload)
        self.frame = SMALL_HEADERS[opcode][length] + payload if length < 126 else encode_frame(opcode, payload)
        self.escaped = None if payload[:1] != SEPARATOR or opcode != TEXT else Verbatim(SEPARATOR + payload)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'text' if self.is_text else 'binary'}, {len(self.payload)} bytes>"

    @property
    def is_text(self) -> bool:
        """Whether this is a text message; binary otherwise."""
        return self.opcode == TEXT

    @property
    def text(self) -> str:
        """The payload of a text message as a ``str``, decoded at most once for all receivers."""
        text = self._text
        if text is None:
            text = self._text = self.payload.decode()
        return text

    def compressed(self, bits: int) -> bytes:
        """Return the frame for receivers that negotiated permessage-deflate, made at most once per window size.

        It is the uncompressed frame for a short payload, and if the compressed one is not smaller.

        Args:
            bits: the server's window bits that were negotiated, 8 to 15.
        """
        frames = self._frames
        if frames is None:
            frames = self._frames = {}
        frame = frames.get(bits)
        if frame is None:
            frame = frames[bits] = deflate_frame(self.opcode, self.payload, bits)
        return frame


class Verbatim(Prepared):
    """Text that ``odac.v1`` peers get as it is: a control message, or text that is already escaped.

    Args:
        payload: the text's UTF-8 bytes.
    """

    __slots__ = ()

    def __init__(self, payload: bytes) -> None:
        self.opcode = TEXT
        self.payload = payload
        self._frames = self._text = None
        self.frame = encode_frame(TEXT, payload)
        self.escaped = None
