"""Rooms with history: the interface of this package to the rest of the app.

Its modules: :mod:`odac.history.sending` appends, :mod:`odac.history.feeds` delivers, :mod:`odac.history.returning`
handles clients that reconnect, :mod:`odac.history.questions` serves the app's reads, and
:mod:`odac.history.agreement` keeps the rules in the broker.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from odac.errors import BrokerError
from odac.history.agreement import Agreement
from odac.history.cursor import HistoryCounters
from odac.history.feeds import Feeds
from odac.history.members import HistoryMembers
from odac.history.memory_store import MemoryStore
from odac.history.position import Tickets
from odac.history.questions import HistoryQuestions
from odac.history.returning import SUBSYSTEM, Returning
from odac.history.rules import History, RuleBook
from odac.history.sending import Sending
from odac.history.store import HistoryStore, decode_notice
from odac.history.tops import TOP_AFTER
from odac.notices import warn
from odac.protocol.message import Prepared
from odac.realtime.audience import Audience
from odac.realtime.receipts import MAX_REPLAY, KeptSend
from odac.realtime.sent import Sent

if TYPE_CHECKING:
    from odac.realtime.connection import Connection
    from odac.realtime.hub import Hub

__all__ = ["HistoryRooms"]

TEND_EVERY: Final = 2.5
RULES_EVERY: Final = 10.0


class HistoryRooms:
    """Implements :class:`odac.realtime.history.RoomHistory`, :class:`odac.realtime.ports.Observer`,
    :class:`odac.realtime.ports.LogListener` and :class:`odac.realtime.ports.Subsystem`.

    Args:
        hub: this process's connections.
        tickets: signs names and tickets.
        make_store: creates the store on the event loop that the app starts on.
        channel_of: returns the broker's channel of a room.

    Attributes:
        book: the rules that are in force.
        replay_of_users: how many entries of a user's inbox a new page gets.
        feeds: the feeds of the rooms with members.
    """

    def __init__(
        self,
        hub: Hub,
        tickets: Tickets,
        make_store: Callable[[], HistoryStore],
        channel_of: Callable[[str], str],
    ) -> None:
        self.book = RuleBook()
        self.replay_of_users = 0
        self.counters = HistoryCounters()
        self.channel_of = channel_of
        self._hub = hub
        self._make_store = make_store
        self._returning = Returning(hub, tickets, self.counters)
        self.feeds = Feeds(hub, tickets, os.urandom(16), channel_of, self.counters, self._returning)
        self._sending = Sending(hub, self.feeds, self.counters)
        self._questions = HistoryQuestions(self, hub)
        self._agreement = Agreement()
        self._members = HistoryMembers(hub, self, self._returning)
        self._tender: asyncio.Task[None] | None = None
        self._rules_at = 0.0  # when they are to be read again
        self.receipt = self._sending.receipt
        self.join = self._members.join
        self.leaves = self._members.leaves
        self.is_leaving = self._members.is_leaving
        self.departed = self.feeds.departed
        self.resume = self._returning.resume
        self.greet = self._returning.greet
        self.recognized = self._returning.recognized
        self.refused = self._returning.ended
        self.history = self._questions.history
        self.forget = self._questions.forget
        self.revoke = self._questions.revoke

    # The rules

    def keep_inboxes(self, history: History, replay: int) -> None:
        """Add the rule for the users' inboxes."""
        book, self.replay_of_users = self.book.with_users(history), _checked_replay(replay)
        self.book = book

    # Start and stop

    async def start(self) -> None:
        """Connect to the store, on the event loop of the hub.

        Raises:
            ConfigurationError: the store cannot give the guarantees of history.
        """
        self.feeds.origin = os.urandom(16)  # drawn here, because the app may have been created before a fork
        store = self._make_store()
        await store.start()
        instant = store if isinstance(store, MemoryStore) and store.is_alone else None
        self.feeds.start(store, instant)
        self._agreement.is_reached = False
        if instant is None:
            self._sending.start(store)
            await self._agree()
        else:
            self.feeds.agreed.set()
        self._hub.bus.subsystems.add(SUBSYSTEM, self)
        self._hub.delivery.on_congested = self._members.congested
        self._tender = asyncio.get_running_loop().create_task(self._tend(), name="odac: history")

    async def stop(self) -> None:
        """Send the queued messages, and disconnect."""
        if self._tender is not None:
            self._tender.cancel()
            await asyncio.gather(self._tender, return_exceptions=True)
            self._tender = None
        await self._sending.stop()
        self._members.stop()
        store = self.feeds.store
        self.feeds.stop()
        if store is not None:
            await store.stop()

    @property
    def store(self) -> HistoryStore:
        """The store of the logs.

        Raises:
            RuntimeError: the app is not running.
        """
        if self.feeds.store is None:
            raise RuntimeError("the app is not running in this process, or not yet: a server has to start it")
        return self.feeds.store

    async def _tend(self) -> None:
        loop = asyncio.get_running_loop()
        self._rules_at = loop.time() + RULES_EVERY
        while True:
            await asyncio.sleep(TEND_EVERY)
            try:
                self.feeds.close_unused(loop.time())
                if self.feeds.instant is not None:
                    self.feeds.instant.rings.expire()
                else:
                    if loop.time() >= self._rules_at or not self._agreement.is_reached:
                        self._rules_at = loop.time() + RULES_EVERY
                        await self._agree()
                    await self._sending.tops.publish(self.store, loop.time() - TOP_AFTER)
            except BrokerError:
                pass  # the store cannot be reached, which is reported elsewhere
            except Exception as error:
                warn("history", "the regular upkeep of the rooms with history failed; it is retried: %r", error)

    async def _agree(self) -> None:
        self.book = await self._agreement.agree(self.store, self.book)
        self.feeds.rules_changed(self.book)
        if self._agreement.is_reached:
            self.feeds.agreed.set()

    def figures(self) -> dict[str, int]:
        """The counters and sizes of this process."""
        figures = {f"history_{name}": count for name, count in self.counters.as_dict().items()}
        figures |= self.feeds.figures()
        figures |= self._sending.figures()
        figures["history_clients"] = len(self._returning.visits)
        figures["history_sessions"] = len(self._returning.visits.budgets)
        if self.feeds.instant is not None:
            figures["history_bytes"] = self.feeds.instant.rings.size
            figures["history_evicted"] = self.feeds.instant.rings.evicted
        return figures

    # RoomHistory: sending

    def keeps(self, room: str) -> bool:
        """Whether a room has history."""
        return self.book.of(room) is not None

    def concerns(self, audience: Audience) -> bool:
        """Whether any room of an audience has history."""
        of = self.book.of
        rooms, within, _ = audience
        if len(rooms) == 1 and not within:
            return of(rooms[0]) is not None
        return any(of(room) is not None for room in rooms) or any(of(room) is not None for room in within)

    def check(self, audience: Audience) -> None:
        """Refuse an audience whose messages cannot be kept.

        Raises:
            ValueError: it has several rooms, or is narrowed.
        """
        rooms, within, _ = audience
        if len(rooms) != 1 or within:
            raise ValueError(
                "a send to several rooms, or with within(), and one of the rooms has history: two histories have no"
                " common order, and former members of a room are not known; send to each room, or with keep=False"
            )

    def send(self, room: str, excluded: frozenset[str], message: Prepared, receipt: KeptSend | None = None) -> Sent:
        """Append a message to the room's log, from which the members of this process get it as well."""
        history = self.book.of(room)
        assert history is not None
        _ = self.store  # raises if the app is not running
        return self._sending.send(room, self.channel_of(room), history, excluded, message, receipt)

    def behind(self, rooms: tuple[str, ...], call: Callable[[], object]) -> bool:
        """Make a call after this process's unconfirmed sends to any of these rooms; return False if there are none."""
        return any(
            self.book.of(room) is not None and self._sending.behind(self.channel_of(room), call) for room in rooms
        )

    # Observer

    def ended(self, connection: Connection, code: int, reason: str) -> None:
        """See :class:`odac.realtime.ports.Observer`."""
        self._returning.ended(connection)
        self.feeds.ended(connection)

    # LogListener

    def arrived(self, channel: str, payload: bytes) -> bool:
        """See :class:`odac.realtime.ports.LogListener`."""
        feed = self.feeds.of_channel(channel)
        if feed is None:
            return False
        feed.take(decode_notice(payload))
        return True

    def unflagged(self, rooms: tuple[str, ...]) -> None:
        """See :class:`odac.realtime.ports.LogListener`."""
        for room in rooms:
            feed = self.feeds.of(room)
            if feed is not None and feed.is_ready:
                warn("history", "a process without the rules has sent to a room with history: the message is not kept")
                feed.tell_gap_to_all()

    # Subsystem

    def received(self, origin: bytes, body: bytes) -> None:
        """See :class:`odac.realtime.ports.Subsystem`."""
        self._returning.received(body)

    def beat(self) -> None:
        """See :class:`odac.realtime.ports.Subsystem`."""

    def seen(self, origin: bytes) -> None:
        """See :class:`odac.realtime.ports.Subsystem`."""

    def silent(self, origin: bytes) -> None:
        """See :class:`odac.realtime.ports.Subsystem`."""

    def left(self, origin: bytes) -> None:
        """See :class:`odac.realtime.ports.Subsystem`."""

    def up(self) -> None:
        """See :class:`odac.realtime.ports.Subsystem`."""
        self.feeds.sync()
        self._rules_at = 0.0  # the broker may have lost them


def _checked_replay(replay: object) -> int:
    if type(replay) is not int or not 0 <= replay <= MAX_REPLAY:
        raise ValueError(f"replay={replay!r}: must be a whole number from 0 to {MAX_REPLAY}")
    return replay
