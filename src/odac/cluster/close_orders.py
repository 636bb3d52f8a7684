"""Orders to close connections: kept for a while for processes that were cut off from the broker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from odac.cluster.envelope import Close

__all__ = ["KEPT", "KEPT_SECONDS", "CloseOrders", "Kept"]

KEPT: Final = 4096
KEPT_SECONDS: Final = 600.0
"""Seconds. A longer outage, or more orders than are kept, loses the oldest orders."""


class Kept:
    """One order as this process keeps it.

    Args:
        order: the order.
        given: when it was given, on this process's clock: connections that were opened later stay open.
        since: when this process received it, or last sent it to all processes, on its own clock.
    """

    __slots__ = ("executed", "given", "order", "since")

    def __init__(self, order: Close, given: float, since: float) -> None:
        self.order = order
        self.given = given
        self.since = since
        self.executed = False


class CloseOrders:
    """The latest orders, of this process and of others.

    A message without a receiver is lost, but an order is sent again after an outage: a connection whose session has
    ended must not stay open because the broker was unreachable. Every process keeps every order that it receives, so
    that an order outlives the process that gave it, which may be draining, or a publisher that ended long ago.
    """

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[int, Kept] = {}  # by the order's id, the newest at the end

    def __len__(self) -> int:
        return len(self._kept)

    def note(self, order: Close, given: float, now: float) -> Kept:
        """Keep an order, and return it as it is kept; an order that is known already stays as it was."""
        kept = self._kept.get(order.id)
        if kept is None:
            self._expire(now)
            kept = self._kept[order.id] = Kept(order, given, now)
        return kept

    def resent(self, kept: Kept, now: float) -> None:
        """Note that an order was sent again to all reachable processes."""
        if self._kept.pop(kept.order.id, None) is not None:
            kept.since = now
            self._kept[kept.order.id] = kept

    def since(self, then: float) -> Iterator[Kept]:
        """The orders that this process received, or sent to all processes, at that time or later; the oldest first."""
        return (kept for kept in list(self._kept.values()) if kept.since >= then)

    def late(self, before: float) -> list[Kept]:
        """The orders that have been kept since before that time and were not executed here."""
        return [kept for kept in self._kept.values() if not kept.executed and kept.since < before]

    def _expire(self, now: float) -> None:
        while self._kept:
            oldest = next(iter(self._kept))
            if len(self._kept) < KEPT and self._kept[oldest].since >= now - KEPT_SECONDS:
                return
            del self._kept[oldest]
