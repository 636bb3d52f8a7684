"""The opening handshake of a server (RFC 6455 section 4.2): bytes to a checked request, and the bytes of the answer."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from hashlib import sha1
from http import HTTPStatus
from typing import Final

from odac.errors import HandshakeError
from odac.speedups import compiled
from odac.wire.headers import MAX_LIST, Malformed, is_token, split_list
from odac.wire.request import HOST, KEY, PRINTABLE, TOKEN, RequestHead

__all__ = [
    "AUTH",
    "RESUME",
    "SUBPROTOCOL",
    "TOKEN_PREFIX",
    "accept_value",
    "offered_subprotocols",
    "offered_token",
    "reference_usual_offer",
    "reference_usual_response",
    "response_101",
    "response_error",
    "response_head",
    "select_subprotocol",
    "upgrade_key",
    "usual_offer",
    "usual_response",
]

SUBPROTOCOL: Final = "odac.v1"
AUTH: Final = "odac.auth"
"""Offered by a client that sends a bearer token as its first message; the server never selects it."""

RESUME: Final = "odac.resume"
"""Offered by a client that then sends its positions in rooms with history: the server waits for them."""
TOKEN_PREFIX: Final = "odac-token-"  # noqa: S105 - a prefix, not a secret

_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)
_SUBPROTOCOL_LINE: Final = b"Sec-WebSocket-Protocol: %s\r\n" % SUBPROTOCOL.encode()
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BREAKS: Final = re.compile(rb"[\x00\r\n]")
_MOST_OFFERED: Final = 8
"""Tokens of a usual offer: the compiled function compares each with those before it."""
_OFFER: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz, "

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
            if value.translate(None, PRINTABLE):
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
        raise HandshakeError(426, "this address speaks WebSocket only", (("Upgrade", "websocket"),))
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


def reference_usual_offer(headers: Sequence[tuple[bytes, bytes]]) -> list[str] | None:
    """Return what one ``Sec-WebSocket-Protocol`` offers as clients write it, in their order, each once.

    Args:
        headers: of the handshake.

    Returns:
        The tokens; an empty list if there is no such header. None if the offer is written in another way: in several
        headers, with other separators than a comma and at most one space, or with more than eight tokens.
    """
    values: list[bytes] = []
    for name, value in headers:
        if name == b"sec-websocket-protocol":
            values.append(value)
    if not values:
        return []
    if len(values) > 1 or values[0].translate(None, _OFFER):
        return None
    joined = values[0].decode("ascii").replace(", ", ",")
    tokens = joined.split(",")
    if len(tokens) > _MOST_OFFERED or " " in joined or not all(tokens):
        return None
    return list(dict.fromkeys(tokens)) if len(tokens) > 1 else tokens


usual_offer = compiled("usual_offer", reference_usual_offer)


def offered_subprotocols(headers: Sequence[tuple[bytes, bytes]]) -> list[str]:
    """Return what ``Sec-WebSocket-Protocol`` offers, in the client's order, each once.

    :func:`usual_offer` does it for most handshakes, and is called first.

    Raises:
        HandshakeError: 400 when it offers something that is not a token, too much, or nothing.
    """
    values = [value for name, value in headers if name == b"sec-websocket-protocol"]
    if not values:
        return []
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
    whose offer is not answered. Otherwise it is the first offered that the route lists.
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
    """Return the token that the client sent among its subprotocols, or None."""
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
        lines.append(_SUBPROTOCOL_LINE)
    elif subprotocol is not None:
        lines.append(_header_line("Sec-WebSocket-Protocol", subprotocol))
    if extensions is not None:
        lines.append(_header_line("Sec-WebSocket-Extensions", extensions))
    for name, value in headers:
        lines.append(_header_line(name, value))
    lines.append(b"\r\n")
    return b"".join(lines)


def reference_usual_response(key: bytes, speaks_odac: bool) -> bytes:
    """The answer to a key, with no header but the protocol's own.

    Args:
        key: 24 bytes of ``Sec-WebSocket-Key``.
        speaks_odac: whether ``odac.v1`` is selected.
    """
    return response_101(accept_value(key), SUBPROTOCOL if speaks_odac else None, None)


usual_response = compiled("usual_response", reference_usual_response)


def response_error(
    status: int, headers: Iterable[tuple[bytes, bytes]] | Iterable[tuple[str, str]] = (), body: bytes | str = b""
) -> bytes:
    """Return the answer that refuses the handshake; the connection ends with it.

    Args:
        status: the HTTP status, 4xx or 5xx (or any other that the application chose).
        headers: further headers; without a Content-Type, the body is plain text.
        body: an explanation for people.

    Raises:
        ValueError: a header holds a line break or NUL, or its name is not a token.
    """
    content = body.encode() if isinstance(body, str) else body
    own = {b"content-length", b"connection"}
    kept: list[tuple[bytes | str, bytes | str]] = []
    typed, connection = False, b"close"
    for name, value in headers:
        lower = (name.encode("latin-1") if isinstance(name, str) else name).lower()
        typed = typed or lower == b"content-type"
        if lower == b"upgrade":
            connection = b"Upgrade, close"  # RFC 9110 section 7.8: Connection must name the header Upgrade
        if lower not in own:
            kept.append((name, value))
    if content and not typed:
        kept.append((b"Content-Type", b"text/plain; charset=utf-8"))
    kept += [(b"Content-Length", b"%d" % len(content)), (b"Connection", connection)]
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
    if TOKEN.fullmatch(name) is None or _BREAKS.search(value) is not None:
        raise ValueError(f"the header {name!r} must be a token, and its value hold no line break or NUL")
    return name + b": " + value + b"\r\n"
