"""A room with history in one process: takes what the store publishes, in order, and hands it to the members.

It subscribes, waits until its own probe comes back, reads, and drops what arrives and is not above its top. A number
that is missing, or an outage, is closed by reading once what came between; where that cannot be done the members are
told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from odac.errors import BrokerError
from odac.history.cursor import Counters, Cursor
from odac.history.entries import Kept, Unreadable, name_of, prepare
from odac.history.position import epoch_text, user_hash
from odac.history.rules import History
from odac.history.store import EVERYTHING, HistoryStore, Notice, Slice, StoreAway, encode_probe
from odac.notices import warn
from odac.protocol import control
from odac.protocol.message import SEPARATOR, Verbatim
from odac.realtime.audience import follower_room, is_private
from odac.realtime.owners import Entry as LogEntry

if TYPE_CHECKING:
    from odac.history.position import Tickets
    from odac.realtime.connection import Connection
    from odac.realtime.hub import Hub

__all__ = ["Feed", "Owner"]

EARLY: Final = 1024
"""Notices that are held while the feed reads; past that, it reads again instead."""
PROBE_FIRST: Final = 0.02
PROBE_LONGEST: Final = 1.0
READ_TIMEOUT: Final = 10.0
RETRY_FIRST: Final = 0.05
RETRY_LONGEST: Final = 2.0
PAGE: Final = 1000
"""Entries of one read for members further behind than the ring."""


class Owner(Protocol):
    """What a feed asks of the part that owns all feeds."""

    origin: bytes

    @property
    def recovery_bytes(self) -> int:
        """What one connection may recover of one room."""
        ...

    def now(self) -> float:
        """Seconds since 1970, by the clock of this process's store or of this machine."""
        ...

    def step_soon(self, cursor: Cursor) -> None:
        """Let a member go on catching up, in turn with the others."""
        ...

    def ring_grew(self, size: int) -> None:
        """A feed's ring holds so many bytes more; all rings share one cap."""
        ...

    def client_of(self, connection: Connection) -> str | None:
        """The name of the client behind a connection that can come back as the same one."""
        ...

    def user_of(self, connection: Connection) -> str | None:
        """The id of a connection's user, as far as anybody has asked."""
        ...

    def connection_of(self, client: str) -> Connection | None:
        """The connection that a client has to this process now."""
        ...

    def may_recover(self, connection: Connection, entries: int) -> bool:
        """Whether a connection's budget allows it, which is used up then."""
        ...

    def reading(self) -> asyncio.Semaphore:
        """Bounds how many feeds read at once."""
        ...


class Feed:
    """One room with history in this process.

    Args:
        owner: of all feeds.
        hub: of the members.
        store: keeps the log.
        tickets: signs what members may recover.
        room: its name.
        channel: what the store and the broker call it.
        history: what it keeps.
        number: what members know it by; the same for all of this process.
        counters: of all feeds.

    Attributes:
        top: the number of the last entry that was handed to the members.
        cursors: the members that catch up.
    """

    def __init__(
        self,
        owner: Owner,
        hub: Hub,
        store: HistoryStore,
        tickets: Tickets,
        room: str,
        channel: str,
        history: History,
        number: int,
        counters: Counters,
    ) -> None:
        self.owner = owner
        self.room = room
        self.channel = channel
        self.history = history
        self.number = number
        self.counters = counters
        self.epoch: bytes | None = None
        self.top = 0
        self.cursors: dict[Connection, Cursor] = {}
        self.is_ready = False
        self.idle_since: float | None = None
        self._has_begun = False
        self._hub = hub
        self._store = store
        self._tickets = tickets
        self._revoked: dict[str, int] = {}
        self._ring: deque[Kept] = deque()
        self._ring_bytes = 0
        self._page: Sequence[Kept] = ()  # further back than the ring: read once for members that return together
        self._early: list[Notice] | None = None
        self._unproven = True
        self._again = False
        self._syncing: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._waiting: list[Cursor] = []  # for the feed, or for a page
        self._probe = 0
        self._probe_back: asyncio.Event | None = None
        self._reached: list[tuple[int, asyncio.Future[None]]] = []
        self.positioned = follower_room(room, positioned=True)
        self.plain = follower_room(room, positioned=False)

    # Members

    def _admit(self, cursor: Cursor) -> None:
        """Decide what a member gets, and tell it where it stands."""
        cursor.admitted = True
        connection, position, client = cursor.connection, cursor.position, cursor.client
        status = 0
        cursor.at = max(0, self.top - cursor.replay)
        if position is not None and client is not None:
            good = (
                position.epoch == self.epoch
                and position.offset <= self.top
                and self._tickets.check(client, self.room, position, self._count(connection))
                and self.owner.may_recover(connection, self.top - position.offset)
            )
            cursor.recovered = good
            status = 1 if good else 2
            if good:
                cursor.at = position.offset
            else:
                self.counters.not_recovered += 1
        if connection.speaks_odac:
            # A ticket covers the room from the first message that its client was allowed to see.
            lowest = cursor.at + 1 if position is None or status == 2 else self._tickets.lowest(position)
            self._tell_place(connection, client, lowest, cursor.at, status)

    def _tell_place(self, connection: Connection, client: str | None, lowest: int, offset: int, status: int) -> None:
        name = None if is_private(self.room) else self.room
        ticket = self._ticket(connection, client, lowest)
        connection.put(
            control.encode_control("room", self.number, name, epoch_text(self.epoch), offset, ticket, status)
        )

    def _ticket(self, connection: Connection, client: str | None, lowest: int) -> str:
        if client is None:
            return ""
        return self._tickets.ticket(client, self.room, self.epoch, lowest, self._count(connection))

    def _count(self, connection: Connection) -> int:
        """How often the connection's user was revoked here."""
        if not self._revoked:
            return 0
        user = self.owner.user_of(connection)
        return 0 if user is None else self._revoked.get(user_hash(user), 0)

    def run(self, cursor: Cursor) -> None:
        """Let a member catch up: its first piece now, the rest in turn with the others."""
        delivery = self._hub.delivery
        if delivery.is_writing:
            delivery.later(self.run, cursor)
        elif not self.is_ready:
            self._waiting.append(cursor)
        elif not cursor.connection.is_open:
            cursor.abandon()
        else:
            if not cursor.admitted:
                self._admit(cursor)
            if cursor.step():
                self.owner.step_soon(cursor)

    def follow(self, connection: Connection) -> None:
        """A member has caught up: from here on it is live."""
        self.cursors.pop(connection, None)
        self._hub.follow(connection, self.positioned if connection.speaks_odac else self.plain)

    def fall_back(self, connection: Connection) -> None:
        """A member reads more slowly than the room speaks: from here on it catches up at its own pace."""
        room = self.positioned if connection.speaks_odac else self.plain
        if room in connection.memberships:
            self._hub.unfollow(connection, room)
            cursor = Cursor(connection, self, None)
            cursor.at = self.top
            cursor.admitted = True
            self.cursors[connection] = cursor
            self.run(cursor)

    def leave(self, connection: Connection) -> None:
        """A connection is no member any more."""
        cursor = self.cursors.get(connection)
        if cursor is not None:
            cursor.abandon()
        for room in (self.positioned, self.plain):
            if room in connection.memberships:
                self._hub.unfollow(connection, room)
        if connection.speaks_odac and connection.is_open:
            connection.put(control.encode_control("left", self.number))

    def drop(self, cursor: Cursor) -> None:
        """A member catches up no longer."""
        if self.cursors.get(cursor.connection) is cursor:
            del self.cursors[cursor.connection]

    @property
    def is_used(self) -> bool:
        """Whether it has members."""
        hub = self._hub
        return bool(self.cursors) or hub.is_open(self.positioned) or hub.is_open(self.plain)

    def header(self, offsets: Sequence[int]) -> Verbatim:
        """What stands in front of messages: their numbers."""
        return Verbatim(SEPARATOR + b'["at",%d,%s]' % (self.number, ",".join(map(str, offsets)).encode()))

    def tell_gap(self, connection: Connection, offset: int) -> None:
        """Tell a member that some messages are missing, and behind which entry it stands now."""
        if connection.speaks_odac:
            ticket = self._ticket(connection, self.owner.client_of(connection), offset + 1)
            connection.put(control.encode_control("gap", self.number, epoch_text(self.epoch), offset, ticket))

    def tell_gap_to_all(self) -> None:
        """Tell every member that some messages are missing."""
        self.counters.gaps += 1
        for connection in self._hub.members_of(self.positioned):
            self.tell_gap(connection, self.top)
        for cursor in tuple(self.cursors.values()):
            if cursor.admitted:
                cursor.give_up()

    # What was sent

    def emit(self, entries: Sequence[Kept]) -> None:
        """Hand entries to the members, right behind the top."""
        delivery = self._hub.delivery
        if delivery.is_writing:
            delivery.later(self.emit, entries)
            return
        self._remember(entries)
        self.top = entries[-1].offset
        if self._hub.is_open(self.positioned):
            self._write(entries, (self.positioned,), True)
        if self._hub.is_open(self.plain):
            self._write(entries, (self.plain,), False)
        if self._reached:
            self._tell_reached()

    def _write(self, entries: Sequence[Kept], rooms: tuple[str, ...], positioned: bool) -> None:
        add = self._hub.delivery.add
        run: list[Kept] = []
        for entry in entries:
            if entry.excluded or type(entry) is Unreadable:
                self._write_run(run, rooms, positioned)
                run = []
                if type(entry) is not Unreadable:
                    self._write_excluding(entry, rooms, positioned)
            else:
                run.append(entry)
        if len(run) == 1 and not positioned:
            add(LogEntry(rooms, (), run[0].message, True))
        else:
            self._write_run(run, rooms, positioned)

    def _write_run(self, run: list[Kept], rooms: tuple[str, ...], positioned: bool) -> None:
        if not run:
            return
        add = self._hub.delivery.add
        if positioned:
            add(LogEntry(rooms, (), self.header([entry.offset for entry in run]), True))
        for entry in run:
            add(LogEntry(rooms, (), entry.message, True))

    def _write_excluding(self, entry: Kept, rooms: tuple[str, ...], positioned: bool) -> None:
        left_out = []
        for connection_id in entry.excluded:
            connection = self._hub.connections.get(connection_id) or self.owner.connection_of(name_of(connection_id))
            if connection is not None and rooms[0] in connection.memberships:
                left_out.append(connection)
        outboxes = [connection.outbox for connection in left_out]
        add = self._hub.delivery.add
        if positioned:
            add(LogEntry(rooms, (), self.header((entry.offset,)), True), outboxes)
        add(LogEntry(rooms, (), entry.message, True), outboxes)
        if positioned:
            for connection in left_out:
                connection.put(control.encode_control("past", self.number, entry.offset))

    def _remember(self, entries: Sequence[Kept]) -> None:
        ring = self._ring
        size = 0
        for entry in entries:
            ring.append(entry)
            size += entry.size
        while len(ring) > self.history.size:
            size -= ring.popleft().size
        self._ring_bytes += size
        self.owner.ring_grew(size)

    def shrink(self) -> None:
        """Give back half of the ring: all rings together have met their cap."""
        size = 0
        for _ in range((len(self._ring) + 1) // 2):
            size -= self._ring.popleft().size
        self._page = ()
        self._ring_bytes += size
        self.owner.ring_grew(size)

    def forget_page(self) -> None:
        """The members that returned together have been served."""
        self._page = ()

    @property
    def recovery_bytes(self) -> int:
        """See :class:`odac.history.cursor.Log`."""
        return self.owner.recovery_bytes

    @property
    def ring_bytes(self) -> int:
        """What the ring takes."""
        return self._ring_bytes

    def cached(self, after: int, limit: int, size: int) -> Sequence[Kept] | None:
        """Entries behind ``after``, as many as one piece takes; None where they are not in this process, or too old.

        Only the store says what is too old; what may be is asked of it.
        """
        oldest = (self.owner.now() - self.history.ttl) * 1000
        for held in (self._ring, self._page):
            if held and held[0].offset <= after + 1 <= held[-1].offset:
                if held[after + 1 - held[0].offset].time <= oldest and held is self._ring:
                    continue
                found: list[Kept] = []
                for entry in islice(held, after + 1 - held[0].offset, None):
                    found.append(entry)
                    size -= len(entry.message.frame)
                    if size < 0 or len(found) >= limit:
                        break
                return found
        return None

    def fetch(self, cursor: Cursor) -> None:
        """Read what a member needs and is not in this process; those who come meanwhile are served by the same read."""
        self._waiting.append(cursor)
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._fetch(), name="odac: history page")
            self._hub.keep(self._fetching)

    async def _fetch(self) -> None:
        try:
            await asyncio.sleep(0)  # members that return in the same moment wait by then
            while self._waiting and self.is_ready:
                waiting = [cursor for cursor in self._waiting if cursor.connection.is_open]
                after = min((cursor.at for cursor in waiting), default=self.top)
                found = await self._read(after, PAGE)
                self._turn_page(found, after)
        finally:
            self._fetching = None

    def _turn_page(self, found: Slice, after: int) -> None:
        waiting, self._waiting = self._waiting, []
        if not self.is_ready:
            self._waiting = waiting
            return
        if found.epoch == self.epoch:
            self._page = [prepare(entry) for entry in found.entries]
        for cursor in waiting:
            if found.epoch != self.epoch:
                self._waiting.append(cursor)  # the feed is told, and reports it
                self.sync(prove=False)
            elif cursor.at < found.base:
                self._lost_behind(cursor, found.base)
            elif (
                self.cached(cursor.at, 1, 1) is None
                and cursor.at < self.top
                and cursor.at >= after + len(found.entries)
            ):
                self._waiting.append(cursor)  # the next page
            else:
                self.run(cursor)

    def _lost_behind(self, cursor: Cursor, base: int) -> None:
        """The entry that a member needs next is no longer kept."""
        if cursor.joining is not None and not cursor.recovered:
            cursor.at = base  # it asked for the last ones, of which there are fewer
        elif cursor.joining is not None and not cursor.count:
            cursor.recovered = False
            self.counters.not_recovered += 1
            cursor.at = max(base, self.top - cursor.replay)
            self.tell_gap(cursor.connection, cursor.at)
        else:
            cursor.give_up()
        self.run(cursor)

    # What arrives

    def take(self, notice: Notice) -> None:
        """A store has published something on the room's channel."""
        if notice.probe:
            if notice.epoch == self.owner.origin and notice.first == self._probe and self._probe_back is not None:
                self._probe_back.set()
            return
        if self._early is not None:
            if len(self._early) < EARLY:
                self._early.append(notice)
            else:
                self._again = True
            return
        if notice.changed:
            self.sync(prove=False)
        elif not notice.entries:
            if (notice.epoch, notice.first) != (self.epoch or bytes(16), self.top) and not (
                notice.epoch == self.epoch and notice.first < self.top
            ):
                self.sync(prove=False)
        elif notice.epoch == self.epoch or (self.epoch is None and notice.first == 1):
            self._take_entries(notice)
        else:
            self.sync(prove=False)

    def _take_entries(self, notice: Notice) -> None:
        if notice.first > self.top + 1:
            self.sync(prove=False)
            # What has arrived is read again with what came before it.
            return
        new = notice.entries[self.top + 1 - notice.first :]
        if new:
            self._begin(notice.epoch)
            self.emit([prepare(entry) for entry in new])

    def appended(self, epoch: bytes, entries: Sequence[Kept]) -> None:
        """Entries of a store in this process."""
        self._begin(epoch)
        self.emit(entries)

    def _begin(self, epoch: bytes) -> None:
        """The first entry of a room that was empty: members learn what its log is called."""
        if epoch != self.epoch:
            self.epoch = epoch
            for connection in self._hub.members_of(self.positioned):
                self._tell_place(connection, self.owner.client_of(connection), 1, 0, 3)

    # Staying in step with the store

    def start_at(self, found: Slice) -> None:
        """Begin with what a store in this process says."""
        self._forget_ring()
        self.epoch, self.top, self._revoked = found.epoch, found.top, dict(found.revoked)
        self._remember([prepare(entry) for entry in found.entries])
        self.is_ready = self._has_begun = True

    def sync(self, *, prove: bool) -> None:
        """Bring the feed up to the store's top; with ``prove``, wait first until its subscription is known to work."""
        self._unproven = self._unproven or prove
        if prove:
            self.is_ready = False
        if self._syncing is not None:
            self._again = True
            return
        self._early = []
        self._syncing = asyncio.get_running_loop().create_task(self._sync(), name="odac: history feed")
        self._hub.keep(self._syncing)

    async def _sync(self) -> None:
        try:
            while True:
                self._again = False
                if self._unproven:
                    await self._prove()
                found = await self._catch_up()
                if self._again:
                    continue
                self.is_ready = True
                early, self._early = self._early or [], None
                self._revoked = dict(found.revoked)
                for notice in early:
                    self.take(notice)
                break
        finally:
            self._syncing = None
            if self._early is not None:
                self._early = None
        waiting, self._waiting = self._waiting, []
        for cursor in waiting:
            self.run(cursor)

    async def _prove(self) -> None:
        """Publish probes until one comes back: what is published from then on comes, too."""
        back = self._probe_back = asyncio.Event()
        delay = PROBE_FIRST
        while not back.is_set():
            self._unproven = False
            self._probe += 1
            try:
                await self._store.publish(self.channel, encode_probe(self.owner.origin, self._probe))
                async with asyncio.timeout(delay):
                    await back.wait()
            except TimeoutError:
                pass
            except BrokerError:
                await asyncio.sleep(delay)
            delay = min(2 * delay, PROBE_LONGEST)
        self._probe_back = None

    async def _catch_up(self) -> Slice:
        first = not self._has_begun
        while True:
            # The first read fills the ring for the waiting members; later reads continue it.
            after = -min(self.history.size, self._wanted()) if first else self.top
            found = await self._read(after, EVERYTHING if first else PAGE)
            if first:
                self._has_begun = True
                self.epoch, self.top = found.epoch, found.top
                self._remember([prepare(entry) for entry in found.entries])
                return found
            if found.epoch == self.epoch and found.base <= self.top <= found.top:
                if not found.entries:
                    return found
                self.emit([prepare(entry) for entry in found.entries])
                if self.top >= found.top:
                    return found
                continue
            self._forget_ring()
            self.epoch, self.top = found.epoch, found.top
            self.tell_gap_to_all()
            return found

    def _wanted(self) -> int:
        return max([256 if each.position is not None else each.replay for each in self._waiting], default=0) or 1

    def _forget_ring(self) -> None:
        size, self._ring_bytes = self._ring_bytes, 0
        self._ring.clear()
        self._page = ()
        self.owner.ring_grew(-size)

    async def _read(self, after: int, limit: int) -> Slice:
        delay = RETRY_FIRST
        while True:
            try:
                async with self.owner.reading(), asyncio.timeout(READ_TIMEOUT):
                    self.counters.reads += 1
                    return await self._store.read(self.channel, self.history, after, limit)
            except (BrokerError, TimeoutError) as error:
                if not isinstance(error, (StoreAway, TimeoutError)):
                    warn("history", "the history of a room cannot be read; retrying: %s", error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, RETRY_LONGEST)

    async def reached(self, offset: int) -> None:
        """Wait until the members were handed an entry."""
        if self.top < offset:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._reached.append((offset, future))
            await future

    def _tell_reached(self) -> None:
        rest = []
        for offset, future in self._reached:
            if offset > self.top:
                rest.append((offset, future))
            elif not future.done():
                future.set_result(None)
        self._reached = rest

    def close(self) -> None:
        """It has no members any more."""
        self._forget_ring()
        for task in (self._syncing, self._fetching):
            if task is not None:
                task.cancel()
