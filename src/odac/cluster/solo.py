"""The bus of an app that runs in one process."""

from __future__ import annotations

from odac.cluster.counters import Counters
from odac.protocol.message import Prepared
from odac.realtime.audience import Audience
from odac.realtime.ports import Count, Part

__all__ = ["SoloBus"]


class SoloParts:
    """Fulfils :class:`odac.realtime.ports.PartLine` where there are no other processes."""

    healthy = True
    origins: frozenset[bytes] = frozenset()

    def add(self, name: str, part: Part) -> None:
        """Do nothing: there is no other process."""

    def tell_room(self, room: str, part: str, body: bytes) -> None:
        """Do nothing: there is no other process."""

    def tell_all(self, part: str, body: bytes) -> None:
        """Do nothing: there is no other process."""

    def tell(self, origin: bytes, part: str, body: bytes) -> None:
        """Do nothing: there is no other process."""


class SoloBus:
    """Fulfils :class:`odac.realtime.ports.Bus` where there are no other processes: nothing is encoded, sent or subscribed."""

    healthy = True
    processes = 1

    def __init__(self) -> None:
        self.counters = Counters()
        self.parts = SoloParts()

    def publish(self, audience: Audience, message: Prepared) -> None:
        """Do nothing: there is no other process."""

    def close(self, audience: Audience, code: int, reason: str, given: float) -> None:
        """Do nothing: there is no other process."""

    def move(self, audience: Audience, room: str, *, joins: bool) -> None:
        """Do nothing: there is no other process."""

    async def count_others(self, audience: Audience, timeout: float) -> Count:  # noqa: ASYNC109 - see BrokerBus
        """See :class:`odac.realtime.ports.Bus`."""
        return Count(0, 0, 0)

    def room_opened(self, room: str) -> None:
        """Do nothing: there is no other process."""

    def room_closed(self, room: str) -> None:
        """Do nothing: there is no other process."""

    async def start(self, wait: float = 2.0) -> None:
        """Do nothing: there is nothing to connect to."""

    async def stop(self) -> None:
        """Do nothing: there is nothing to disconnect from."""
