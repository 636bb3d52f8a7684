"""The head of a request: bytes to method, target and headers (RFC 9112), and a fast path for the usual handshake."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from odac.errors import HandshakeError
from odac.speedups import compiled

__all__ = [
    "HOST",
    "KEY",
    "PRINTABLE",
    "TOKEN",
    "Headers",
    "RequestHead",
    "UsualRequest",
    "parse_request",
    "reference_usual_request",
    "usual_request",
]

TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET: Final = re.compile(rb"[\x21-\x7e]+")
_VERSION: Final = re.compile(rb"HTTP/[0-9]\.[0-9]")
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+;=\-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
PRINTABLE: Final = bytes((0x09, *range(0x20, 0x7F)))
_OBSOLETE: Final = bytes(range(0x80, 0x100))
"""Bytes that a header value may hold (RFC 9110 section 5.5, obs-text), though none of a handshake's own may."""

_NAMES: Final = {
    spelling: name.lower()
    for name in (
        b"Accept-Encoding",
        b"Accept-Language",
        b"Cache-Control",
        b"Connection",
        b"Cookie",
        b"Host",
        b"Origin",
        b"Pragma",
        b"Sec-WebSocket-Extensions",
        b"Sec-WebSocket-Key",
        b"Sec-WebSocket-Protocol",
        b"Sec-WebSocket-Version",
        b"Upgrade",
        b"User-Agent",
    )
    for spelling in (name, name.lower())
}
"""Header names as browsers send them, which need no check."""

Headers = list[tuple[bytes, bytes]]
"""Headers as ASGI has them: lowercase names, values without the whitespace around them."""


class RequestHead(NamedTuple):
    """The head of an HTTP request.

    Args:
        method: as sent, such as ``b"GET"``.
        target: as sent, such as ``b"/chat?x=1"``: visible ASCII characters only.
        version: such as ``b"HTTP/1.1"``.
        headers: lowercase names and trimmed values, in order.
        printable: whether all headers are printable ASCII, spaces and tabs.
    """

    method: bytes
    target: bytes
    version: bytes
    headers: Headers
    printable: bool


def parse_request(data: bytes, *, max_headers: int, max_header_bytes: int) -> RequestHead:
    """Parse the head of a request, strictly (RFC 9112) and in linear time.

    Args:
        data: begins with the request line and holds the empty line that ends the head; what follows is ignored.
        max_headers: header lines allowed.
        max_header_bytes: bytes of all header lines together allowed, and of the request line.

    Raises:
        HandshakeError: 400 for what is not HTTP/1, 414 for a request line and 431 for headers past the limits.
    """
    end = data.find(b"\r\n")
    if end < 0 or end > max_header_bytes:
        if max(end, len(data)) > max_header_bytes:
            raise HandshakeError(414, f"request line over {max_header_bytes} bytes (max_header_bytes)")
        raise HandshakeError(400, "the request has no end")
    parts = data[:end].split(b" ")
    if (
        len(parts) != 3
        or (parts[0] != b"GET" and TOKEN.fullmatch(parts[0]) is None)
        or _TARGET.fullmatch(parts[1]) is None
        or (parts[2] != b"HTTP/1.1" and _VERSION.fullmatch(parts[2]) is None)
    ):
        raise HandshakeError(400, "the first line is not an HTTP/1.1 request line")
    start = end + 2
    stop = data.find(b"\r\n\r\n", end, start + max_header_bytes + 2)
    if stop < 0:
        if len(data) - start > max_header_bytes:
            raise HandshakeError(431, f"headers over {max_header_bytes} bytes together (max_header_bytes)")
        raise HandshakeError(400, "the request's head has no end")
    lines = data[start:stop].split(b"\r\n", max_headers) if stop > end else []
    if len(lines) > max_headers:
        raise HandshakeError(431, f"more than {max_headers} headers (max_headers)")
    # Nearly always the line breaks are the only control characters: then no line need be searched for others.
    breaks = b"\r\n" * (len(lines) - 1)
    rest = data[start:stop].translate(None, PRINTABLE) if lines else b""
    printable = rest == breaks
    searched = printable or rest.translate(None, _OBSOLETE) == breaks
    known = _NAMES.get
    headers: Headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        lower = known(name)
        if searched and lower is not None and colon:
            headers.append((lower, value.strip(b" \t")))
        else:
            headers.append(_parse_header(line))
    return RequestHead(parts[0], parts[1], parts[2], headers, printable)


def _parse_header(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    lower = _NAMES.get(name)
    if lower is None or not colon:
        # The name's grammar also refuses folded lines and a space before the colon (RFC 9112 sections 5.1 and 5.2).
        if not colon or TOKEN.fullmatch(name) is None:
            raise HandshakeError(400, "a header line has no name and colon")
        lower = name.lower()
    if _CONTROLS.search(value) is not None:
        raise HandshakeError(400, f"control character in the header {lower.decode()[:40]}")
    return lower, value.strip(b" \t")


UsualRequest = tuple[bytes, Headers, bytes, int]
"""The target, the headers, ``Sec-WebSocket-Key``, and how many bytes the head takes."""

_CONNECTION: Final = frozenset({b"Upgrade", b"upgrade", b"keep-alive, Upgrade"})
_MOST: Final = 32
_LONGEST_NAME: Final = 64


def reference_usual_request(data: bytes, max_headers: int, max_header_bytes: int, max_list: int) -> UsualRequest | None:
    """Parse the head of a handshake in the form that most clients send, if it arrived whole.

    A head that is accepted here passes every check of ``handshake.py``.

    Args:
        data: begins with the request line.
        max_headers: header lines allowed.
        max_header_bytes: bytes of all header lines together allowed, and of the request line.
        max_list: elements of one list header.

    Returns:
        None if the head must be parsed in full: it may be incomplete, written in another form, or invalid.
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
