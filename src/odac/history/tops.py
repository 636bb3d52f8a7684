"""The tops of rooms, published once more after their last append: so that the loss of a last message shows, too."""

from __future__ import annotations

from typing import Final

from odac.history.store import Appended, HistoryStore, encode_notice

__all__ = ["TOP_AFTER", "Tops"]

TOP_AFTER: Final = 5.0
"""Seconds after a room's last append at which its top is published once more."""


class Tops:
    """The rooms that a sender has appended to, and where their logs stood then."""

    __slots__ = ("_tops",)

    def __init__(self) -> None:
        self._tops: dict[str, tuple[float, Appended]] = {}

    def __len__(self) -> int:
        return len(self._tops)

    def appended(self, channel: str, done: Appended, now: float) -> None:
        """Note an append: the time until its room's top is published begins anew."""
        self._tops[channel] = (now, done)

    async def publish(self, store: HistoryStore, before: float) -> None:
        """Publish the tops of the rooms whose last append was at or before a time.

        Raises:
            BrokerError: the store is away; what has not been published yet is published by the next call.
        """
        for channel, (then, done) in tuple(self._tops.items()):
            if then <= before:
                await store.publish(channel, encode_notice(done.epoch, done.top))
                if self._tops.get(channel) == (then, done):
                    del self._tops[channel]
