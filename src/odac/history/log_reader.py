"""Reads a room's log from the store: retries until the store answers, with a bounded number of reads at a time."""

from __future__ import annotations

import asyncio
from typing import Final

from odac.errors import BrokerError
from odac.history.cursor import HistoryCounters
from odac.history.owner import Owner
from odac.history.rules import History
from odac.history.store import HistoryStore, Slice, StoreAway, encode_probe
from odac.notices import warn

__all__ = ["LogReader"]

READ_TIMEOUT: Final = 10.0
RETRY_FIRST: Final = 0.05
RETRY_LONGEST: Final = 2.0


class LogReader:
    """One room's log.

    Args:
        owner: the owner of all feeds.
        store: keeps the log.
        channel: the room's channel in the store.
        history: the room's rule.
        counters: the counters of all feeds.
    """

    __slots__ = ("_channel", "_counters", "_history", "_owner", "_store")

    def __init__(
        self, owner: Owner, store: HistoryStore, channel: str, history: History, counters: HistoryCounters
    ) -> None:
        self._owner = owner
        self._store = store
        self._channel = channel
        self._history = history
        self._counters = counters

    async def read(self, after: int, limit: int) -> Slice:
        """Read entries; see :meth:`odac.history.store.HistoryStore.read`. Retries while the store is unreachable."""
        delay = RETRY_FIRST
        while True:
            try:
                async with self._owner.reading(), asyncio.timeout(READ_TIMEOUT):
                    self._counters.reads += 1
                    return await self._store.read(self._channel, self._history, after, limit)
            except (BrokerError, TimeoutError) as error:
                if not isinstance(error, (StoreAway, TimeoutError)):
                    warn("history", "the history of a room cannot be read; retrying: %s", error)
            except Exception as error:
                # Raised, it would end the feed's task, and its members would wait for good.
                warn("history", "the history of a room cannot be read; retrying: %r", error)
            await asyncio.sleep(delay)
            delay = min(2 * delay, RETRY_LONGEST)

    async def publish_probe(self, number: int) -> None:
        """Publish a probe on the room's channel.

        Raises:
            BrokerError: the store does not accept it.
        """
        await self._store.publish(self._channel, encode_probe(self._owner.origin, number))
