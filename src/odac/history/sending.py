"""Sends to rooms with history: appends at once if the log is in this process, else through the appender."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from odac.errors import BrokerError
from odac.history.appender import Appender
from odac.history.cursor import HistoryCounters
from odac.history.entries import Kept
from odac.history.feeds import Feeds
from odac.history.rules import History
from odac.history.store import EPOCH_BYTES, Appended, HistoryStore, Message, encode_message
from odac.history.tops import Tops
from odac.notices import warn
from odac.protocol.message import Prepared
from odac.realtime.receipts import KeptSend
from odac.realtime.sent import SENT, Sent

if TYPE_CHECKING:
    from odac.realtime.hub import Hub

__all__ = ["Sending"]

REACH_TIMEOUT: Final = 1.0
STOP_TIMEOUT: Final = 1.0


class Sending:
    """This process's sends to rooms with history.

    Args:
        hub: this process's connections.
        feeds: the feeds of this process.
        counters: the counters of all feeds.

    Attributes:
        appender: None if the logs are in this process.
        tops: the tops of the rooms that it has sent to.
    """

    def __init__(self, hub: Hub, feeds: Feeds, counters: HistoryCounters) -> None:
        self.appender: Appender | None = None
        self.tops = Tops()
        self._hub = hub
        self._feeds = feeds
        self._counters = counters
        self._is_failing = False

    def start(self, store: HistoryStore) -> None:
        """Start to append to a store that is not in this process."""
        self.appender = Appender(store, self._feeds.origin, self._hub.limits, self._confirmed, self._failed)

    async def stop(self) -> None:
        """Send the queued messages."""
        if self.appender is not None:
            await self.appender.stop(STOP_TIMEOUT)
            self.appender = None

    def receipt(self) -> KeptSend:
        """A receipt that can be awaited on any thread."""
        delivery = self._hub.delivery
        return KeptSend(delivery.loop, delivery.thread)

    def send(
        self,
        room: str,
        channel: str,
        history: History,
        excluded: frozenset[str],
        message: Prepared,
        receipt: KeptSend | None,
    ) -> Sent:
        """Append a message to the room's log, from which the members of this process get it as well."""
        counters = self._counters
        counters.sent += 1
        body = encode_message(Message(tuple(excluded), message.opcode, message.payload))
        instant = self._feeds.instant
        if instant is not None:
            done, entries = instant.append_now(
                channel, history, self._feeds.origin, counters.sent, [body], os.urandom(EPOCH_BYTES)
            )
            feed = self._feeds.of(room)
            if feed is not None:
                entry = entries[0]
                feed.appended(done.epoch, (Kept(entry.offset, entry.time, message, tuple(excluded)),))
            if receipt is not None:
                receipt.confirmed()
            return SENT
        assert self.appender is not None
        receipt = receipt or self.receipt()
        self.appender.add(channel, history, body, receipt)
        return receipt

    def behind(self, channel: str, call: Callable[[], object]) -> bool:
        """Make a call after this process's unconfirmed sends to a room; return False if there are none."""
        return self.appender is not None and self.appender.behind(channel, call)

    async def _confirmed(self, channel: str, done: Appended) -> None:
        self._is_failing = False
        self.tops.appended(channel, done, asyncio.get_running_loop().time())
        feed = self._feeds.of_channel(channel)
        if feed is not None and feed.is_ready and feed.epoch in (None, done.epoch):
            try:
                async with asyncio.timeout(REACH_TIMEOUT):
                    await feed.reached(done.top)
            except TimeoutError:
                pass

    def _failed(self, error: BrokerError, unheard: int) -> None:
        self._counters.failed += 1
        if unheard and not self._is_failing:
            self._is_failing = True
            warn("history", "messages to rooms with history may be lost, and no caller awaits them: %s", error)

    def figures(self) -> dict[str, int]:
        """The bytes that are queued for the broker."""
        if self.appender is None:
            return {}
        return {"history_waiting": len(self.appender), "history_waiting_bytes": self.appender.waiting_bytes}
