"""Which other processes run, judged by their heartbeats and by this process's clock alone.

A process that has sent no heartbeat for some time is *silent*; one that announced its stop has *left*. A silent process
counts as *gone* for presence when its silence lasts (:mod:`odac.presence.others`).
"""

from __future__ import annotations

from typing import Final

__all__ = ["Peers"]

REMEMBERED: Final = 600.0
"""Seconds for which a process that sends nothing is remembered, because its heartbeats may resume."""


class Peers:
    """The processes that have recently sent a heartbeat.

    Args:
        patience: seconds without a heartbeat after which a process counts as silent.
    """

    __slots__ = ("_heard", "_patience", "_silent")

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._heard: dict[bytes, float] = {}
        self._silent: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._heard)

    def __contains__(self, origin: object) -> bool:
        return origin in self._heard

    @property
    def origins(self) -> frozenset[bytes]:
        """Their ids."""
        return frozenset(self._heard)

    def heard(self, origin: bytes, now: float) -> float:
        """A process sent a heartbeat; return for how many seconds it had sent none if it was silent, or 0."""
        self._heard[origin] = now
        return now - self._silent.pop(origin, now)

    def left(self, origin: bytes) -> None:
        """A process announced that it stops."""
        self._heard.pop(origin, None)
        self._silent.pop(origin, None)

    def expire(self, now: float) -> list[bytes]:
        """Return the processes that have just become silent."""
        silent = [origin for origin, heard in self._heard.items() if now - heard > self._patience]
        for origin in silent:
            self._silent[origin] = self._heard.pop(origin)
        for origin in [origin for origin, heard in self._silent.items() if now - heard > REMEMBERED]:
            del self._silent[origin]
        return silent

    def excuse(self, seconds: float) -> None:
        """Disregard so many seconds of silence, because this process did not read in that time."""
        for origin in self._heard:
            self._heard[origin] += seconds
