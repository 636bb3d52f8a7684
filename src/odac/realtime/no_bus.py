"""The bus of a hub without other processes."""

from __future__ import annotations

from odac.protocol.message import Prepared
from odac.realtime.audience import Audience
from odac.realtime.ports import Count, Subsystem, SubsystemSender

__all__ = ["NoBus"]


class _NoSubsystems:
    """Implements :class:`odac.realtime.ports.SubsystemSender`: there is no other process to reach."""

    healthy = True
    origins: frozenset[bytes] = frozenset()

    def add(self, name: str, subsystem: Subsystem) -> None:
        """Do nothing."""

    def send_to_room(self, room: str, subsystem: str, body: bytes) -> None:
        """Do nothing."""

    def send_to_all(self, subsystem: str, body: bytes) -> None:
        """Do nothing."""

    def send_to(self, origin: bytes, subsystem: str, body: bytes) -> None:
        """Do nothing."""


class NoBus:
    """Implements :class:`odac.realtime.ports.Bus`: there is no other process to reach."""

    healthy = True
    subsystems: SubsystemSender = _NoSubsystems()

    def publish(self, audience: Audience, message: Prepared, *, unkept: bool = False) -> None:
        """Do nothing."""

    def close(self, audience: Audience, code: int, reason: str, given: float) -> None:
        """Do nothing."""

    def move(self, audience: Audience, room: str, *, joins: bool) -> None:
        """Do nothing."""

    async def count_others(self, audience: Audience, timeout: float) -> Count:  # noqa: ASYNC109 - part of the contract
        """Return a count of no connections in no processes."""
        return Count(0, 0, 0)

    def room_opened(self, room: str) -> None:
        """Do nothing."""

    def room_closed(self, room: str) -> None:
        """Do nothing."""
