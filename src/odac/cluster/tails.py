"""Counts messages that were lost at the end of a run, which no later message would show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from odac.cluster.envelope import Tails
from odac.cluster.listening import Listening
from odac.cluster.sequence import Numbers, Sequence

__all__ = ["PendingTails", "tails_of"]

MOST: Final = 4096
"""Channels whose tails one process sends at a time, the most recently used first."""
AT_ONCE: Final = 512


def tails_of(numbers: Numbers, since: float, until: float, now: float) -> Iterator[Tails]:
    """Return the tails of the channels on which this process last published between two times, cut into items."""
    entries = []
    for channel, number, first, last in numbers.used_since(since):
        if last < until:
            entries.append((channel, number, first))
            if len(entries) == MOST:
                break
    for start in range(0, len(entries), AT_ONCE):
        yield Tails(now, entries[start : start + AT_ONCE])


class PendingTails:
    """The tails received from other processes, held until messages that were still in transit have arrived.

    Args:
        sequence: counts what is missing.
        listening: the room channels of this process.
        always: the channels that this process listens to from its start on.
        margin: seconds that a subscription may need to take effect.
    """

    __slots__ = ("_always", "_due", "_listening", "_margin", "_new", "_sequence")

    def __init__(self, sequence: Sequence, listening: Listening, always: tuple[str, ...], margin: float) -> None:
        self._sequence = sequence
        self._listening = listening
        self._always = always
        self._margin = margin
        self._new: dict[tuple[str, bytes], tuple[int, float]] = {}
        self._due: dict[tuple[str, bytes], tuple[int, float]] = {}

    def note(self, origin: bytes, channel: str, published: int, first: float) -> None:
        """A process has sent the tail of a channel.

        Args:
            origin: the process.
            channel: this process may or may not listen to it.
            published: how many items it has published there.
            first: when the first of them was published, on this process's clock.
        """
        if channel in self._listening or channel in self._always:
            self._new[channel, origin] = (published, first)

    def tick(self) -> None:
        """An interval has passed: count what is still missing at least one whole interval after its tail arrived."""
        due, self._due, self._new = self._due, self._new, {}
        for (channel, origin), (published, first) in due.items():
            since = float("-inf") if channel in self._always else self._listening.since(channel)
            if since is not None:
                self._sequence.tail(channel, origin, published, from_the_first=first > since + self._margin)
