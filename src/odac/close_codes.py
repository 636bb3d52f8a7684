"""The close codes of WebSocket connections, each with a name.

1000 to 1015 are defined in RFC 6455 section 7.4.1 and the IANA registry that it sets up; 4000 to 4003 are Odac's own,
from the range that section 7.4.2 reserves for applications.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["CloseCode", "RETRYABLE", "SUPERSEDED", "is_retryable", "is_sendable"]


class CloseCode(IntEnum):
    """A close code; :attr:`meaning` is the sentence for it."""

    meaning: str

    def __new__(cls, code: int, meaning: str = "") -> CloseCode:
        """Make the member that is this int; ``CloseCode(4001)`` finds it."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    NORMAL = 1000, "normal closure"
    GOING_AWAY = 1001, "going away: the server drains or restarts, or the page was left"
    PROTOCOL_ERROR = 1002, "protocol error"
    UNSUPPORTED_DATA = 1003, "unsupported data"
    NO_STATUS = 1005, "the close frame had no code (never sent)"
    ABNORMAL = 1006, "the connection was lost without a close frame (never sent)"
    INVALID_DATA = 1007, "invalid data"
    POLICY_VIOLATION = 1008, "a limit was passed, such as the rate limit"
    MESSAGE_TOO_BIG = 1009, "message too big"
    EXTENSION_REQUIRED = 1010, "the client wanted an extension that the server did not agree to"
    INTERNAL_ERROR = 1011, "internal error"
    SERVICE_RESTART = 1012, "the service restarts, or the login has expired"
    TRY_AGAIN_LATER = 1013, "try again later: overloaded, or the client reads too slowly"
    MIDDLEWARE_REJECTED = 4000, "a middleware rejected the connection"
    UNAUTHORIZED = 4001, "not authenticated"
    INVALID_TOKEN = 4002, "the token is missing, expired or not this session's"
    FORBIDDEN = 4003, "a middleware forbade the connection"


SUPERSEDED: Final = "the client has connected again"
"""The reason with which a client's older connection is closed: the code is 1000, although the client has not left."""

RETRYABLE: Final = frozenset(
    {
        CloseCode.GOING_AWAY,
        CloseCode.PROTOCOL_ERROR,
        CloseCode.ABNORMAL,
        CloseCode.INTERNAL_ERROR,
        CloseCode.SERVICE_RESTART,
        CloseCode.TRY_AGAIN_LATER,
    }
)
"""The codes after which a client reconnects by itself. After 4002, it fetches a new token and retries once."""


def is_retryable(code: int) -> bool:
    """Whether a client that was closed with ``code`` may reconnect by itself."""
    return code in RETRYABLE or code == CloseCode.NO_STATUS


def is_sendable(code: int) -> bool:
    """Whether a close frame may contain ``code`` (RFC 6455 section 7.4).

    1004 to 1006 and 1015 are for reporting only; 1000 to 2999 are reserved for the protocol, which defines 1000 to
    1014; 3000 to 4999 are for libraries and applications.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
