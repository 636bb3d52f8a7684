"""The opening handshake of a server (RFC 6455 section 4.2): bytes to a checked request, and the bytes of the answer."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from hashlib import sha1
from http import HTTPStatus
from typing import Final, NamedTuple

from odac.errors import HandshakeError
from odac.wire.headers import MAX_LIST, Malformed, is_token, split_list

__all__ = [
    "HOST",
    "KEY",
    "RESUME",
    "SUBPROTOCOL",
    "TOKEN_PREFIX",
    "Headers",
    "RequestHead",
    "accept_value",
    "offered_subprotocols",
    "offered_token",
    "parse_request",
    "response_101",
    "response_error",
    "response_head",
    "select_subprotocol",
    "upgrade_key",
]

SUBPROTOCOL: Final = "odac.v1"
RESUME: Final = "odac.resume"
"""Offered beside it by a client that says where it was: the server waits for that."""
TOKEN_PREFIX: Final = "odac-token-"  # noqa: S105 - a prefix, not a secret

_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)
_SPOKEN: Final = b"Sec-WebSocket-Protocol: %s\r\n" % SUBPROTOCOL.encode()
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET: Final = re.compile(rb"[\x21-\x7e]+")
_VERSION: Final = re.compile(rb"HTTP/[0-9]\.[0-9]")
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BREAKS: Final = re.compile(rb"[\x00\r\n]")
HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+;=\-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_OFFER: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz, "
KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
_PRINTABLE: Final = bytes((0x09, *range(0x20, 0x7F)))
_OBSOLETE: Final = bytes(range(0x80, 0x100))
"""Bytes that a header value may hold (RFC 9110 section 5.5, obs-text), though none of a handshake's own may."""

_HANDSHAKE_HEADERS: Final = frozenset(
    {
        b"host",
        b"upgrade",
        b"connection",
        b"origin",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-protocol",
        b"sec-websocket-extensions",
    }
)
_LISTS: Final = (b"upgrade", b"connection", b"sec-websocket-protocol", b"sec-websocket-extensions")
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
"""What browsers send, which needs no checking."""

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
        data: begins with the request line and holds the empty line that ends the head; what follows is not looked at.
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
        or (parts[0] != b"GET" and _TOKEN.fullmatch(parts[0]) is None)
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
    rest = data[start:stop].translate(None, _PRINTABLE) if lines else b""
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
        if not colon or _TOKEN.fullmatch(name) is None:
            raise HandshakeError(400, "a header line has no name and colon")
        lower = name.lower()
    if _CONTROLS.search(value) is not None:
        raise HandshakeError(400, f"control character in the header {lower.decode()[:40]}")
    return lower, value.strip(b" \t")


def upgrade_key(head: RequestHead) -> bytes:
    """Check that a request is a WebSocket handshake (RFC 6455 section 4.2.1) and return its ``Sec-WebSocket-Key``.

    Raises:
        HandshakeError: 405 for a method other than GET, 426 for another version of the protocol or no upgrade at all,
            400 for everything else.
    """
    if head.method != b"GET":
        raise HandshakeError(405, "a WebSocket handshake is a GET request", (("Allow", "GET"),))
    if not head.version.startswith(b"HTTP/1.") or head.version == b"HTTP/1.0":  # RFC 6455 section 4.2.1: 1.1 or higher
        raise HandshakeError(400, "a WebSocket handshake takes HTTP/1.1")
    values: dict[bytes, list[bytes]] = {}
    for name, value in head.headers:
        if name in _HANDSHAKE_HEADERS:
            if value.translate(None, _PRINTABLE):
                raise HandshakeError(400, f"the header {name.decode()} holds a character that is not printable ASCII")
            values.setdefault(name, []).append(value)
        elif name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            raise HandshakeError(400, "a WebSocket handshake has no body")
    for name in _LISTS:
        lines = values.get(name)
        if lines is not None and b",".join(lines).count(b",") >= MAX_LIST:
            raise HandshakeError(400, f"the header {name.decode()} lists more than {MAX_LIST} elements")
    hosts = values.get(b"host", ())
    if len(hosts) != 1 or HOST.fullmatch(hosts[0]) is None:
        raise HandshakeError(400, "exactly one Host header with a host name and an optional port is needed")
    if not _has_token(values.get(b"upgrade", ()), b"websocket"):
        raise HandshakeError(
            426, "this address speaks WebSocket only", (("Upgrade", "websocket"), ("Connection", "Upgrade"))
        )
    if not _has_token(values.get(b"connection", ()), b"upgrade"):
        raise HandshakeError(400, "the Connection header must name Upgrade; a proxy in between may have removed it")
    if values.get(b"sec-websocket-version") != [b"13"]:
        raise HandshakeError(426, "Sec-WebSocket-Version must be 13", (("Sec-WebSocket-Version", "13"),))
    keys = values.get(b"sec-websocket-key", ())
    if len(keys) != 1 or KEY.fullmatch(keys[0]) is None:
        raise HandshakeError(400, "exactly one Sec-WebSocket-Key of 16 bytes in base64 is needed")
    return keys[0]


def _has_token(values: Sequence[bytes], token: bytes) -> bool:
    return token in values or any(
        element.strip(b" \t").lower() == token for value in values for element in value.split(b",")
    )


def accept_value(key: bytes) -> bytes:
    """Return the ``Sec-WebSocket-Accept`` that answers a ``Sec-WebSocket-Key`` (RFC 6455 section 4.2.2)."""
    return b2a_base64(sha1(key + _GUID, usedforsecurity=False).digest(), newline=False)


def offered_subprotocols(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """Return what ``Sec-WebSocket-Protocol`` offers, in the client's order, each once.

    Raises:
        HandshakeError: 400 when it offers something that is not a token, too much, or nothing.
    """
    values = [value for name, value in headers if name == b"sec-websocket-protocol"]
    if not values:
        return []
    if len(values) == 1 and not values[0].translate(None, _OFFER):
        # As clients write it: tokens with a comma, and at most one space, between them.
        joined = values[0].decode("ascii").replace(", ", ",")
        usual = joined.split(",")
        if len(usual) <= MAX_LIST and " " not in joined and all(usual):
            return list(dict.fromkeys(usual)) if len(usual) > 1 else usual
    try:
        offered = split_list([value.decode("ascii") for value in values])
    except (Malformed, UnicodeDecodeError):
        raise HandshakeError(400, f"Sec-WebSocket-Protocol takes at most {MAX_LIST} ASCII tokens") from None
    if not offered or not all(map(is_token, offered)):
        # The value is not shown: it may hold a token that must not get into a log.
        raise HandshakeError(400, "Sec-WebSocket-Protocol must be a list of tokens")
    return list(dict.fromkeys(offered))


def select_subprotocol(offered: Sequence[str], allowed: Sequence[str]) -> str | None:
    """Return the one subprotocol that the server answers with, or None.

    Args:
        offered: what the client offers, in its order.
        allowed: what the route lists.

    ``odac.v1`` wins. An offer of nothing but tokens is answered with the first, because a browser drops a connection
    whose offer goes unanswered. Otherwise it is the first offered that the route lists.
    """
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    if offered and all(name.startswith(TOKEN_PREFIX) for name in offered):
        return offered[0]
    for name in offered:
        if name in allowed:
            return name
    return None


def offered_token(offered: Sequence[str]) -> str | None:
    """Return the token that the client put among its subprotocols, or None."""
    for name in offered:
        if name.startswith(TOKEN_PREFIX):
            return name[len(TOKEN_PREFIX) :]
    return None


def response_101(
    accept: bytes, subprotocol: str | None, extensions: str | None, headers: Iterable[tuple[bytes, bytes]] = ()
) -> bytes:
    """Return the answer that opens the connection.

    Args:
        accept: see :func:`accept_value`.
        subprotocol: the selected one, or None.
        extensions: the value of ``Sec-WebSocket-Extensions``, or None.
        headers: further headers, such as cookies.

    Raises:
        ValueError: a header holds a line break or NUL, or its name is not a token.
    """
    lines = [_SWITCHING, accept, b"\r\n"]
    if subprotocol == SUBPROTOCOL:
        lines.append(_SPOKEN)
    elif subprotocol is not None:
        lines.append(_header_line("Sec-WebSocket-Protocol", subprotocol))
    if extensions is not None:
        lines.append(_header_line("Sec-WebSocket-Extensions", extensions))
    for name, value in headers:
        lines.append(_header_line(name, value))
    lines.append(b"\r\n")
    return b"".join(lines)


def response_error(
    status: int, headers: Iterable[tuple[bytes, bytes]] | Iterable[tuple[str, str]] = (), body: bytes | str = b""
) -> bytes:
    """Return the answer that refuses the handshake; the connection ends with it.

    Args:
        status: the HTTP status, 4xx or 5xx (or any other that the application chose).
        headers: further headers; with none for the type, the body is plain text.
        body: what a person reads.

    Raises:
        ValueError: a header holds a line break or NUL, or its name is not a token.
    """
    content = body.encode() if isinstance(body, str) else body
    own = {b"content-length", b"connection"}
    kept: list[tuple[bytes | str, bytes | str]] = []
    typed = False
    for name, value in headers:
        lower = (name.encode("latin-1") if isinstance(name, str) else name).lower()
        typed = typed or lower == b"content-type"
        if lower not in own:
            kept.append((name, value))
    if content and not typed:
        kept.append((b"Content-Type", b"text/plain; charset=utf-8"))
    # "Connection: Upgrade" belongs to the header Upgrade of a 426 answer (RFC 9110 section 7.8); close says the rest.
    kept += [(b"Content-Length", b"%d" % len(content)), (b"Connection", b"close")]
    return response_head(status, kept) + content


def response_head(status: int, headers: Iterable[tuple[bytes | str, bytes | str]]) -> bytes:
    """Return the head of an HTTP answer, with nothing added.

    Raises:
        ValueError: a header holds a line break or NUL, or its name is not a token.
    """
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    lines = [_header_line(name, value) for name, value in headers]
    return b"".join([f"HTTP/1.1 {status:03d} {phrase}\r\n".encode(), *lines, b"\r\n"])


def _header_line(name: bytes | str, value: bytes | str) -> bytes:
    name = name.encode("latin-1") if isinstance(name, str) else name
    value = value.encode("latin-1") if isinstance(value, str) else value
    if _TOKEN.fullmatch(name) is None or _BREAKS.search(value) is not None:
        raise ValueError(f"the header {name!r} must be a token, and its value hold no line break or NUL")
    return name + b": " + value + b"\r\n"
