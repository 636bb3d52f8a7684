"""The bus of an app that is one process."""

from __future__ import annotations

from odac.cluster.counters import Counters
from odac.protocol.message import Prepared
from odac.realtime.audience import Audience
from odac.realtime.ports import Count, LocalHub

__all__ = ["SoloBus"]


class SoloBus:
    """Fulfils :class:`odac.realtime.ports.Bus` where there are no other processes: nothing is encoded, sent or subscribed.

    Args:
        hub: this process's connections.
    """

    healthy = True
    processes = 1

    def __init__(self, hub: LocalHub) -> None:
        self.counters = Counters()
        self._hub = hub

    def publish(self, audience: Audience, message: Prepared) -> None:
        """Nobody else is there."""

    def close(self, audience: Audience, code: int, reason: str) -> None:
        """Nobody else is there."""

    async def count(self, audience: Audience, timeout: float) -> Count:  # noqa: ASYNC109 - see BrokerBus
        """See :class:`odac.realtime.ports.Bus`."""
        return Count(self._hub.count_local(audience), 1, 1)

    def room_opened(self, room: str) -> None:
        """Nobody else needs to know."""

    def room_closed(self, room: str) -> None:
        """Nobody else needs to know."""

    async def start(self, wait: float = 2.0) -> None:
        """There is nothing to connect to."""

    async def stop(self) -> None:
        """There is nothing to disconnect from."""
