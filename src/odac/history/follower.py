"""Keeps one feed up to date with its room's log.

It waits until its own probe comes back, reads the log, and drops entries that arrive and are not above the feed's top.
After a gap in the numbers or an outage, it reads the missing entries; if they are no longer kept, it notifies the
members.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from odac.errors import BrokerError
from odac.history.entries import prepare
from odac.history.feed_port import FeedPort
from odac.history.owner import Owner
from odac.history.pages import Pages
from odac.history.recovery import Recoveries
from odac.history.store import EPOCH_BYTES, EVERYTHING, Notice, Slice
from odac.realtime.hub import Hub

__all__ = ["Follower"]

_log = logging.getLogger("odac")

PROBE_FIRST: Final = 0.02
PROBE_LONGEST: Final = 1.0
PAUSE_AFTER_FAILURE: Final = 1.0
REPLAY_UNKNOWN: Final = 256
"""Entries that the first read asks for if a member has sent a position: most members have missed fewer."""


class Follower:
    """Receives what the store publishes for one feed.

    Args:
        feed: the room's feed.
        owner: the owner of all feeds.
        hub: owns the task.
        recoveries: the room's recoveries.
        pages: the room's page reads.

    Attributes:
        is_instant: whether the store is in this process alone, so that the feed is never behind it.
        synced: how often the feed was brought up to the store's top.
    """

    __slots__ = (
        "_again",
        "_early",
        "_feed",
        "_has_begun",
        "_hub",
        "_owner",
        "_pages",
        "_probe",
        "_probe_back",
        "_recoveries",
        "_task",
        "_unproven",
        "is_instant",
        "synced",
    )

    def __init__(self, feed: FeedPort, owner: Owner, hub: Hub, recoveries: Recoveries, pages: Pages) -> None:
        self._feed = feed
        self._owner = owner
        self._hub = hub
        self._recoveries = recoveries
        self._pages = pages
        self._early: list[Notice] | None = None
        self._has_begun = False
        self._unproven = True
        self._again = False
        self._task: asyncio.Task[None] | None = None
        self._probe = 0
        self._probe_back: asyncio.Event | None = None
        self.is_instant = False
        self.synced = 0

    @property
    def is_syncing(self) -> bool:
        """Whether the feed is being brought up to the store's top."""
        return self._task is not None

    @property
    def next_sync(self) -> int:
        """What ``synced`` is after the first sync that begins from now on."""
        return self.synced + (2 if self.is_syncing else 1)

    def take(self, notice: Notice) -> None:
        """A store has published something on the room's channel."""
        feed = self._feed
        if notice.probe:
            if notice.epoch == self._owner.origin and notice.first == self._probe and self._probe_back is not None:
                self._probe_back.set()
            return
        if self._early is not None:
            if len(self._early) < self._owner.limits.history_notices:
                self._early.append(notice)
            else:
                feed.counters.rereads += not self._again
                self._again = True
            return
        if notice.changed:
            self.sync(prove=False)
        elif not notice.entries:
            if notice.epoch != (feed.epoch or bytes(EPOCH_BYTES)) or notice.first > feed.top:
                self.sync(prove=False)
        elif notice.epoch == feed.epoch or (feed.epoch is None and notice.first == 1):
            self._take_entries(notice)
        else:
            self.sync(prove=False)

    def _take_entries(self, notice: Notice) -> None:
        feed = self._feed
        if notice.first > feed.top + 1:
            self.sync(prove=False)
            # The entries that have arrived are read again, together with those before them.
            return
        new = notice.entries[feed.top + 1 - notice.first :]
        if new:
            feed.begin(notice.epoch)
            feed.emit([prepare(entry) for entry in new])

    def start_at(self, found: Slice) -> None:
        """Start with the result of a read from a store in this process."""
        feed = self._feed
        feed.ring.clear()
        feed.epoch, feed.top, self._recoveries.revoked = found.epoch, found.top, dict(found.revoked)
        feed.ring.add([prepare(entry) for entry in found.entries])
        feed.is_ready = self._has_begun = self.is_instant = True

    def sync(self, *, prove: bool) -> None:
        """Bring the feed up to the store's top; with ``prove``, wait first until its subscription is known to work."""
        self._unproven = self._unproven or prove
        if prove:
            self._feed.is_ready = False
        if self._task is not None:
            self._again = True
            return
        self._early = []
        self._task = asyncio.get_running_loop().create_task(self._sync(), name="odac: history feed")
        self._hub.keep(self._task)

    def close(self) -> None:
        """The feed has no members left."""
        if self._task is not None:
            self._task.cancel()

    async def _sync(self) -> None:
        try:
            await self._owner.agreed.wait()  # before that it is not known which positions are good
            await self._follow()
        finally:
            self._task = self._early = None
        self.synced += 1
        self._pages.run_waiting()

    async def _follow(self) -> None:
        """Get in step, again and again where that fails for a reason that no store tells."""
        while True:
            try:
                await self._get_in_step()
            except Exception:
                # Raised, it would end the task: the members would wait for good, and nobody would notice.
                _log.exception("%s: following the room's history failed; it is tried again", self._feed.room)
                self._unproven, self._early = True, []
            else:
                return
            await asyncio.sleep(PAUSE_AFTER_FAILURE)

    async def _get_in_step(self) -> None:
        while True:
            unbroken = not self._unproven
            while self._unproven:
                await self._prove()
            # This read includes everything that has arrived until now.
            self._early, self._again = [], False
            found = await self._catch_up(unbroken)
            if not self._again:
                self._take_early(found)
            if not self._again:
                break
            self._early = []
        self._feed.is_ready = True

    def _take_early(self, found: Slice) -> None:
        """Handle the notices that arrived during a read; a revoked user, an erased log or a gap needs another read."""
        self._recoveries.revoked = dict(found.revoked)
        early, self._early = self._early or [], None
        for notice in early:
            self.take(notice)

    async def _prove(self) -> None:
        """Publish probes until one comes back: messages that are published after it arrive, too."""
        back = self._probe_back = asyncio.Event()
        delay = PROBE_FIRST
        while not back.is_set():
            self._unproven = False
            self._probe += 1
            try:
                await self._feed.store.publish_probe(self._probe)
                async with asyncio.timeout(delay):
                    await back.wait()
            except TimeoutError:
                pass
            except BrokerError:
                await asyncio.sleep(delay)
            delay = min(2 * delay, PROBE_LONGEST)
        self._probe_back = None

    async def _catch_up(self, unbroken: bool) -> Slice:
        """Read up to the store's top.

        Args:
            unbroken: whether everything that was published since the last read has arrived, or will.
        """
        feed = self._feed
        first = not self._has_begun
        page = self._owner.limits.history_page
        while True:
            # The first read fills the cache for the waiting members; later reads continue at the top.
            after = -min(feed.history.size, self._wanted()) if first else feed.top
            found = await feed.store.read(after, EVERYTHING if first else page)
            if first:
                self._has_begun = True
                feed.epoch, feed.top = found.epoch, found.top
                feed.ring.add([prepare(entry) for entry in found.entries])
                return found
            if found.epoch is not None and found.epoch != feed.epoch and found.base == 0 and unbroken:
                # A new log, of which the members have received nothing yet.
                self._begin_again(found.epoch)
                continue
            if found.epoch == feed.epoch and found.base <= feed.top <= found.top:
                if not found.entries:
                    return found
                feed.emit([prepare(entry) for entry in found.entries])
                if feed.top >= found.top:
                    return found
                continue
            feed.ring.clear()
            feed.epoch, feed.top = found.epoch, found.top
            feed.tell_gap_to_all()
            return found

    def _begin_again(self, epoch: bytes) -> None:
        """Deliver a new log from its first entry: the room was empty, or its earlier log has expired or was erased."""
        feed = self._feed
        if feed.epoch is None:
            feed.begin(epoch)
            return
        feed.ring.clear()
        feed.epoch, feed.top = epoch, 0
        feed.tell_gap_to_all()

    def _wanted(self) -> int:
        waiting = self._pages.waiting
        return max([REPLAY_UNKNOWN if each.position is not None else each.replay for each in waiting], default=0) or 1
