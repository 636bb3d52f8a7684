"""A message made ready once for everyone who gets it."""

from __future__ import annotations

from odac.wire.frames import BINARY, TEXT, encode_frame

__all__ = ["Prepared"]


class Prepared:
    """An immutable outgoing message: encoded once, framed once, shared by all receivers by reference.

    Attributes:
        opcode: :data:`TEXT` or :data:`BINARY`.
        payload: the bytes of the message, unframed.
        frame: one complete unmasked, uncompressed frame (RFC 6455 section 5.2).
    """

    __slots__ = ("frame", "opcode", "payload")

    def __init__(self, opcode: int, payload: bytes) -> None:
        self.opcode = opcode
        self.payload = payload
        self.frame = encode_frame(opcode, payload)
