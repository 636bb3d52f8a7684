"""Control messages of the ``odac.v1`` subprotocol: text messages ``U+001E`` and then a JSON array ``[kind, …]``."""

from __future__ import annotations

from typing import Final

import msgspec

from odac.protocol.message import SEPARATOR, Verbatim

__all__ = ["PING", "PONG", "decode_control", "encode_control", "is_control", "unescape"]

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[object]).decode


def encode_control(kind: str, *values: object) -> Verbatim:
    """Make a control message.

    Args:
        kind: such as ``hello``; the page on the wire protocol lists them.
        values: the values after the kind, encoded as JSON.
    """
    return Verbatim(SEPARATOR + _encode((kind, *values)))


PING: Final = encode_control("ping")
PONG: Final = encode_control("pong")


def is_control(payload: bytes) -> bool:
    """Whether a text message of an ``odac.v1`` peer is a control message and not one of the application."""
    return payload.startswith(SEPARATOR) and payload[1:2] != SEPARATOR


def decode_control(payload: bytes) -> tuple[str, list[object]] | None:
    """Return the kind and the values of a control message; None for a malformed one, which is to be ignored."""
    try:
        kind, *values = _decode(memoryview(payload)[1:])
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, and so is an empty array
        return None
    return (kind, values) if isinstance(kind, str) else None


def unescape(payload: bytes) -> bytes:
    """Return the application's text of an ``odac.v1`` peer's message that begins with two separators."""
    return payload[1:] if payload.startswith(b"\x1e\x1e") else payload
