"""Decides whether and when the client connects again, without a clock or a socket."""

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
"""Each delay is this many times as long as the one before."""

CAP: Final = 30.0
"""The longest delay, in seconds."""

STABLE: Final = 5.0
"""After a connection that stayed open for this many seconds, attempts are counted from 0 again."""


@dataclass(slots=True)
class Reconnect:
    """Counts attempts, and returns after each the delay until the next.

    Args:
        enabled: False turns reconnecting off; after a refused token, one attempt with a new token is still made.
        delay: seconds before the first retry; delays are at most :data:`CAP`.
        max_attempts: retries since the last connection that stayed open for :data:`STABLE` seconds; None for no limit.
        random: returns a number from 0 to 1. Every delay is scaled by a factor from 0.5 to 1, so that clients that were
            disconnected at once do not reconnect at once.
        fresh_token: whether a fresh token can be requested; without one 4002 is final.
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
                f"max_reconnect_attempts={attempts!r}: must be a whole number from 0, or None for no limit"
            )

    def after(self, error: Exception, *, stayed: float = 0.0, drain: float | None = None) -> float | None:
        """Seconds to wait before the next attempt, None to stay closed.

        Args:
            error: why the connection ended, or could not be made.
            stayed: seconds that it had been open.
            drain: seconds to wait that the server named when it announced that it would close.
        """
        if stayed > 0:
            self._was_open = True
        if stayed >= STABLE:
            self.attempts = 0
            self._token_retried = False
        if isinstance(error, Disconnected):
            if error.code == CloseCode.INVALID_TOKEN:
                return self._with_fresh_token()
            return self._next(drain=drain) if is_retryable(error.code) else None
        if isinstance(error, HandshakeRefused):
            # A page or a redirect, where a connection was open before, is not from the server: it is the login page of
            # a network, or from a proxy in front of a server that restarts.
            from_another = self._was_open and error.status < 400
            return self._next(at_least=error.retry_after) if error.may_retry or from_another else None
        # A certificate that is not trusted will not be trusted in three seconds. TimeoutError is an OSError.
        if isinstance(error, OSError) and not isinstance(error, ssl.SSLCertVerificationError):
            return self._next()
        return None

    @property
    def exhausted(self) -> bool:
        """Whether as many attempts were made as ``max_attempts`` allows."""
        return self.enabled and self.max_attempts is not None and self.attempts >= self.max_attempts

    def _with_fresh_token(self) -> float | None:
        # This is the second half of one attempt, not a reconnection, so ``enabled`` does not matter.
        if self._token_retried or not self.fresh_token:
            return None
        self._token_retried = True
        return 0.0

    def _next(self, *, at_least: float = 0.0, drain: float | None = None) -> float | None:
        if not self.enabled or self.exhausted:
            return None
        # The exponent is bounded, because without max_attempts the power would eventually overflow.
        delay = min(self.delay * FACTOR ** min(self.attempts, 64), CAP)
        self.attempts += 1
        if drain is not None:
            return min(drain, CAP)  # not scaled: the server names different delays to its clients
        return max(delay * (0.5 + self.random() / 2), min(at_least, CAP))
