"""The latest orders to close a user's or session's connections, for connections whose user is not known yet."""

from __future__ import annotations

from typing import Final, NamedTuple

from odac.realtime.audience import Audience, is_private

__all__ = ["IdentityOrders"]

KEPT: Final = 4096


class _Order(NamedTuple):
    given: float
    excluded: frozenset[str]
    code: int
    reason: str


class IdentityOrders:
    """Keeps the last order for each user and session.

    A connection joins its user's room once the user has been looked up, which may take a while: an order that
    is given meanwhile concerns that connection as well.
    """

    __slots__ = ("_orders",)

    def __init__(self) -> None:
        self._orders: dict[str, _Order] = {}

    def note(self, audience: Audience, code: int, reason: str, given: float) -> None:
        """Keep an order, if it is one for a user or a session as a whole."""
        if audience.within:
            return
        for room in audience.rooms:
            if is_private(room):
                self._orders.pop(room, None)
                self._orders[room] = _Order(given, audience.excluded, code, reason)
                if len(self._orders) > KEPT:
                    del self._orders[next(iter(self._orders))]

    def missed(self, room: str, connection_id: str, opened_at: float) -> tuple[int, str] | None:
        """Return the close code and reason of an order that a connection missed because it joins the room only now."""
        order = self._orders.get(room)
        if order is None or opened_at > order.given or connection_id in order.excluded:
            return None
        return order.code, order.reason
