"""Frames as bytes (RFC 6455 section 5.2), and the content of close frames."""

from __future__ import annotations

from struct import Struct
from typing import Final

from odac.close_codes import CloseCode, is_sendable
from odac.errors import ProtocolError
from odac.wire.mask import apply_mask

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "EMPTY_CLOSE",
    "PING",
    "PONG",
    "TEXT",
    "check_close",
    "encode_close",
    "encode_frame",
    "encode_masked_frame",
    "fit_reason",
    "parse_close",
]

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

OPCODES: Final = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
DATA_OPCODES: Final = (TEXT, BINARY)
"""The opcodes that begin a message."""

MAX_CONTROL_PAYLOAD: Final = 125
"""Bytes a control frame may carry (RFC 6455 section 5.5)."""

MAX_REASON: Final = MAX_CONTROL_PAYLOAD - 2
"""UTF-8 bytes of a close frame's reason: its code takes two."""

SMALL_HEADERS: Final = tuple(tuple(bytes((0x80 | opcode, length)) for length in range(126)) for opcode in range(16))
"""The header of every whole unmasked frame below 126 bytes, by opcode and length: a look-up is faster than building
one.
"""

_MEDIUM_HEADER: Final = Struct("!BBH").pack


def encode_frame(opcode: int, payload: bytes, *, rsv1: bool = False, fin: bool = True) -> bytes:
    """Return one complete unmasked frame with the shortest length encoding.

    Args:
        opcode: one of this module's constants.
        payload: the bytes, already compressed when ``rsv1`` is set.
        rsv1: mark a compressed message (RFC 7692 section 6).
        fin: False for a fragment that others follow.

    Raises:
        ValueError: a control frame that is fragmented or over 125 bytes, or an opcode that RFC 6455 does not define.
    """
    length = len(payload)
    if fin and not rsv1:
        if length < 126 and opcode in OPCODES:
            return SMALL_HEADERS[opcode][length] + payload
        if 126 <= length < 0x10000 and opcode in DATA_OPCODES:
            return _MEDIUM_HEADER(0x80 | opcode, 126, length) + payload
    return _header(opcode, length, 0, rsv1=rsv1, fin=fin) + payload


def encode_masked_frame(opcode: int, payload: bytes, mask: bytes, *, rsv1: bool = False, fin: bool = True) -> bytes:
    """Return one complete frame as a client sends it.

    Args:
        opcode: one of this module's constants.
        payload: the bytes, already compressed when ``rsv1`` is set.
        mask: four unpredictable bytes (RFC 6455 section 10.3).
        rsv1: mark a compressed message.
        fin: False for a fragment that others follow.

    Raises:
        ValueError: as :func:`encode_frame`, or ``mask`` is not four bytes.
    """
    return _header(opcode, len(payload), 0x80, rsv1=rsv1, fin=fin) + mask + apply_mask(payload, mask)


def _header(opcode: int, length: int, mask_bit: int, *, rsv1: bool, fin: bool) -> bytes:
    if opcode not in OPCODES:
        raise ValueError(f"opcode {opcode:#x} is not defined by RFC 6455")
    if opcode >= CLOSE and (length > MAX_CONTROL_PAYLOAD or not fin or rsv1):
        raise ValueError(
            f"a control frame is whole, uncompressed and at most {MAX_CONTROL_PAYLOAD} bytes long (it has {length})"
        )
    first = (0x80 if fin else 0) | (0x40 if rsv1 else 0) | opcode
    if length < 126:
        return bytes((first, mask_bit | length))
    if length < 0x10000:
        return bytes((first, mask_bit | 126)) + length.to_bytes(2, "big")
    return bytes((first, mask_bit | 127)) + length.to_bytes(8, "big")


def check_close(code: int, reason: str = "") -> bytes:
    """Return the reason's UTF-8 bytes if this code and reason may be sent.

    Raises:
        TypeError: the reason is no str.
        ValueError: RFC 6455 section 7.4 forbids the code on the wire, or the reason is over 123 bytes or holds a lone
            surrogate.
    """
    if isinstance(code, bool) or not isinstance(code, int) or not is_sendable(code):
        raise ValueError(
            f"close code {code!r} may not be sent (RFC 6455 section 7.4): use 1000, 1001, 1008, 1011 or 3000 to 4999"
        )
    if not isinstance(reason, str):
        raise TypeError(f"close reason {reason!r} must be a str")
    try:
        encoded = reason.encode()
    except UnicodeEncodeError:
        raise ValueError(f"close reason {reason!r} holds a lone surrogate, which no UTF-8 text can") from None
    if len(encoded) > MAX_REASON:
        raise ValueError(f"close reason of {len(encoded)} UTF-8 bytes: at most {MAX_REASON} fit into a close frame")
    return encoded


def encode_close(code: int, reason: str = "") -> bytes:
    """Return the unmasked close frame for a code and a reason.

    Args:
        code: a code that may be sent; 1005 is not one: :data:`EMPTY_CLOSE` is the frame without a code.
        reason: at most 123 UTF-8 bytes; :func:`fit_reason` shortens longer ones.

    Raises:
        ValueError: see :func:`check_close`.
    """
    encoded = check_close(code, reason)
    return encode_frame(CLOSE, code.to_bytes(2, "big") + encoded)


EMPTY_CLOSE: Final = SMALL_HEADERS[CLOSE][0]
"""The close frame without a code, which answers one without a code."""


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return the code and the reason in a close frame's payload; 1005 for an empty one (RFC 6455 section 7.1.5).

    Raises:
        ProtocolError: 1002 for one byte or a code that may not be sent, 1007 for a reason that is not UTF-8.
    """
    if not payload:
        return int(CloseCode.NO_STATUS), ""
    if len(payload) == 1:
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, "close frame of one byte: a code takes two")
    code = payload[0] << 8 | payload[1]
    if not is_sendable(code):
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, f"close code {code} may not be sent")
    try:
        return code, str(payload[2:], "utf-8")
    except UnicodeDecodeError:
        raise ProtocolError(CloseCode.INVALID_DATA, "close reason that is not UTF-8") from None


def fit_reason(reason: str) -> str:
    """Return ``reason``, cut at a character's end to the 123 UTF-8 bytes that a close frame has room for."""
    encoded = reason.encode(errors="replace")
    if len(encoded) > MAX_REASON:
        encoded = encoded[: MAX_REASON - 3]
        return encoded.decode(errors="ignore") + "…"
    return encoded.decode()
