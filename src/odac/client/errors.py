"""Errors of a client other than a lost connection."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from odac.errors import HandshakeError

__all__ = ["HandshakeRefused"]

# The client errors after which the same request may succeed later (RFC 9110 section 15.5, RFC 8470, RFC 6585).
_TRANSIENT = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class HandshakeRefused(HandshakeError):
    """The server answered a handshake, or the request for its token, with something other than success.

    Args:
        status: the HTTP status of the answer.
        reason: from the server's answer, or what to do about it.
        headers: the headers of the answer.
    """

    def __init__(self, status: int, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(status, reason, headers)

    @property
    def may_retry(self) -> bool:
        """Whether the same request may succeed later: after a server error (5xx), and after 408, 425 and 429."""
        return self.status >= 500 or self.status in _TRANSIENT

    @property
    def retry_after(self) -> float:
        """Seconds that the server asked to wait (RFC 9110 section 10.2.3); 0 if it named none, or a date."""
        for name, value in self.headers:
            if name.lower() == "retry-after" and value.strip().isascii() and value.strip().isdigit():
                return float(value)
        return 0.0


def refused(
    status: int, body: bytes | bytearray, headers: Mapping[str, str] | tuple[tuple[str, str], ...]
) -> HandshakeRefused:
    """The exception for an HTTP answer: its reason is the first line of the body, unless that is HTML; then, or without
    a body, the phrase of the status.
    """
    text = bytes(body[:500]).decode(errors="replace").strip()
    reason = text.splitlines()[0] if text and not text.startswith("<") else _phrase(status)
    pairs = headers if isinstance(headers, tuple) else tuple(headers.items())
    return HandshakeRefused(status, reason, pairs)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "refused"
