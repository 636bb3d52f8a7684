"""Numbers this process's items, and detects by the numbers of other processes what is missing, duplicated or late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from odac.cluster.envelope import UNNUMBERED, Envelope

__all__ = ["Numbers", "Sequence"]

MAX_ORIGINS: Final = 1024
"""Publishers remembered per channel: short-lived ones (cron jobs) do not announce that they end."""
MAX_SHARED: Final = 8192
MAX_CHANNELS: Final = 65_536


class Numbers:
    """The numbers of this process's items on each channel. Bounded: a channel long unused begins at 0 again."""

    __slots__ = ("_channels",)

    def __init__(self) -> None:
        # The next number, and when the first and the last one were taken. The channel used last is at the end.
        self._channels: dict[str, tuple[int, float, float]] = {}

    def take(self, channel: str, count: int, now: float) -> int:
        """Return the number of the first of ``count`` items on this channel."""
        number, first, _ = self._channels.pop(channel, (0, now, now))
        self._channels[channel] = (number + count, first, now)
        if len(self._channels) > MAX_CHANNELS:
            del self._channels[next(iter(self._channels))]
        return number

    def used_since(self, then: float) -> Iterator[tuple[str, int, float, float]]:
        """The channels that were published on at that time or later, the latest first: the channel, its next number,
        when its first number was taken, and when its last one was.
        """
        for channel, (number, first, last) in reversed(self._channels.items()):
            if last < then:
                return
            yield channel, number, first, last


class Sequence:
    """Keeps the last sequence and number of every publisher on every channel this process listens to.

    Attributes:
        lost: items that were published on such a channel and did not arrive, as a later item or a tail showed.
        late: envelopes dropped because a later one of the same publisher and channel had been delivered.
    """

    __slots__ = ("_channels", "_older", "_shared", "_unsettled", "late", "lost")

    def __init__(self) -> None:
        self._channels: dict[str, dict[bytes, tuple[int, int]]] = {}
        self._older: dict[str, dict[bytes, tuple[int, int]]] = {}
        self._shared: dict[tuple[bytes, int], None] = {}
        self._unsettled: dict[str, set[bytes]] = {}
        self.lost = 0
        self.late = 0

    def accept(self, channel: str, envelope: Envelope) -> bool:
        """Record an envelope; return whether it is to be delivered.

        After a reconnect, old envelopes can arrive after newer ones; they are dropped, because order within a room is
        guaranteed and completeness is not.
        """
        if envelope.number == UNNUMBERED:
            return True
        origins, last = self._last(channel, envelope.origin)
        if last is not None:
            sequence, expected = last
            if envelope.sequence <= sequence:
                self.late += 1
                return False
            if envelope.number > expected and not self._is_pardoned(channel, envelope.origin):
                self.lost += envelope.number - expected
        if len(origins) >= MAX_ORIGINS and envelope.origin not in origins:
            del origins[next(iter(origins))]
        origins[envelope.origin] = (envelope.sequence, envelope.number + len(envelope.items))
        return not envelope.shared or self._first_copy((envelope.origin, envelope.sequence))

    def tail(self, channel: str, origin: bytes, published: int, *, from_the_first: bool) -> None:
        """Count what is missing at the end of what a publisher has published on a channel so far.

        Args:
            channel: one that this process listens to.
            origin: the publisher.
            published: the number of items that it has published there.
            from_the_first: whether this process listened before the first of them. If it did not, and nothing of the
                publisher ever arrived, it is unknown how many of them it should have received.
        """
        origins, last = self._last(channel, origin)
        sequence, expected = last or (0, 0)
        if published > expected and (last is not None or from_the_first):
            if not self._is_pardoned(channel, origin):
                self.lost += published - expected
            origins[origin] = (sequence, published)

    def forget_channel(self, channel: str) -> None:
        """Forget a channel that this process no longer listens to: later messages there do not count as lost."""
        self._channels.pop(channel, None)
        self._older.pop(channel, None)
        self._unsettled.pop(channel, None)

    def resubscribed(self, channel: str) -> None:
        """A new subscription may deliver messages that were sent for an earlier one: the gap between is no loss."""
        self._unsettled[channel] = set()

    def settled(self, channel: str) -> None:
        """The new subscription is in effect: from now on, every gap is a loss."""
        self._unsettled.pop(channel, None)

    def age(self) -> None:
        """Forget publishers of whom nothing was recorded since the last call: not all announce that they end."""
        self._older, self._channels = self._channels, {}

    def _last(self, channel: str, origin: bytes) -> tuple[dict[bytes, tuple[int, int]], tuple[int, int] | None]:
        """Return the publishers of a channel, and one's last sequence and next number; it becomes the latest used."""
        origins = self._channels.get(channel)
        if origins is None:
            origins = self._channels[channel] = {}
        last = origins.pop(origin, None)
        if last is None and channel in self._older:
            last = self._older[channel].pop(origin, None)
        if last is not None:
            origins[origin] = last
        return origins, last

    def _is_pardoned(self, channel: str, origin: bytes) -> bool:
        pardoned = self._unsettled.get(channel)
        if pardoned is None or origin in pardoned:
            return False
        pardoned.add(origin)
        return True

    def _first_copy(self, key: tuple[bytes, int]) -> bool:
        if key in self._shared:
            return False
        self._shared[key] = None
        if len(self._shared) > MAX_SHARED:
            del self._shared[next(iter(self._shared))]
        return True
