"""Publishes the tops of rooms again after their last append, so that the loss of a last message is detected, too."""

from __future__ import annotations

from typing import Final

from odac.history.store import Appended, HistoryStore, encode_notice

__all__ = ["TOP_AFTER", "Tops"]

TOP_AFTER: Final = 5.0
"""Seconds after a room's last append at which its top is published again."""


class Tops:
    """The rooms that a sender has appended to, with the tops of their logs."""

    __slots__ = ("_tops",)

    def __init__(self) -> None:
        self._tops: dict[str, tuple[float, Appended]] = {}

    def __len__(self) -> int:
        return len(self._tops)

    def appended(self, channel: str, done: Appended, now: float) -> None:
        """Note an append: the time until its room's top is published starts again."""
        self._tops[channel] = (now, done)

    async def publish(self, store: HistoryStore, before: float) -> None:
        """Publish the tops of the rooms whose last append was at or before a time.

        Raises:
            BrokerError: the store cannot be reached; the next call publishes the remaining tops.
        """
        for channel, (then, done) in tuple(self._tops.items()):
            if then <= before:
                await store.publish(channel, encode_notice(done.epoch, done.top))
                if self._tops.get(channel) == (then, done):
                    del self._tops[channel]
