"""The most frequent handshake: one as browsers and clients write it, whole, found in one look."""

from __future__ import annotations

from typing import Final

from odac.errors import HandshakeError
from odac.speedups import compiled
from odac.wire.handshake import HOST, KEY, Headers, RequestHead, parse_request

__all__ = ["UsualRequest", "reference_usual_request", "usual_request"]

UsualRequest = tuple[bytes, Headers, bytes, int]
"""The target, the headers, ``Sec-WebSocket-Key``, and how many bytes the head takes."""

_CONNECTION: Final = frozenset({b"Upgrade", b"upgrade", b"keep-alive, Upgrade"})
_MOST: Final = 32
_LONGEST_NAME: Final = 64


def reference_usual_request(data: bytes, max_headers: int, max_header_bytes: int, max_list: int) -> UsualRequest | None:
    """Take the head of a handshake that has nothing unusual: what passes here passes every check of ``handshake.py``.

    Args:
        data: begins with the request line.
        max_headers: header lines allowed.
        max_header_bytes: bytes of all header lines together allowed, and of the request line.
        max_list: elements of one list header.

    Returns:
        None says only that nobody has looked closely: the head may be unfinished, unusual, or wrong.
    """
    try:
        head = parse_request(data, max_headers=max_headers, max_header_bytes=max_header_bytes)
    except HandshakeError:
        return None
    key = _usual_key(head, max_list)
    if key is None:
        return None
    return head.target, head.headers, key, data.index(b"\r\n\r\n") + 4


def _usual_key(head: RequestHead, max_list: int) -> bytes | None:
    fields = dict(head.headers)
    key = fields.get(b"sec-websocket-key", b"")
    if (
        head.method == b"GET"
        and head.version == b"HTTP/1.1"
        and len(fields) == len(head.headers) <= _MOST
        and fields.get(b"upgrade") == b"websocket"
        and fields.get(b"connection") in _CONNECTION
        and fields.get(b"sec-websocket-version") == b"13"
        and KEY.fullmatch(key) is not None
        and HOST.fullmatch(fields.get(b"host", b"")) is not None
        and b"content-length" not in fields
        and b"transfer-encoding" not in fields
        and fields.get(b"sec-websocket-protocol", b"").count(b",") < max_list
        and fields.get(b"sec-websocket-extensions", b"").count(b",") < max_list
        and head.printable
        and all(len(name) <= _LONGEST_NAME for name in fields)
    ):
        return key
    return None


usual_request = compiled("usual_request", reference_usual_request)
