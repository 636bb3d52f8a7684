"""Orders to all connections of an audience, in this process and the others: close, join or leave a room, be counted."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from odac.realtime.audience import Audience, is_private
from odac.realtime.identity_orders import IdentityOrders
from odac.realtime.opened import order_time
from odac.realtime.ports import Count

if TYPE_CHECKING:
    from odac.realtime.connection import Connection
    from odac.realtime.internal_ports import HubOfOrders

__all__ = ["Orders"]


class Orders:
    """Carries out an order in this process and sends it to the others.

    The bus calls the methods that end in ``_local`` for an order of another process.

    Args:
        hub: this process's hub.
        on_close: called with every audience that is closed, before its connections are.
    """

    def __init__(self, hub: HubOfOrders, on_close: Callable[[Audience], None] | None) -> None:
        self._hub = hub
        self._on_close = on_close
        self._identity_orders = IdentityOrders()

    def _matching(self, audience: Audience) -> list[Connection]:
        found = self._hub.delivery.members(audience.rooms, audience.within)
        return [connection for connection in found if connection.id not in audience.excluded]

    def missed(self, room: str, connection_id: str, opened_at: float) -> tuple[int, str] | None:
        """Code and reason of an order to close that a connection missed because it was not in the room then."""
        return self._identity_orders.missed(room, connection_id, opened_at)

    def move(self, audience: Audience, room: str, *, joins: bool) -> None:
        """Make the audience's connections join or leave a room, in this process and all others; from any thread."""
        delivery = self._hub.delivery
        if get_ident() == delivery.thread:
            self.move_local(audience, room, joins=joins)
            self._hub.bus.move(audience, room, joins=joins)
        else:
            delivery.loop.call_soon_threadsafe(partial(self.move, audience, room, joins=joins))

    def move_local(self, audience: Audience, room: str, *, joins: bool) -> None:
        """Make this process's connections of the audience join or leave a room."""
        if self._hub.delivery.is_writing:
            self._hub.delivery.later(partial(self.move_local, audience, room, joins=joins))
            return
        for connection in self._matching(audience):
            if joins:
                with suppress(ValueError):  # the connection is in the maximum number of rooms, which is logged
                    connection.join(room)
            else:
                connection.leave(room)

    def close(self, audience: Audience, code: int, reason: str, given: float | None = None) -> None:
        """Close the audience's connections, in this process and all others; from any thread.

        Args:
            audience: the connections to close.
            code: the close code.
            reason: the close reason that clients get.
            given: when the order was given, by :func:`time.monotonic`; by default now. Connections opened later stay
                open.
        """
        delivery = self._hub.delivery
        if given is None:
            given = order_time()
        if get_ident() == delivery.thread:
            history = self._hub.history
            # Not after pending sends to a user's inbox: the connections of a user who is locked out close at once.
            named = [room for room in audience.rooms if not is_private(room)]
            if history is not None and history.behind(tuple(named), lambda: self.close(audience, code, reason, given)):
                return
            self.close_local(audience, code, reason, given)
            self._hub.bus.close(audience, code, reason, given)
        else:
            delivery.loop.call_soon_threadsafe(self.close, audience, code, reason, given)

    def close_local(self, audience: Audience, code: int, reason: str, given: float) -> None:
        """Close this process's connections of the audience opened before ``given`` (:func:`time.monotonic`)."""
        if self._hub.delivery.is_writing:
            self._hub.delivery.later(self.close_local, audience, code, reason, given)
            return
        if self._on_close is not None:
            self._on_close(audience)
        self._identity_orders.note(audience, code, reason, given)
        for connection in self._matching(audience):
            if connection.opened_at <= given:
                connection.begin_close(code, reason)

    def count_local(self, audience: Audience) -> int:
        """How many of this process's connections are in the audience."""
        return len(self._matching(audience)) if self._hub.population else 0

    async def count(self, audience: Audience, timeout: float) -> Count:  # noqa: ASYNC109 - the wait is part of the contract
        """Ask all processes how many connections the audience has; from any event loop."""
        delivery = self._hub.delivery
        if get_ident() != delivery.thread:
            future = asyncio.run_coroutine_threadsafe(self.count(audience, timeout), delivery.loop)
            return await asyncio.wrap_future(future)
        others = await self._hub.bus.count_others(audience, timeout)
        return Count(self.count_local(audience) + others.total, others.answered + 1, others.expected + 1)
