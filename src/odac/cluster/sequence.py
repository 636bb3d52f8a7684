"""What has arrived from whom: what is missing, what came twice, and what came too late."""

from __future__ import annotations

from typing import Final

from odac.cluster.envelope import UNNUMBERED, Envelope

__all__ = ["Sequence", "Numbers"]

MAX_ORIGINS: Final = 1024
"""Publishers remembered per channel: short-lived ones (cron jobs) never say goodbye."""
MAX_SHARED: Final = 8192
MAX_CHANNELS: Final = 65_536


class Numbers:
    """Numbers what this process publishes, channel by channel. Bounded: a channel long unused begins anew at 0."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def take(self, channel: str, count: int) -> int:
        """Return the number of the first of ``count`` items on this channel."""
        # Taken out and put back, so that the channel unused for longest is the first.
        number = self._next.pop(channel, 0)
        self._next[channel] = number + count
        if len(self._next) > MAX_CHANNELS:
            del self._next[next(iter(self._next))]
        return number


class Sequence:
    """Keeps the last sequence and number of every publisher on every channel this process listens to.

    Attributes:
        lost: items that were published on such a channel and did not arrive, as later ones showed.
        late: envelopes dropped because a later one of the same publisher and channel had been delivered.
    """

    __slots__ = ("_channels", "_older", "_shared", "late", "lost")

    def __init__(self) -> None:
        self._channels: dict[str, dict[bytes, tuple[int, int]]] = {}
        self._older: dict[str, dict[bytes, tuple[int, int]]] = {}
        self._shared: dict[tuple[bytes, int], None] = {}
        self.lost = 0
        self.late = 0

    def accept(self, channel: str, envelope: Envelope) -> bool:
        """Enter an envelope; return whether it is to be delivered.

        A connection given up and built again can bring old envelopes after newer ones; they are dropped, because the
        order within a room is promised and its completeness is not.
        """
        if envelope.number == UNNUMBERED:
            return True
        origins = self._channels.get(channel)
        if origins is None:
            origins = self._channels[channel] = {}
        last = origins.pop(envelope.origin, None)
        if last is None and channel in self._older:
            last = self._older[channel].pop(envelope.origin, None)
        if last is not None:
            sequence, expected = last
            if envelope.sequence <= sequence:
                origins[envelope.origin] = last
                self.late += 1
                return False
            if envelope.number > expected:
                self.lost += envelope.number - expected
        if len(origins) >= MAX_ORIGINS:
            del origins[next(iter(origins))]
        origins[envelope.origin] = (envelope.sequence, envelope.number + len(envelope.items))
        return not envelope.shared or self._first_copy((envelope.origin, envelope.sequence))

    def forget_channel(self, channel: str) -> None:
        """Forget a channel that this process listens to no longer: what passes there from now on is not missed."""
        self._channels.pop(channel, None)
        self._older.pop(channel, None)

    def age(self) -> None:
        """Forget what nothing was entered for since this was called last: publishers come and go, and not all say so."""
        self._older, self._channels = self._channels, {}

    def _first_copy(self, key: tuple[bytes, int]) -> bool:
        if key in self._shared:
            return False
        self._shared[key] = None
        if len(self._shared) > MAX_SHARED:
            del self._shared[next(iter(self._shared))]
        return True
