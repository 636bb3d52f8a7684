"""Log lines about clients that break the protocol or exceed a limit; they name the setting that changes the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odac.notices import limit_met, warn

if TYPE_CHECKING:
    from odac.config import RateLimit
    from odac.errors import ProtocolError
    from odac.realtime.policy import Policy

__all__ = ["close_unanswered", "closed_with", "too_fast"]


def closed_with(policy: Policy, error: ProtocolError) -> None:
    """Log that a client was closed because it broke the protocol or exceeded a limit."""
    if error.limit is None:
        warn("protocol", "%s: a client was closed with %s", policy.path, error)
    else:
        limit_met(error.limit, "%s: a client was closed with %s", policy.path, error)


def too_fast(policy: Policy, limit: RateLimit) -> None:
    """A client sent more than its rate limit allows, and is closed with 1008."""
    limit_met(
        "rate_limit",
        "%s: a client sent more than %d messages%s in %g s and was closed with 1008 (Limits.rate_limit, or"
        " rate_limit= of the route)",
        policy.path,
        limit.max,
        f" or {limit.bytes} bytes" if limit.bytes is not None else "",
        limit.window,
    )


def close_unanswered(policy: Policy) -> None:
    """A client did not answer the close frame within ``Limits.close_timeout``, and was cut off."""
    limit_met(
        "close_timeout",
        "%s: a client did not close within %g s and was cut off (Limits.close_timeout)",
        policy.path,
        policy.limits.close_timeout,
    )
