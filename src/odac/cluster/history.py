"""Make the rooms with history for a broker's URL."""

from __future__ import annotations

import asyncio
import time

from odac.brokers.history_registry import make_history
from odac.brokers.url import parse_url
from odac.cluster.channels import Channels
from odac.history.position import Tickets
from odac.history.rooms import HistoryRooms
from odac.history.store import HistoryStore
from odac.realtime.hub import Hub

__all__ = ["make_rooms"]


def make_rooms(url: str, hub: Hub, tickets: Tickets) -> HistoryRooms:
    """Return the rooms with history, to be started on the event loop that the hub runs on.

    Args:
        url: of the broker.
        hub: this process's connections.
        tickets: signs the positions from which clients may recover.

    Raises:
        ConfigurationError: this broker keeps no history.
    """

    def make() -> HistoryStore:
        # The loop's own clock, which a test can replace.
        loop = asyncio.get_running_loop()
        began = time.time() - loop.time()
        return make_history(url, lambda: began + loop.time(), hub.limits)

    make_history(url, time.time)  # so that a broker without history is found now
    return HistoryRooms(hub, tickets, make, Channels(parse_url(url).namespace).room)
