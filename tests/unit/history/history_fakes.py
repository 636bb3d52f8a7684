"""Members, entries and a part that owns all feeds, for the tests of the parts of a feed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from odac.config import Limits
from odac.history.cursor import HistoryCounters
from odac.history.entries import Kept
from odac.history.store import Entry, Message, encode_message
from odac.protocol.control import decode_control
from odac.protocol.message import Prepared
from odac.realtime.connection import Connection

EPOCH, OTHER = b"e" * 16, b"f" * 16


def entry(offset: int, text: bytes = b"x", time: int = 0) -> Entry:
    return Entry(offset, time, encode_message(Message((), 1, text)))


def kept(offset: int, text: bytes = b"x", *excluded: str, time: int = 0) -> Kept:
    return Kept(offset, time, Prepared(1, text), excluded)


class Backlog:
    """A reader that does not keep up, until the test says so."""

    def __init__(self) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def drained(self) -> asyncio.Future[None]:
        return self.future


class Outbox:
    def __init__(self) -> None:
        self.backlog: Backlog | None = None


class FakeMember:
    """A connection: what it was sent, control messages decoded."""

    def __init__(self, name: str = "member.1", *, speaks_odac: bool = True) -> None:
        self.id = name
        self.speaks_odac = speaks_odac
        self.is_open = True
        self.outbox = Outbox()
        self.memberships: dict[str, None] = {}
        self.got: list[Any] = []
        self.closed: list[tuple[int, str]] = []

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def put(self, message: Prepared) -> None:
        decoded = decode_control(message.payload)
        assert decoded is not None
        self.got.append((decoded[0], *decoded[1]))

    def send_prepared(self, message: Prepared) -> None:
        self.got.append(message.payload)

    def begin_close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


def as_connection(member: FakeMember) -> Connection:
    return cast("Connection", member)


class FakeOwner:
    """Allows everything, and counts."""

    origin = b"o" * 16

    def __init__(self, **limits: Any) -> None:
        self.limits = Limits(**limits)
        self.semaphore = asyncio.Semaphore(4)
        self.ring = 0
        self.allows = True
        self.asked: list[int] = []
        self.clients: dict[str, Connection] = {}
        self.user: str | None = None
        self.soon: list[Any] = []
        self.era = bytes(8)
        self.agreed = asyncio.Event()
        self.agreed.set()

    def now(self) -> float:
        return 0.0

    def era_of(self, room: str) -> bytes:
        return self.era

    def step_soon(self, cursor: Any) -> None:
        self.soon.append(cursor)

    def ring_grew(self, size: int) -> None:
        self.ring += size

    def client_of(self, connection: Connection) -> str | None:
        return connection.id.partition(".")[0]

    def user_of(self, connection: Connection) -> str | None:
        return self.user

    def connection_of(self, name: str) -> Connection | None:
        return self.clients.get(name)

    def may_recover(self, connection: Connection, entries: int) -> bool:
        self.asked.append(entries)
        return self.allows

    def reading(self) -> asyncio.Semaphore:
        return self.semaphore


class FakeFeed:
    """What a cursor and the parts of a feed need of it."""

    def __init__(self, **limits: Any) -> None:
        from odac.history.ring import Ring
        from odac.history.rules import History

        self.limits = Limits(**limits)
        self.room = "room"
        self.number = 7
        self.history = History(ttl=1e6)
        self.counters = HistoryCounters()
        self.epoch: bytes | None = EPOCH
        self.top = 0
        self.is_ready = True
        self.grown = 0
        self.ring = Ring(self.history, self._grew, lambda: 0.0)
        self.cursors: dict[Any, Any] = {}
        self.ran: list[Any] = []
        self.fetched: list[Any] = []
        self.live: list[Any] = []
        self.gaps: list[tuple[Any, int]] = []
        self.synced = 0
        self.store: Any = None

    def _grew(self, size: int) -> None:
        self.grown += size

    def hold(self, *entries: Kept) -> None:
        self.ring.add(entries)
        self.top = entries[-1].offset

    def cached(self, after: int, limit: int, size: int) -> Any:
        return self.ring.cached(after, limit, size)

    def run(self, cursor: Any) -> None:
        self.ran.append(cursor)

    def fetch(self, cursor: Any) -> None:
        self.fetched.append(cursor)

    def drop(self, cursor: Any) -> None:
        self.cursors.pop(cursor.connection, None)

    def follow(self, connection: Any) -> None:
        self.live.append(connection)

    def header(self, offsets: Any) -> Prepared:
        from odac.protocol.control import encode_control

        return encode_control("at", self.number, *offsets)

    def tell_gap(self, connection: Any, offset: int) -> None:
        self.gaps.append((connection, offset))

    def sync(self, *, prove: bool) -> None:
        self.synced += 1
        self.is_ready = False


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)
