"""Orders to close connections: kept for a while for the processes that could not hear them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from odac.cluster.envelope import Close

__all__ = ["CloseOrders"]

KEPT: Final = 4096
KEPT_SECONDS: Final = 600.0
"""An outage that is longer, or has more orders, loses the oldest of them."""
REMEMBERED: Final = 16_384


class _Given(NamedTuple):
    at: float
    channels: tuple[str, ...]
    order: Close


class CloseOrders:
    """The orders that this process gave lately, and the ids of those that it got.

    Other than a message, an order is told again after an outage: a session that has ended must not stay open because the
    broker was away. Its id keeps who heard it the first time from closing who came after it.
    """

    __slots__ = ("_given", "_got")

    def __init__(self) -> None:
        self._given: deque[_Given] = deque(maxlen=KEPT)
        self._got: dict[int, None] = {}

    def given(self, at: float, channels: tuple[str, ...], order: Close) -> None:
        """This process gave an order on these channels."""
        while self._given and self._given[0].at < at - KEPT_SECONDS:
            self._given.popleft()
        self._given.append(_Given(at, channels, order))

    def since(self, then: float) -> Iterator[tuple[tuple[str, ...], Close]]:
        """The orders that this process gave after that time, the oldest first, with their channels."""
        return ((channels, order) for at, channels, order in list(self._given) if at >= then)

    def got(self, order: Close) -> bool:
        """Enter an order of another process; return whether it is the first time. Without an id it always is."""
        if not order.id:
            return True
        if order.id in self._got:
            return False
        self._got[order.id] = None
        if len(self._got) > REMEMBERED:
            del self._got[next(iter(self._got))]
        return True
