"""Rooms with history, as the rest of the app sees them: the part that owns the feeds, the appender and the clients."""

from __future__ import annotations

import asyncio
import os
import time
from _thread import get_ident
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from odac.close_codes import SUPERSEDED, CloseCode
from odac.errors import BrokerError
from odac.history.agreement import Agreement
from odac.history.appender import Appender
from odac.history.cursor import Counters, Cursor
from odac.history.entries import Kept, prepare
from odac.history.feed import Feed
from odac.history.memory_store import MemoryStore
from odac.history.position import Client, Identity, Position, Tickets, epoch_of, epoch_text, user_hash
from odac.history.rules import History, RuleBook
from odac.history.store import (
    EPOCH_BYTES,
    Appended,
    HistoryStore,
    Message,
    decode_notice,
    encode_message,
)
from odac.history.tops import TOP_AFTER, Tops
from odac.history.visits import Visits, next_client
from odac.notices import warn
from odac.protocol.codec import decode_text
from odac.protocol.message import Prepared
from odac.realtime.audience import Audience, check_room, is_follower_room, is_user_room, user_room
from odac.realtime.receipts import MAX_REPLAY, HistoryEntry, Joined, Joining, KeptSend, Recovery
from odac.realtime.sent import SENT, Sent

if TYPE_CHECKING:
    from odac.realtime.connection import Connection
    from odac.realtime.hub import Hub

__all__ = ["HistoryRooms"]

RING_BYTES: Final = 32 * 1024 * 1024
"""Of all feeds' rings together: they are caches, and what is not in them is read."""
READS_AT_ONCE: Final = 64
SLICE: Final = 0.005
"""Seconds that catching up takes of the event loop before others have their turn."""
FEED_LINGERS: Final = 5.0
"""Seconds that a feed without members is kept: a page that is reloaded returns before that."""
TEND_EVERY: Final = 2.5
RULES_EVERY: Final = 10.0
REACH_TIMEOUT: Final = 1.0
STOP_TIMEOUT: Final = 1.0


PART: Final = "history"
TOLD_AT_ONCE: Final = 1000

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[tuple[str, int]]).decode


class HistoryRooms:
    """Fulfils :class:`odac.realtime.ports.RoomHistory`, :class:`odac.realtime.ports.Observer` and
    :class:`odac.realtime.ports.LogListener`.

    Args:
        hub: this process's connections.
        tickets: signs names and tickets.
        make_store: makes the store on the event loop that the app starts on.
        channel_of: what the broker calls a room.
    """

    def __init__(
        self,
        hub: Hub,
        tickets: Tickets,
        make_store: Callable[[], HistoryStore],
        channel_of: Callable[[str], str],
    ) -> None:
        self.origin = os.urandom(16)
        self.book = RuleBook()
        self.replay_of_users = 0
        self.counters = Counters()
        self._hub = hub
        self._tickets = tickets
        self._make_store = make_store
        self._channel_of = channel_of
        self._store: HistoryStore | None = None
        self._instant: MemoryStore | None = None
        self._appender: Appender | None = None
        self._visits = Visits(tickets, hub.limits.recovery_entries)
        self._feeds: dict[str, Feed] = {}
        self._by_channel: dict[str, Feed] = {}
        self._numbers = 0
        self._ring_bytes = 0
        self._turns: deque[Cursor] = deque()
        self._turning = False
        self._reading = asyncio.Semaphore(READS_AT_ONCE)
        self._tops = Tops()
        self._leaving: dict[tuple[Connection, str], None] = {}
        self._agreement = Agreement()
        self._is_failing = False
        self._tender: asyncio.Task[None] | None = None
        self._came_back: list[tuple[str, int]] = []

    # What the application says

    def keep(self, pattern: str, history: History) -> None:
        """Add a rule for rooms."""
        self.book = self.book.with_rooms(pattern, history)

    def keep_inboxes(self, history: History, replay: int) -> None:
        """Add the rule for the users' inboxes."""
        self.book = self.book.with_users(history)
        self.replay_of_users = _checked_replay(replay)

    # Life

    @property
    def recovery_bytes(self) -> int:
        """What one connection may recover of one room."""
        return self._hub.limits.recovery_bytes

    async def start(self) -> None:
        """Connect to the store, on the event loop of the hub.

        Raises:
            ConfigurationError: the store cannot keep what is promised.
        """
        self._reading = asyncio.Semaphore(READS_AT_ONCE)
        self._feeds.clear()
        self._by_channel.clear()
        store = self._store = self._make_store()
        await store.start()
        if isinstance(store, MemoryStore) and store.is_alone:
            self._instant = store
        else:
            self._instant = None
            self._appender = Appender(store, self.origin, self._confirmed, self._failed)
            await self._agree()
        self._hub.bus.parts.add(PART, self)
        self._hub.delivery.on_congested = self.congested
        self._tender = asyncio.get_running_loop().create_task(self._tend(), name="odac: history")

    async def stop(self) -> None:
        """Send the queued messages, and disconnect."""
        if self._tender is not None:
            self._tender.cancel()
            await asyncio.gather(self._tender, return_exceptions=True)
            self._tender = None
        if self._appender is not None:
            await self._appender.stop(STOP_TIMEOUT)
            self._appender = None
        for feed in self._feeds.values():
            feed.close()
        self._feeds.clear()
        self._by_channel.clear()
        if self._store is not None:
            store, self._store = self._store, None
            await store.stop()

    def _running(self) -> HistoryStore:
        if self._store is None:
            raise RuntimeError("the app does not run in this process, or not yet: its event loop starts it")
        return self._store

    async def _tend(self) -> None:
        loop = asyncio.get_running_loop()
        rules_at = loop.time() + RULES_EVERY
        while True:
            await asyncio.sleep(TEND_EVERY)
            try:
                self._close_unused(loop.time())
                if self._instant is not None:
                    self._instant.rings.expire()
                else:
                    await self._tops.publish(self._running(), loop.time() - TOP_AFTER)
                    if loop.time() >= rules_at:
                        rules_at = loop.time() + RULES_EVERY
                        await self._agree()
            except BrokerError:
                pass  # the store is away, which is reported elsewhere
            except Exception as error:
                warn("history", "looking after the rooms with history failed; it goes on: %r", error)

    async def _agree(self) -> None:
        """Write the rules into the broker, or take those that a newer process has written."""
        self.book = await self._agreement.agree(self._running(), self.book)

    def _close_unused(self, now: float) -> None:
        for room, feed in tuple(self._feeds.items()):
            feed.forget_page()
            if feed.is_used:
                feed.idle_since = None
            elif feed.idle_since is None:
                feed.idle_since = now
            elif now - feed.idle_since >= FEED_LINGERS:
                feed.close()
                del self._feeds[room]
                del self._by_channel[feed.channel]

    def figures(self) -> dict[str, int]:
        """What this process counts."""
        figures = {f"history_{name}": count for name, count in self.counters.as_dict().items()}
        figures["history_rooms"] = len(self._feeds)
        figures["history_clients"] = len(self._visits)
        figures["history_catching_up"] = sum(len(feed.cursors) for feed in self._feeds.values())
        figures["history_cache_bytes"] = self._ring_bytes
        if self._appender is not None:
            figures["history_waiting"] = len(self._appender)
            figures["history_waiting_bytes"] = self._appender.waiting_bytes
        if self._instant is not None:
            figures["history_bytes"] = self._instant.rings.size
            figures["history_evicted"] = self._instant.rings.evicted
        return figures

    # RoomHistory: sending

    def keeps(self, room: str) -> bool:
        """Whether a room has history."""
        return self.book.of(room) is not None

    def concerns(self, audience: Audience) -> bool:
        """Whether a send has anything to do with rooms with history."""
        of = self.book.of
        rooms, within, _ = audience
        if len(rooms) == 1 and not within:
            return of(rooms[0]) is not None
        return any(of(room) is not None for room in rooms) or any(of(room) is not None for room in within)

    def check(self, audience: Audience) -> None:
        """Refuse what cannot be kept.

        Raises:
            ValueError: it is for several rooms, or narrowed.
        """
        rooms, within, _ = audience
        if len(rooms) != 1 or within:
            raise ValueError(
                "a send to several rooms, or with within(), of which one has history: two histories have no common"
                " order, and who was in a room at another time cannot be known; send to each room, or with keep=False"
            )

    def receipt(self) -> KeptSend:
        """A receipt that can be waited for from any thread."""
        delivery = self._hub.delivery
        return KeptSend(delivery.loop, delivery.thread)

    def send(self, room: str, excluded: frozenset[str], message: Prepared, receipt: KeptSend | None = None) -> Sent:
        """Append a message to the room's log; the members of this process get it from there as well."""
        history = self.book.of(room)
        assert history is not None
        self._running()
        self.counters.sent += 1
        body = encode_message(Message(tuple(excluded), message.opcode, message.payload))
        channel = self._channel_of(room)
        if self._instant is not None:
            done, entries = self._instant.append_now(
                channel, history, self.origin, self.counters.sent, [body], os.urandom(EPOCH_BYTES)
            )
            feed = self._feeds.get(room)
            if feed is not None:
                entry = entries[0]
                feed.appended(done.epoch, (Kept(entry.offset, entry.time, message, tuple(excluded)),))
            if receipt is not None:
                receipt.confirmed()
            return SENT
        assert self._appender is not None
        receipt = receipt or self.receipt()
        self._appender.add(channel, history, body, receipt)
        return receipt

    def behind(self, rooms: tuple[str, ...], call: Callable[[], object]) -> bool:
        """Make a call after this process's unconfirmed sends to any of these rooms; False where there are none."""
        appender = self._appender
        return appender is not None and any(
            self.book.of(room) is not None and appender.behind(self._channel_of(room), call) for room in rooms
        )

    async def _confirmed(self, channel: str, done: Appended) -> None:
        self._is_failing = False
        self._tops.appended(channel, done, asyncio.get_running_loop().time())
        feed = self._by_channel.get(channel)
        if feed is not None and feed.is_ready and feed.epoch in (None, done.epoch):
            try:
                async with asyncio.timeout(REACH_TIMEOUT):
                    await feed.reached(done.top)
            except TimeoutError:
                pass

    def _failed(self, error: BrokerError, unheard: int) -> None:
        self.counters.failed += 1
        if unheard and not self._is_failing:
            self._is_failing = True
            warn("history", "messages to rooms with history may be lost, and no caller awaits them: %s", error)

    # RoomHistory: members

    def join(self, connection: Connection, room: str, replay: int) -> Joined:
        """A connection has entered a room with history: it gets what it missed, and then what comes."""
        joining = Joining(self._hub.delivery.loop)
        if (connection, room) in self._leaving:
            self.behind((room,), lambda: self._join_again(connection, room, replay, joining))
            return joining
        self._begin(connection, room, replay, joining)
        return joining

    def _join_again(self, connection: Connection, room: str, replay: int, joining: Joining) -> None:
        if not connection.is_open:
            joining.arrived(Recovery(None, 0))
            return
        self._hub.enter(connection, room)
        self._begin(connection, room, replay, joining)

    def _begin(self, connection: Connection, room: str, replay: int, joining: Joining) -> None:
        feed = self._feed(room)
        visit = self._visits.of(connection)
        position: Position | None = None
        if visit is not None:
            position = visit.positions.pop(None if is_user_room(room) else room, None)
        cursor = Cursor(connection, feed, joining, replay, None if visit is None else visit.client.name, position)
        feed.cursors[connection] = cursor
        feed.run(cursor)

    def _feed(self, room: str) -> Feed:
        feed = self._feeds.get(room)
        is_new = feed is None
        if feed is None:
            history = self.book.of(room)
            assert history is not None
            self._numbers += 1
            channel = self._channel_of(room)
            feed = Feed(
                self, self._hub, self._running(), self._tickets, room, channel, history, self._numbers, self.counters
            )
            self._feeds[room] = self._by_channel[channel] = feed
        if self._instant is not None:
            if is_new:
                feed.start_at(self._instant.read_now(feed.channel, feed.history, -feed.history.size, feed.history.size))
        elif is_new or not feed.is_used:
            # There was no member, so the subscription may have ended meanwhile.
            feed.sync(prove=True)
        return feed

    def is_leaving(self, connection: Connection, room: str) -> bool:
        """See :class:`odac.realtime.ports.RoomHistory`."""
        return (connection, room) in self._leaving

    def leaves(self, connection: Connection, room: str, leave: Callable[[], None]) -> bool:
        """A connection leaves a room with history: behind this process's unconfirmed sends to it.

        Returns:
            whether it leaves later.
        """
        if (connection, room) in self._leaving:
            return True

        def leave_now() -> None:
            self._leaving.pop((connection, room), None)
            leave()

        if self.behind((room,), leave_now):
            self._leaving[connection, room] = None
            return True
        return False

    def departed(self, connection: Connection, room: str) -> None:
        """A connection is in a room with history no more."""
        feed = self._feeds.get(room)
        if feed is not None:
            feed.leave(connection)

    def congested(self, connection: Connection) -> None:
        """A connection's reader does not keep up: it gets what its rooms keep at its own pace."""
        if any(map(is_follower_room, connection.memberships)):
            self._hub.delivery.loop.call_soon(self._fall_back, connection)

    def _fall_back(self, connection: Connection) -> None:
        if connection.is_open and connection.outbox.backlog is not None:
            connection.outbox.take_share()
            for room in tuple(connection.memberships):
                feed = self._feeds.get(room)
                if feed is not None:
                    feed.fall_back(connection)

    # RoomHistory: clients that come back

    def expect(self, connection: Connection) -> None:
        """A client has offered ``odac.resume``."""
        self._visits.expect(connection, self._hub.delivery.loop)

    def said(self, connection: Connection, values: list[Any]) -> None:
        """The control message ``resume``."""
        self._visits.said(connection, values)

    async def resume(self, connection: Connection, session_id: str | None, user_id: str | None) -> None:
        """Wait for what a client says that has offered ``odac.resume``; it is that client from then on."""
        identity = Identity(session_id, user_id)
        known, positions = await self._visits.resumed(connection, identity)
        if known is None or not connection.is_open:
            return
        client = next_client(known)
        self._hub.rename(connection, client.id)
        older = self._visits.enter(connection, client, identity, positions)
        if older is not None:
            self._supersede(older)
        if not self._came_back:
            self._hub.delivery.loop.call_soon(self._tell_who_came_back)
        self._came_back.append((client.name, client.generation))

    def _tell_who_came_back(self) -> None:
        """Tell the other processes, so that older connections of the same clients end."""
        while self._came_back:
            self._hub.bus.parts.tell_all(PART, _encode(self._came_back[:TOLD_AT_ONCE]))
            del self._came_back[:TOLD_AT_ONCE]

    def _resumed_elsewhere(self, name: str, generation: int) -> None:
        """A client has come back to another process."""
        connection = self._visits.connection_of(name)
        visit = None if connection is None else self._visits.of(connection)
        if connection is not None and visit is not None and visit.client.generation < generation:
            self._supersede(connection)

    def _supersede(self, connection: Connection) -> None:
        connection.begin_close(CloseCode.NORMAL, SUPERSEDED)

    def greet(self, connection: Connection, session_id: str | None, user_id: str | None) -> str:
        """The signed name that a client's ``hello`` carries."""
        identity = Identity(session_id, user_id)
        visit = self._visits.of(connection)
        if visit is None:
            self._visits.enter(connection, Client(connection.id.partition(".")[0]), identity, [])
            visit = self._visits.of(connection)
            assert visit is not None
        visit.identity = identity
        return self._tickets.sign_client(visit.client, identity)

    def recognized(self, connection: Connection, user_id: str) -> None:
        """A connection's user is known now."""
        visit = self._visits.of(connection)
        if visit is not None:
            known = visit.identity.user_id
            if known is not None and known != user_id:
                visit.positions.clear()
            visit.identity = visit.identity._replace(user_id=user_id)

    # Observer

    def ended(self, connection: Connection, code: int, reason: str) -> None:
        """See :class:`odac.realtime.ports.Observer`."""
        self._visits.leave(connection)
        for room in connection.memberships:
            feed = self._feeds.get(room)
            if feed is not None and (cursor := feed.cursors.get(connection)) is not None:
                cursor.abandon()

    def refused(self, connection: Connection) -> None:
        """A connection was refused at a gate."""
        self._visits.leave(connection)

    # LogListener

    def arrived(self, channel: str, payload: bytes) -> bool:
        """See :class:`odac.realtime.ports.LogListener`."""
        feed = self._by_channel.get(channel)
        if feed is None:
            return False
        feed.take(decode_notice(payload))
        return True

    def unflagged(self, rooms: tuple[str, ...]) -> None:
        """See :class:`odac.realtime.ports.LogListener`."""
        for room in rooms:
            feed = self._feeds.get(room)
            if feed is not None and feed.is_ready:
                warn("history", "a process that does not know the rules has sent to a room with history: not kept")
                feed.tell_gap_to_all()

    # Part

    def received(self, origin: bytes, body: bytes) -> None:
        """See :class:`odac.realtime.ports.Part`."""
        try:
            came_back = _decode(body)
        except msgspec.DecodeError:
            return  # another version's
        for name, generation in came_back:
            self._resumed_elsewhere(name, generation)

    def seen(self, origin: bytes) -> None:
        """See :class:`odac.realtime.ports.Part`."""

    def silent(self, origin: bytes) -> None:
        """See :class:`odac.realtime.ports.Part`."""

    def left(self, origin: bytes) -> None:
        """See :class:`odac.realtime.ports.Part`."""

    def up(self) -> None:
        """See :class:`odac.realtime.ports.Part`: what was appended meanwhile is read."""
        for feed in self._feeds.values():
            if feed.is_used:
                feed.sync(prove=True)

    # Owner, for the feeds

    def now(self) -> float:
        """See :class:`odac.history.feed.Owner`."""
        return time.time() if self._instant is None else self._instant.rings.now()

    def step_soon(self, cursor: Cursor) -> None:
        """See :class:`odac.history.feed.Owner`."""
        self._turns.append(cursor)
        if not self._turning:
            self._turning = True
            self._hub.delivery.loop.call_soon(self._take_turns)

    def _take_turns(self) -> None:
        loop = self._hub.delivery.loop
        end = loop.time() + SLICE
        turns = self._turns
        while turns:
            cursor = turns.popleft()
            if cursor.feed.cursors.get(cursor.connection) is cursor:
                cursor.feed.run(cursor)
            if loop.time() >= end:
                break
        if turns:
            loop.call_soon(self._take_turns)
        else:
            self._turning = False

    def ring_grew(self, size: int) -> None:
        """See :class:`odac.history.feed.Owner`."""
        self._ring_bytes += size
        if self._ring_bytes > RING_BYTES and size > 0:
            for feed in sorted(self._feeds.values(), key=lambda feed: -feed.ring_bytes)[:8]:
                feed.shrink()

    def client_of(self, connection: Connection) -> str | None:
        """See :class:`odac.history.feed.Owner`."""
        visit = self._visits.of(connection)
        return None if visit is None else visit.client.name

    def connection_of(self, client: str) -> Connection | None:
        """See :class:`odac.history.feed.Owner`."""
        return self._visits.connection_of(client)

    def user_of(self, connection: Connection) -> str | None:
        """See :class:`odac.history.feed.Owner`."""
        visit = self._visits.of(connection)
        return None if visit is None else visit.identity.user_id

    def may_recover(self, connection: Connection, entries: int) -> bool:
        """See :class:`odac.history.feed.Owner`."""
        visit = self._visits.of(connection)
        if visit is None or entries > visit.left:
            return False
        session = visit.identity.session_id or visit.client.name
        if not self._visits.budgets.take(session, entries, self._hub.delivery.loop.time()):
            return False
        visit.left -= entries
        return True

    def reading(self) -> asyncio.Semaphore:
        """See :class:`odac.history.feed.Owner`."""
        return self._reading

    # What the application asks

    async def history(self, room: str, last: int | None, since: str | None) -> list[HistoryEntry]:
        """Entries of a room, oldest first."""
        history = self._history_of(room)
        limit = history.size
        if since is not None:
            epoch, after = _position(since)
        else:
            epoch, after = None, -min(limit, limit if last is None else last)
            if after == 0:
                return []
        found = await self._on_loop(lambda: self._running().read(self._channel_of(room), history, after, limit))
        if since is not None and (found.epoch != epoch or not found.base <= after <= found.top):
            raise LookupError(
                f"position {since!r} of room {room!r} is not to be continued: it has expired, or the history began"
                " anew; load the state, and go on with last="
            )
        entries = []
        for entry in found.entries:
            kept = prepare(entry)
            text = f"{epoch_text(found.epoch)}.{entry.offset}"
            message = kept.message
            data = decode_text(message.payload) if message.is_text else message.payload
            entries.append(HistoryEntry(text, data, entry.time / 1000))
        return entries

    async def forget(self, room: str) -> None:
        """Erase a room's history."""
        self._history_of(room)

        async def erase() -> None:
            await self._running().erase(self._channel_of(room))
            feed = self._feeds.get(room)
            if self._instant is not None and feed is not None:
                history = feed.history
                feed.start_at(self._instant.read_now(feed.channel, history, -history.size, history.size))
                feed.tell_gap_to_all()

        await self._on_loop(erase)

    async def revoke(self, room: str, user: str) -> None:
        """A user leaves a room, and may recover nothing of it."""
        self._history_of(room)

        async def revoke() -> None:
            await self._running().revoke(self._channel_of(room), user_hash(user))
            feed = self._feeds.get(room)
            if self._instant is not None and feed is not None:
                feed.start_at(self._instant.read_now(feed.channel, feed.history, -feed.history.size, feed.history.size))
            self._hub.orders.move(Audience((user_room(user),)), room, joins=False)

        await self._on_loop(revoke)

    def _history_of(self, room: str) -> History:
        history = self.book.of(check_room(room))
        if history is None:
            raise ValueError(f"room {room!r} has no history: app.rooms({room!r}, history=History(…)) gives it one")
        return history

    async def _on_loop(self, make: Callable[[], Any]) -> Any:
        delivery = self._hub.delivery
        if get_ident() == delivery.thread:
            return await make()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(make(), delivery.loop))


def _position(text: str) -> tuple[bytes | None, int]:
    epoch, dot, offset = text.rpartition(".") if isinstance(text, str) else ("", "", "")
    found = epoch_of(epoch)
    if not dot or found is None or not offset.isdecimal():
        raise ValueError(f"since={text!r}: must be the position of a HistoryEntry")
    return found, int(offset)


def _checked_replay(replay: object) -> int:
    if type(replay) is not int or not 0 <= replay <= MAX_REPLAY:
        raise ValueError(f"replay={replay!r}: must be a whole number from 0 to {MAX_REPLAY}")
    return replay
