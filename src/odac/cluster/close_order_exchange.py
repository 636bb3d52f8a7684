"""Sends orders to close connections to the other processes, and executes the orders that they send."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from odac.cluster.channels import Channels
from odac.cluster.clocks import Clocks
from odac.cluster.close_orders import CloseOrders, Kept
from odac.cluster.envelope import Close
from odac.cluster.outgoing import Outgoing, channels_of
from odac.realtime.audience import Audience, session_of
from odac.realtime.ports import LocalHub

__all__ = ["CloseOrderExchange", "copies_of"]


def order_channels(channels: Channels, audience: Audience) -> tuple[str, ...]:
    """The channels on which an order to close is executed as soon as it arrives.

    The end of a session is sent to every process: its cookie must be refused even where it has no connections.
    """
    if any(session_of(room) is not None for room in audience.rooms):
        return (channels.everyone,)
    return channels_of(channels, audience)


def copies_of(channels: Channels, order: Close) -> list[tuple[tuple[str, ...], Close]]:
    """The copies of an order that are published, with their channels.

    One goes to the channels of its audience, in order with the messages there; one to all processes, which keep it for
    processes that are cut off now.
    """
    first = order_channels(channels, order.audience)
    copies = [(first, order)]
    if first != (channels.everyone,):
        kept = Close(order.audience, order.code, order.reason, order.id, order.given, order.sent, keep=True)
        copies.append(((channels.everyone,), kept))
    return copies


class CloseOrderExchange:
    """The orders of this process and of the others.

    Args:
        hub: this process's connections.
        channels: the channel names of this application.
        outgoing: publishes the orders.
        clock: seconds that never go back.

    Attributes:
        clocks: translates the times in the orders of other processes.
    """

    __slots__ = ("_channels", "_clock", "_hub", "_orders", "_outgoing", "clocks")

    def __init__(self, hub: LocalHub, channels: Channels, outgoing: Outgoing, clock: Callable[[], float]) -> None:
        self.clocks = Clocks()
        self._hub = hub
        self._channels = channels
        self._outgoing = outgoing
        self._clock = clock
        self._orders = CloseOrders()

    def give(self, audience: Audience, code: int, reason: str, given: float) -> None:
        """Order the other processes to close their connections of an audience; this process has closed its own."""
        order = Close(audience, code, reason, secrets.randbits(63), given, given)
        kept = self._orders.note(order, given, self._clock())
        kept.executed = True
        self._publish(kept)

    def heard(self, origin: bytes, order: Close) -> None:
        """Another process has sent an order: execute it, unless it was executed before."""
        now = self._clock()
        given = self.clocks.translate(origin, order.given, order.sent, now)
        kept = self._orders.note(order, given, now)
        if not order.keep:
            self._execute(kept)

    def tick(self, before: float) -> None:
        """Execute the orders kept since before that time whose other copy has not arrived."""
        for kept in self._orders.late(before):
            self._execute(kept)

    def resend_to_all(self, since: float) -> None:
        """Send all processes again the orders since that time, which may not have reached them."""
        now = self._clock()
        for kept in self._orders.since(since):
            self._orders.resent(kept, now)
            self._publish(kept)

    def resend_to_one(self, inbox: str, since: float) -> None:
        """Send one process the orders since that time, which it may have missed."""
        for kept in self._orders.since(since):
            self._outgoing.add((inbox,), self._now(kept))

    def _publish(self, kept: Kept) -> None:
        for channels, copy in copies_of(self._channels, self._now(kept)):
            self._outgoing.add(channels, copy)

    def _now(self, kept: Kept) -> Close:
        """The order as this process sends it now: with times on its own clock."""
        order = kept.order
        return Close(order.audience, order.code, order.reason, order.id, kept.given, self._clock())

    def _execute(self, kept: Kept) -> None:
        if not kept.executed:
            kept.executed = True
            order = kept.order
            self._hub.orders.close_local(order.audience, order.code, order.reason, kept.given)
