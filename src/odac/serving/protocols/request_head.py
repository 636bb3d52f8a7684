"""The head of an HTTP request as bytes: whether it is complete, within its limits, and a WebSocket handshake."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from odac.config import Limits
from odac.errors import HandshakeError
from odac.wire.request import HOST, Headers

__all__ = ["Head", "as_http_1_1", "check_fields", "origin_form", "read_head", "with_lower_names", "without_upgrade"]

_BEGINS: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,40}(?: |\Z)")
_REQUEST_LINE: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,40} [\x21-\xff]+ HTTP/([0-9])\.[0-9]")
_END: Final = b"\r\n\r\n"
_USUAL: Final = b"\r\nConnection: Upgrade\r\n"
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_ABSOLUTE: Final = re.compile(rb"(?:http|https|ws|wss)://([^/?#]*)([^#]*)", re.IGNORECASE)


class Head(Enum):
    """The state and kind of the first request of a connection."""

    UNFINISHED = auto()
    HTTP = auto()
    WEBSOCKET = auto()


def read_head(data: bytes, known: int, limits: Limits) -> Head:
    """Classify the first bytes of a request. The class that serves it parses it.

    Args:
        data: begins with the request line.
        known: the number of first bytes that were scanned before and contain no end.
        limits: ``max_header_bytes`` (which bounds the request line as well) and ``max_headers``.

    Raises:
        HandshakeError: 400 if it is not a request line of HTTP/1, 414 and 431 over a limit, 505 for another version.
    """
    end = data.find(_END, max(0, known - 3))
    line = data.find(b"\r\n")
    if line < 0:
        _check_beginning(data, limits)
        return Head.UNFINISHED
    if line > limits.max_header_bytes:
        raise HandshakeError(414, f"request line over {limits.max_header_bytes} bytes (max_header_bytes)")
    if end < 0 or data[line - 9 : line] != b" HTTP/1.1" or data.count(b" ", 0, line) != 2:
        # The parser of a complete head checks its line as well; here, a bad one is refused without waiting for the
        # rest.
        _check_line(data, line)
    start = line + 2
    # If the end is missing, a part of it may have arrived: up to three bytes, one line break.
    stop, spare, lines = (end, 0, 1) if end >= 0 else (len(data), 3, 0)
    if stop - start > limits.max_header_bytes + spare:
        raise HandshakeError(431, f"headers over {limits.max_header_bytes} bytes together (max_header_bytes)")
    if data.count(b"\r\n", start, stop) + lines > limits.max_headers and stop > start:
        raise HandshakeError(431, f"more than {limits.max_headers} headers (max_headers)")
    if end < 0:
        return Head.UNFINISHED
    if data[line - 1 : line] == b"0":
        return Head.HTTP  # HTTP/1.0 has no Upgrade: it must be ignored (RFC 9110 section 7.8)
    # The form that nearly every client sends, found without a copy.
    if data.find(b"\r\nUpgrade: websocket\r\n", line, end + 2) < 0 or data.find(_USUAL, line, end + 2) < 0:
        fields = data[line + 2 : end].lower()
        if b"websocket" not in fields or not _asks_for_websocket(fields):
            return Head.HTTP
    return Head.WEBSOCKET


def _asks_for_websocket(fields: bytes) -> bool:
    """Whether Upgrade names the protocol, and Connection names Upgrade (RFC 9110 section 7.8)."""
    upgrade = connection = False
    for field in fields.split(b"\r\n"):
        name, _, value = field.partition(b":")
        if name == b"upgrade":
            upgrade = upgrade or b"websocket" in _elements(value)
        elif name == b"connection":
            connection = connection or b"upgrade" in _elements(value)
    return upgrade and connection


def _elements(value: bytes) -> set[bytes]:
    return {element.strip(b" \t") for element in value.split(b",")}


def as_http_1_1(data: bytes) -> bytes:
    """Change the version of a head of a later minor version of HTTP/1 to HTTP/1.1, as which it must be read (RFC 9110
    section 2.5).
    """
    line = data.find(b"\r\n")
    if data[line - 9 : line - 1] == b" HTTP/1." and data[line - 1 : line] not in (b"0", b"1"):
        return data[: line - 1] + b"1" + data[line:]
    return data


def without_upgrade(data: bytes) -> tuple[bytes, Headers]:
    """Return a head without its Upgrade headers, and these headers: a parser must not expect another protocol next."""
    if b"\r\nupgrade:" not in data.lower():
        return data, []
    kept, taken = [], []
    for line in data.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"upgrade":
            taken.append((b"upgrade", value.strip(b" \t")))
        else:
            kept.append(line)
    return b"\r\n".join(kept), taken


def check_fields(version: str, headers: Headers) -> int | None:
    """Check the headers that every request must have, and the framing of its body.

    Args:
        version: ``1.0`` or ``1.1``.
        headers: with names in lower case.

    Returns:
        The bytes of the body; None if it is chunked.

    Raises:
        HandshakeError: 400 for a missing, repeated or malformed Host (RFC 9112 section 3.2) and for framing that other
            programs could interpret differently (sections 6.1 and 6.3), 501 for an unknown transfer coding (6.1).
    """
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise HandshakeError(400, "exactly one Host header is needed")
    if hosts and hosts[0] and HOST.fullmatch(hosts[0]) is None:
        raise HandshakeError(400, "the Host header must be a host name with an optional port")
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    lengths = [value for name, value in headers if name == b"content-length"]
    if not codings:
        if len(lengths) > 1 or (lengths and _LENGTH.fullmatch(lengths[0]) is None):
            raise HandshakeError(400, "Content-Length must be one number")
        return int(lengths[0]) if lengths else 0
    if version == "1.0" or lengths:
        raise HandshakeError(400, "Transfer-Encoding is not allowed in HTTP/1.0, nor together with Content-Length")
    named = [element.strip(b" \t").lower() for value in codings for element in value.split(b",")]
    named = [element for element in named if element]
    if named.count(b"chunked") != 1 or named[-1] != b"chunked":
        raise HandshakeError(400, "the last transfer coding must be chunked, once")
    if len(named) > 1:
        raise HandshakeError(501, "the only supported transfer coding is chunked")
    return None


def origin_form(target: bytes) -> tuple[bytes | None, bytes]:
    """Split a request target (RFC 9112 section 3.2).

    Returns:
        The authority of an absolute-form target (``http://example.com/path``), which replaces the Host header (section
        3.2.2), or None; and the path with its query.

    Raises:
        HandshakeError: 400 for an absolute-form target whose authority is not a host with an optional port.
    """
    found = _ABSOLUTE.fullmatch(target) if not target.startswith(b"/") else None
    if found is None:
        return None, target
    authority, rest = found.groups()
    if HOST.fullmatch(authority) is None:
        raise HandshakeError(400, "the request target's authority must be a host name with an optional port")
    return authority, rest if rest.startswith(b"/") else b"/" + rest


def with_lower_names(data: bytes) -> bytes:
    """The same request with lower-case header names, for WebSocket classes that pass names on unchanged.

    uvicorn's own HTTP protocols pass on a handshake in this form, and its ``websockets`` classes rely on it: ASGI
    scopes have lower-case names (ASGI specification, "WebSocket connection scope").

    Args:
        data: contains a complete head; the bytes after it stay unchanged.
    """
    head, end, rest = data.partition(_END)
    line, *fields = head.split(b"\r\n")
    named = [field.partition(b":") for field in fields]
    return b"\r\n".join([line, *(name.lower() + colon + value for name, colon, value in named)]) + end + rest


def _check_beginning(data: bytes, limits: Limits) -> None:
    if len(data) > limits.max_header_bytes:
        raise HandshakeError(414, f"request line over {limits.max_header_bytes} bytes (max_header_bytes)")
    # A line feed alone does not end a line (RFC 9112 section 2.2 allows this); waiting for more would not help.
    if _BEGINS.match(data) is None or b"\n" in data:
        raise HandshakeError(400, _what_it_is(data))


def _what_it_is(data: bytes) -> str:
    """Describe the bytes that usually are the cause if they are not a request: the PROXY protocol, or TLS."""
    if data.startswith((b"PROXY ", b"\x00\r\nQUIT\n")):  # version 2 begins with empty lines, which are removed by now
        return (
            "this is the PROXY protocol: run the server with --proxy-protocol and $FORWARDED_ALLOW_IPS, or turn it off"
            " in the proxy"
        )
    if data.startswith(b"\x16\x03"):
        return (
            "this is TLS, but the port expects plain HTTP: give a certificate (--ssl-certfile), or connect with http://"
        )
    return "the first line is not an HTTP/1.1 request line"


def _check_line(data: bytes, line: int) -> None:
    found = _REQUEST_LINE.fullmatch(data, 0, line)
    if found is None:
        raise HandshakeError(400, _what_it_is(data))
    if found[1] != b"1":
        raise HandshakeError(505, "this server speaks HTTP/1.1")
