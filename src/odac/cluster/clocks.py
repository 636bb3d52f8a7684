"""Translates times of other processes into this process's clock, without relying on any machine's time of day."""

from __future__ import annotations

from typing import Final

__all__ = ["Clocks"]

WINDOW: Final = 60.0
"""Seconds of a window; a sample counts in its own and in the next one. Clocks drift by a few milliseconds meanwhile."""
JUMP: Final = 30.0
"""Seconds. No message travels that long, so a sample that is this much later shows that the other clock stopped."""


class Clocks:
    """The offsets between the clocks of the other processes and this process's clock.

    Every process has a clock of its own that never goes back and starts at an arbitrary value. A heartbeat carries the
    sender's clock, so that ``arrival - sent`` is the offset of the two clocks plus the latency of the message. The
    smallest of these samples is the offset plus the shortest latency, which is well under a millisecond on one
    network. A translated time is therefore never too early, and too late by no more than that.
    """

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        # Origin: when the window began, the smallest sample in it, and the smallest one of the window before.
        self._samples: dict[bytes, tuple[float, float, float]] = {}

    def sample(self, origin: bytes, theirs: float, now: float) -> None:
        """Note that a message that ``origin`` sent at ``theirs``, on its clock, has arrived at ``now``."""
        distance = now - theirs
        began, smallest, before = self._samples.get(origin, (now, distance, distance))
        if now - began > 2 * WINDOW or distance > min(smallest, before) + JUMP:
            began, smallest, before = now, distance, distance
        elif now - began > WINDOW:
            began, smallest, before = now, distance, smallest
        self._samples[origin] = (began, min(smallest, distance), before)

    def translate(self, origin: bytes, then: float, sent: float, now: float) -> float:
        """Return on this process's clock what was ``then`` on the clock of ``origin``.

        Args:
            origin: the process that sent it.
            then: the time, on its clock.
            sent: when it sent it, by its own clock.
            now: when that arrived here. It is the only sample of a process that sent no heartbeat.
        """
        _, smallest, before = self._samples.get(origin, (0.0, now - sent, now - sent))
        return then + min(smallest, before, now - sent)

    def forget(self, origin: bytes) -> None:
        """Forget a process that is silent or has left."""
        self._samples.pop(origin, None)
