"""Sending to rooms with history: the history delivers the messages in the order in which it keeps them."""

from __future__ import annotations

from _thread import get_ident
from typing import TYPE_CHECKING

from odac.realtime.audience import Audience
from odac.realtime.sent import SENT, Sent

if TYPE_CHECKING:
    from odac.protocol.message import Prepared
    from odac.realtime.history import RoomHistory
    from odac.realtime.internal_ports import HubOfKeptSends

__all__ = ["send_where_kept"]


def send_where_kept(
    hub: HubOfKeptSends, history: RoomHistory, audience: Audience, message: Prepared, keep: bool
) -> Sent:
    """Send to an audience of which at least one room has history; from any thread.

    Args:
        hub: this process's hub.
        history: the history of these rooms.
        audience: the receivers.
        message: the prepared message.
        keep: False sends it without the history, after this process's sends that the history has not confirmed yet.

    Raises:
        ValueError: it is to be kept, and is for more than one room.
    """
    if keep:
        history.check(audience)
    delivery = hub.delivery
    here = get_ident() == delivery.thread
    if keep:
        if here:
            return history.send(audience.rooms[0], audience.excluded, message)
        receipt = history.receipt()
        delivery.loop.call_soon_threadsafe(history.send, audience.rooms[0], audience.excluded, message, receipt)
        return receipt
    if not here:
        delivery.loop.call_soon_threadsafe(hub.send, audience, message, False)
    elif not history.behind(
        audience.rooms + audience.within, lambda: send_where_kept(hub, history, audience, message, False)
    ):
        hub.deliver(audience, message)
        hub.bus.publish(audience, message, unkept=True)
    return SENT
