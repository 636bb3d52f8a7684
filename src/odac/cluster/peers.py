"""Which other processes run, judged by their heartbeats and by this process's clock alone."""

from __future__ import annotations

from typing import Final

__all__ = ["Peers"]

REMEMBERED: Final = 600.0
"""Seconds for which a process that sends nothing is remembered, because its heartbeats may resume."""


class Peers:
    """The processes that have recently sent a heartbeat.

    Args:
        patience: seconds of silence after which a process counts as gone.
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
        """A process sent a heartbeat; return for how many seconds it had counted as gone before, or 0."""
        self._heard[origin] = now
        return now - self._silent.pop(origin, now)

    def gone(self, origin: bytes) -> None:
        """A process announced that it stops."""
        self._heard.pop(origin, None)
        self._silent.pop(origin, None)

    def expire(self, now: float) -> list[bytes]:
        """Return the processes that have been silent for too long, which count as gone from now on."""
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
