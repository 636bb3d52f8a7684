"""Notices a proxy that cuts silent connections before the first ping: their ends come with striking regularity."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Any, Final

from odac.close_codes import CloseCode
from odac.notices import warn

__all__ = ["CUTS", "IdleCuts"]

CUTS: Final = 5
"""So many ends in a row, all at the same age, are no coincidence."""

_SAME: Final = 0.5
"""Seconds by which these ages may differ: clients and networks differ by more."""
_APART: Final = 1.0
"""Seconds between two ends that count: connections that a single event has cut say nothing about silence."""


class IdleCuts:
    """Watches at what age connections end without a close frame.

    A connection on which nothing is sent is cut by a proxy's idle timeout that long after its handshake, if that is
    shorter than ``Limits.ping_interval``; the client reconnects, and is cut again after the same time. Only ends
    younger than the interval are looked at, so that a ping has played no part yet.
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
                " between ends silent connections before the first ping. Set ping_interval (Limits, %g s now) below"
                " that time, or raise the proxy's (nginx: proxy_read_timeout, HAProxy: timeout tunnel)",
                CUTS,
                age,
                ping_interval,
            )
