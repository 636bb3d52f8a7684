"""The exceptions that Odac raises, as one tree.

::

    OdacError
    ├── ConfigurationError      the app's configuration is wrong; found at start, the message names the fix
    │   └── BrokerNotConfigured publishing where no broker connects processes
    ├── Disconnected            receive() on a connection that has ended
    ├── ProtocolError           the peer broke RFC 6455, RFC 7692 or a limit; carries the close code
    ├── HandshakeError          a handshake refused before the upgrade; carries the HTTP status
    ├── InvalidMessage          a message that is not what the route declared
    ├── CallError               a call that is refused, or has no answer; carries a code
    └── BrokerError             the broker cannot be reached or refused

Wrong arguments are the built-in errors: ``ValueError`` (a close code that may not be sent, a room name that is not
allowed) and ``TypeError`` (data that is not JSON).
"""

from __future__ import annotations

import re
from typing import Final

from odac.close_codes import CloseCode

__all__ = [
    "BrokerError",
    "BrokerNotConfigured",
    "CallError",
    "ConfigurationError",
    "Disconnected",
    "HandshakeError",
    "InvalidMessage",
    "OdacError",
    "ProtocolError",
]


# How validators name the place: "Expected `int`, got `str` - at `$.moves[0].x`", "Object missing required field `x`".
_PLACE: Final = re.compile(r" - at `(?:key in `)?\$([^`]*)`+$")
_NAMED: Final = re.compile(r"^Object (?:missing required|contains unknown) field `([^`]*)`")


class OdacError(Exception):
    """The base class of all errors that Odac defines."""


class ConfigurationError(OdacError):
    """The app's configuration is wrong. The message names the fix."""


class BrokerNotConfigured(ConfigurationError):
    """A message cannot reach other processes, because no broker connects them."""


class Disconnected(OdacError):
    """The connection has ended.

    Args:
        code: the close code; 1005 or 1006 if no close frame contained one.
        reason: from the peer or from this side, at most 123 UTF-8 bytes.
    """

    def __init__(self, code: int = CloseCode.ABNORMAL, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the connection was closed with {self.code}" + (f": {self.reason}" if self.reason else "")


class ProtocolError(OdacError):
    """The peer sent data that is not allowed, and its connection is closed.

    Args:
        code: the close code that the peer gets.
        reason: says what to do, at most 123 UTF-8 bytes.
        limit: the field of ``Limits`` that was exceeded, if any.
    """

    def __init__(self, code: CloseCode, reason: str, limit: str | None = None) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.limit = limit

    def __str__(self) -> str:
        return f"{int(self.code)} {self.reason}"


class HandshakeError(OdacError):
    """A handshake is refused before the upgrade.

    Args:
        status: the HTTP status of the answer.
        reason: a sentence for the body.
        headers: further headers of the answer (name, value), such as ``Sec-WebSocket-Version``.
    """

    def __init__(self, status: int, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = headers

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.reason}"


class InvalidMessage(OdacError):
    """A received message is not of the type that the route declared with ``message=``, or cannot be decoded.

    Args:
        reason: which field is wrong, and how.

    Attributes:
        field: the field's place in the message, such as ``moves[0].x``; empty where it is the message as a whole.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def field(self) -> str:
        """See the attributes of the class."""
        place, named = _PLACE.search(self.reason), _NAMED.search(self.reason)
        parts = (place[1] if place else "", named[1] if named else "")
        return ".".join(part for part in parts if part).removeprefix(".")


class CallError(OdacError):
    """A call was refused or has no answer. A function that answers calls raises it to refuse one.

    Args:
        code: for the caller's program: one of the application's own, or ``unknown`` (nothing answers such a call),
            ``invalid`` (the arguments), ``busy`` (too many at once), ``timeout``, ``cancelled``, ``interrupted`` (it is
            not known whether it was executed) or ``internal`` (the function that answers raised; see the log).
        text: for people.
    """

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return f"{self.code}: {self.text}" if self.text else self.code


class BrokerError(OdacError):
    """The broker cannot be reached, or has refused a request."""
