"""Detects a proxy that closes idle connections before the first ping: they all end at the same age."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Any, Final

from odac.close_codes import CloseCode
from odac.notices import warn

__all__ = ["CUTS", "IdleCuts"]

CUTS: Final = 5
"""The number of ends in a row at the same age that is no longer taken for a coincidence."""

_SAME: Final = 0.5
"""Seconds by which these ages may differ: clients and networks differ by more."""
_APART: Final = 1.0
"""The least seconds between two ends that count: connections that end together are no sign of an idle timeout."""


class IdleCuts:
    """Compares the ages at which connections end without a close frame.

    If a proxy's idle timeout is shorter than ``Limits.ping_interval``, the proxy cuts an idle connection that long
    after its handshake; the client reconnects, and is cut again after the same time. Only connections that end at an
    age below the interval count, so that no ping was sent on them.
    """

    __slots__ = ("_ages", "_last")

    def __init__(self) -> None:
        self._ages: deque[float] = deque(maxlen=CUTS)
        self._last = 0.0

    def ended(self, connection: Any, code: int, reason: str) -> None:
        """See :class:`odac.realtime.ports.Observer`."""
        if code == CloseCode.ABNORMAL:
            now = monotonic()
            age = now - connection.opened_at
            if age >= _APART:
                self.note(now, age, connection.policy.limits.ping_interval)

    def note(self, now: float, age: float, ping_interval: float) -> None:
        """A connection has ended without a close frame.

        Args:
            now: a monotonic time in seconds.
            age: seconds since its handshake.
            ping_interval: seconds between two pings of its route.
        """
        if not _APART <= age < ping_interval or now - self._last < _APART:
            return
        self._last = now
        ages = self._ages
        ages.append(age)
        if len(ages) == CUTS and max(ages) - min(ages) <= _SAME:
            ages.clear()
            warn(
                "idle",
                "%d connections in a row were cut %.0f s after they were opened, without a close frame: a proxy in"
                " between closes idle connections before the first ping. Set ping_interval (Limits, %g s now) below"
                " that time, or raise the proxy's timeout (nginx: proxy_read_timeout, HAProxy: timeout tunnel)",
                CUTS,
                age,
                ping_interval,
            )
