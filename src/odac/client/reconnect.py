"""When to connect again, and when to stay closed: pure decisions, no clock and no socket."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from odac.client.errors import HandshakeRefused
from odac.close_codes import CloseCode, is_retryable
from odac.errors import Disconnected

__all__ = ["CAP", "FACTOR", "STABLE", "Reconnect"]

FACTOR: Final = 1.5
"""Each wait is this many times as long as the one before."""

CAP: Final = 30.0
"""No wait is longer than this many seconds."""

STABLE: Final = 5.0
"""A connection that stayed open for this many seconds makes the count of attempts start again."""


@dataclass(slots=True)
class Reconnect:
    """Counts attempts, and says after each end how long to wait for the next.

    Args:
        enabled: False turns reconnecting off; after a refused token, one attempt with a new token is made all the same.
        delay: seconds before the first retry, at most :data:`CAP`.
        max_attempts: retries since the last connection that stayed open for :data:`STABLE` seconds; None has no bound.
        random: gives a number from 0 to 1. Every wait is scaled by a factor from 0.5 to 1, so that a thousand clients
            do not return in the same instant.
        fresh_token: whether a fresh token can be asked for; without one 4002 is final.
    """

    enabled: bool
    delay: float
    max_attempts: int | None
    random: Callable[[], float]
    fresh_token: bool
    attempts: int = 0
    _token_retried: bool = False
    _was_open: bool = False

    def __post_init__(self) -> None:
        if (
            isinstance(self.delay, bool)
            or not isinstance(self.delay, (int, float))
            or not 0 <= self.delay < float("inf")
        ):
            raise ValueError(f"reconnect_delay={self.delay!r}: must be a number of seconds from 0")
        attempts = self.max_attempts
        if attempts is not None and (isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 0):
            raise ValueError(
                f"max_reconnect_attempts={attempts!r}: must be a whole number from 0, or None for no bound"
            )

    def after(self, error: Exception, *, stayed: float = 0.0, drain: float | None = None) -> float | None:
        """Seconds to wait before the next attempt, None to stay closed.

        Args:
            error: why the connection ended, or could not be made.
            stayed: seconds that it had been open.
            drain: seconds that the server asked to wait when it said that it would stop.
        """
        if stayed > 0:
            self._was_open = True
        if stayed >= STABLE:
            self.attempts = 0
            self._token_retried = False
        if isinstance(error, Disconnected):
            if error.code == CloseCode.INVALID_TOKEN:
                return self._with_fresh_token()
            return self._next(0.0, drain) if is_retryable(error.code) else None
        if isinstance(error, HandshakeRefused):
            # A server that was there answers no handshake with a page or a redirect: a network that wants somebody to
            # log in does, or a proxy in front of a server that restarts.
            elsewhere = self._was_open and error.status < 400
            return self._next(error.retry_after, None) if error.may_retry or elsewhere else None
        # A certificate that is not trusted now is not trusted in three seconds. TimeoutError is an OSError.
        if isinstance(error, OSError) and not isinstance(error, ssl.SSLCertVerificationError):
            return self._next(0.0, None)
        return None

    @property
    def exhausted(self) -> bool:
        """Whether the bound of attempts is what ended it."""
        return self.enabled and self.max_attempts is not None and self.attempts >= self.max_attempts

    def _with_fresh_token(self) -> float | None:
        # Not a reconnection but the second half of one attempt: it happens whatever ``enabled`` says.
        if self._token_retried or not self.fresh_token:
            return None
        self._token_retried = True
        return 0.0

    def _next(self, at_least: float, instead: float | None) -> float | None:
        if not self.enabled or self.exhausted:
            return None
        # The exponent is bounded so that a client that never gives up does not end in an OverflowError.
        wait = min(self.delay * FACTOR ** min(self.attempts, 64), CAP)
        self.attempts += 1
        if instead is not None:
            return min(instead, CAP)  # the server has spread its clients already
        return max(wait * (0.5 + self.random() / 2), min(at_least, CAP))
