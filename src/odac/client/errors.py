"""Errors of a client other than a lost connection."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from odac.errors import HandshakeError

__all__ = ["HandshakeRefused"]

# A client error says that the same request will be refused again, but for these (RFC 9110 section 15.5, RFC 8470, RFC
# 6585).
_TRANSIENT = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class HandshakeRefused(HandshakeError):
    """The server answered a handshake, or the request for its token, with something other than success.

    Args:
        status: the HTTP status of the answer.
        reason: what the server said, or what to do about it.
        headers: the headers of the answer.
    """

    def __init__(self, status: int, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(status, reason, headers)

    @property
    def may_retry(self) -> bool:
        """Whether the same request may succeed later: a server error may pass, anything else stays as it is."""
        return self.status >= 500 or self.status in _TRANSIENT

    @property
    def retry_after(self) -> float:
        """Seconds that the server asked to wait (RFC 9110 section 10.2.3), 0 where it did not say."""
        for name, value in self.headers:
            if name.lower() == "retry-after" and value.strip().isascii() and value.strip().isdigit():
                return float(value)
        return 0.0


def refused(
    status: int, body: bytes | bytearray, headers: Mapping[str, str] | tuple[tuple[str, str], ...]
) -> HandshakeRefused:
    """The exception for an HTTP answer: its reason is the first line of the body, or the status's own phrase."""
    text = bytes(body[:500]).decode(errors="replace").strip()
    reason = text.splitlines()[0] if text and not text.startswith("<") else _phrase(status)
    pairs = headers if isinstance(headers, tuple) else tuple(headers.items())
    return HandshakeRefused(status, reason, pairs)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "refused"
