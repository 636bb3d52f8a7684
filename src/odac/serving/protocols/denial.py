"""The HTTP answer of an ASGI app that denies a handshake, framed as HTTP/1.1 requires and sent part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from odac.wire.handshake import response_head

__all__ = ["Denial"]

_WITHOUT_BODY: Final = (204, 205, 304)
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})


class Denial:
    """One response, from ``websocket.http.response.start`` to its last ``websocket.http.response.body``.

    Args:
        status: the HTTP status.
        headers: the app's headers.

    Raises:
        RuntimeError: the status is not that of a final response.
        ValueError: Content-Length is not a number, a name is not a token, or a value contains a line break or NUL.
    """

    __slots__ = ("_chunked", "_headers", "_left", "begun", "status")

    def __init__(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        if not 200 <= status < 600:
            raise RuntimeError(f"Invalid HTTP status code '{status}' in response.")
        self.begun = False
        self.status = status
        # The connection ends with this response, and its framing is decided here, once the body is known:
        # Transfer-Encoding excludes Content-Length (RFC 9112 section 6.2), and 204 has neither (RFC 9110 section 8.6).
        self._headers = [(name, value) for name, value in headers if name.lower() not in _FRAMING]
        lengths = [value for name, value in headers if name.lower() == b"content-length"]
        coded = any(name.lower() == b"transfer-encoding" for name, _ in headers)
        self._left = int(lengths[0]) if lengths and not coded else None
        self._chunked = False
        response_head(status, headers)  # raises at once if they are invalid, which is the caller's mistake

    def body(self, data: bytes, *, more: bool) -> bytes:
        """The bytes to send for a part of the body, with the head before the first part.

        Raises:
            RuntimeError: the length of the body differs from Content-Length.
        """
        head = b""
        if self.status in _WITHOUT_BODY:
            if not self.begun:
                head = response_head(self.status, [*self._headers, (b"Connection", b"close")])
                self.begun = True
            return head
        if not self.begun:
            head = self._head(data, more)
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise RuntimeError("Response content longer than Content-Length")
            if self._left and not more:
                raise RuntimeError("Response content shorter than Content-Length")
        self.begun = True
        if self._chunked:
            data = (b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + (b"" if more else b"0\r\n\r\n")
        return head + data

    def _head(self, data: bytes, more: bool) -> bytes:
        if self._left is None and not more:
            self._left = len(data)
        self._chunked = self._left is None
        framing = (b"Transfer-Encoding", b"chunked") if self._left is None else (b"Content-Length", b"%d" % self._left)
        headers = list(self._headers)
        if (data or more) and not any(name.lower() == b"content-type" for name, _ in headers):
            headers.append((b"Content-Type", b"text/plain; charset=utf-8"))
        return response_head(self.status, [*headers, framing, (b"Connection", b"close")])
