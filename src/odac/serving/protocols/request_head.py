"""The head of an HTTP request as bytes: whether it is complete, within its limits, and a WebSocket handshake."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from odac.config import Limits
from odac.errors import HandshakeError

__all__ = ["Head", "read_head", "with_lower_names"]

_BEGINS: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,40}(?: |\Z)")
_REQUEST_LINE: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,40} [\x21-\xff]+ HTTP/([0-9])\.[0-9]")
_END: Final = b"\r\n\r\n"
_UPGRADE: Final = b"\r\nupgrade:"


class Head(Enum):
    """What a connection has sent of its request."""

    UNFINISHED = auto()
    HTTP = auto()
    WEBSOCKET = auto()


def read_head(data: bytes, known: int, limits: Limits) -> Head:
    """Say what the bytes of a request are. Parsing it is up to who serves it.

    Args:
        data: begins with the request line.
        known: as many of its first bytes were looked at before, and held no end.
        limits: ``max_header_bytes`` (which bounds the request line as well) and ``max_headers``.

    Raises:
        HandshakeError: 400 for what is no request line of HTTP/1, 414 and 431 past a limit, 505 for another version.
    """
    end = data.find(_END, max(0, known - 3))
    line = data.find(b"\r\n")
    if line < 0:
        _check_beginning(data, limits)
        return Head.UNFINISHED
    if line > limits.max_header_bytes:
        raise HandshakeError(414, f"request line over {limits.max_header_bytes} bytes (max_header_bytes)")
    if end < 0 or data[line - 9 : line] != b" HTTP/1.1" or data.count(b" ", 0, line) != 2:
        # Who parses a complete head checks its line as well; here, the rest of a bad one is not waited for.
        _check_line(data, line)
    start = line + 2
    # Where the end is missing, the last lines may have come with a part of it: up to three bytes, and one line break.
    stop, spare, lines = (end, 0, 1) if end >= 0 else (len(data), 3, 0)
    if stop - start > limits.max_header_bytes + spare:
        raise HandshakeError(431, f"headers over {limits.max_header_bytes} bytes together (max_header_bytes)")
    if data.count(b"\r\n", start, stop) + lines > limits.max_headers and stop > start:
        raise HandshakeError(431, f"more than {limits.max_headers} headers (max_headers)")
    if end < 0:
        return Head.UNFINISHED
    # What nearly every client sends, found without a copy.
    if data.find(b"\r\nUpgrade: websocket\r\n", line, end + 2) >= 0:
        return Head.WEBSOCKET
    fields = data[line:end].lower()
    at = fields.rfind(_UPGRADE)
    if at >= 0 and b"websocket" in fields[at + len(_UPGRADE) :].partition(b"\r\n")[0]:
        return Head.WEBSOCKET
    return Head.HTTP


def with_lower_names(data: bytes) -> bytes:
    """The same request with lower-case header names, for WebSocket classes that pass names on as they came.

    uvicorn's own HTTP protocols hand a handshake over in this form, and its ``websockets`` classes rely on it: ASGI
    scopes have lower-case names (ASGI specification, "WebSocket connection scope").

    Args:
        data: holds a complete head; what follows it stays as it is.
    """
    head, end, rest = data.partition(_END)
    line, *fields = head.split(b"\r\n")
    named = [field.partition(b":") for field in fields]
    return b"\r\n".join([line, *(name.lower() + colon + value for name, colon, value in named)]) + end + rest


def _check_beginning(data: bytes, limits: Limits) -> None:
    if len(data) > limits.max_header_bytes:
        raise HandshakeError(414, f"request line over {limits.max_header_bytes} bytes (max_header_bytes)")
    # A line feed alone ends no line (RFC 9112 section 2.2 lets a server see it so); waiting for more would not help.
    if _BEGINS.match(data) is None or b"\n" in data:
        raise HandshakeError(400, "the first line is not an HTTP/1.1 request line")


def _check_line(data: bytes, line: int) -> None:
    found = _REQUEST_LINE.fullmatch(data, 0, line)
    if found is None:
        raise HandshakeError(400, "the first line is not an HTTP/1.1 request line")
    if found[1] != b"1":
        raise HandshakeError(505, "this server speaks HTTP/1.1")
