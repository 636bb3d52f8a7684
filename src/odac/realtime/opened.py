"""When connections were opened, for orders to close those that were open before."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import Final

__all__ = ["order_time", "time_opened"]

_SHARED: Final = 0.001
"""Seconds within which connections share one float: a server that starts again gets thousands a second. The time of an
order from another process is less exact than that.
"""

_last = -inf


def time_opened() -> float:
    """The time of a connection that opens now, by :func:`time.monotonic`; up to 1 ms early."""
    global _last
    now = monotonic()
    if not 0 <= now - _last <= _SHARED:  # below 0: a test has moved the clock back
        _last = now
    return _last


def order_time() -> float:
    """The time of an order that is given now: connections that open later have a later time."""
    global _last
    now = monotonic()
    _last = -inf
    return now
