"""The order in which a feed does things with its store; what its members see is tested with whole apps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from odac.config import Limits
from odac.history import follower
from odac.history.cursor import HistoryCounters
from odac.history.feed import Feed
from odac.history.position import Tickets
from odac.history.rules import History
from odac.history.store import Entry, Message, Notice, Slice, StoreAway, decode_notice, encode_message
from odac.realtime.hub import Hub

EPOCH, OTHER = b"e" * 16, b"f" * 16


def entry(offset: int, text: bytes = b"x") -> Entry:
    return Entry(offset, 0, encode_message(Message((), 1, text)))


class FakeStore:
    """A log of one epoch, which can be away; it says what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.probes: list[Notice] = []
        self.found = Slice(EPOCH, 0, 0)
        self.entries: list[Entry] = []
        self.away = 0
        self.during: Callable[[], object] | None = None

    async def publish(self, channel: str, payload: bytes) -> None:
        self.asked.append(("publish", 0))
        self.probes.append(decode_notice(payload))

    async def read(self, channel: str, history: History, after: int, limit: int) -> Slice:
        self.asked.append(("read", after))
        if self.away:
            self.away -= 1
            raise StoreAway("away")
        start = max(0, self.found.top + after if after < 0 else after)
        found = self.found._replace(entries=tuple(self.entries[start:][:limit]))
        during, self.during = self.during, None
        if during is not None:
            during()  # after the store has read, and before its answer is here
        return found

    def append(self, count: int) -> list[Entry]:
        new = [entry(self.found.top + index + 1) for index in range(count)]
        self.entries += new
        self.found = self.found._replace(top=self.found.top + count)
        return new


class Owner:
    origin = b"o" * 16
    limits = Limits()

    def __init__(self) -> None:
        self.semaphore = asyncio.Semaphore(4)
        self.ring = 0
        self.agreed = asyncio.Event()
        self.agreed.set()

    def now(self) -> float:
        return 0.0

    def reading(self) -> asyncio.Semaphore:
        return self.semaphore

    def ring_grew(self, size: int) -> None:
        self.ring += size

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not to be asked for here")


def with_feed(test: Callable[[Feed, FakeStore], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        hub = Hub(Limits())
        hub.start(asyncio.get_running_loop())
        store = FakeStore()
        feed = Feed(
            cast("Any", Owner()),
            hub,
            cast("Any", store),
            Tickets([], []),
            "r",
            "c",
            History(ttl=1e6),
            1,
            HistoryCounters(),
        )
        await asyncio.wait_for(test(feed, store), 10)
        feed.close()

    asyncio.run(main())


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_it_reads_only_after_its_own_probe_has_come_back() -> None:
    async def test(feed: Feed, store: FakeStore) -> None:
        feed.sync(prove=True)
        await until(lambda: len(store.probes) >= 2)  # none came back: it tries again
        assert all(what == "publish" for what, _ in store.asked)
        assert not feed.is_ready
        feed.take(store.probes[-1]._replace(epoch=b"another's id...."))
        feed.take(store.probes[0])  # an old one proves nothing of now
        await asyncio.sleep(0.01)
        assert not any(what == "read" for what, _ in store.asked)
        feed.take(store.probes[-1])
        await until(lambda: feed.is_ready)
        assert store.asked[-1][0] == "read"

    with_feed(test)


async def ready(feed: Feed, store: FakeStore) -> None:
    feed.sync(prove=True)
    await until(lambda: store.probes)
    while not feed.is_ready:
        feed.take(store.probes[-1])
        await asyncio.sleep(0.001)


def test_what_comes_while_it_reads_is_taken_behind_what_it_has_read() -> None:
    async def test(feed: Feed, store: FakeStore) -> None:
        store.append(3)
        feed.sync(prove=True)
        new = store.append(2)
        feed.take(Notice(EPOCH, 4, tuple(new)))
        await ready(feed, store)
        assert feed.top == 5
        feed.take(Notice(EPOCH, 4, tuple(new)))
        assert feed.top == 5, "it has it already"
        assert feed.epoch == EPOCH

    with_feed(test)


@pytest.mark.parametrize("prove", [False, True])
def test_a_user_revoked_while_it_reads_is_revoked(prove: bool) -> None:
    async def test(feed: Feed, store: FakeStore) -> None:
        if not prove:
            await ready(feed, store)

        def revoke() -> None:
            store.found = store.found._replace(revoked={"u": 1})
            feed.take(Notice(EPOCH, 0, changed=True))

        store.during = revoke
        await ready(feed, store) if prove else feed.sync(prove=False)
        await until(lambda: feed.recoveries.revoked)
        assert feed.recoveries.revoked == {"u": 1}

    with_feed(test)


@pytest.mark.parametrize("prove", [False, True])
def test_a_log_erased_while_it_reads_is_gone(prove: bool) -> None:
    async def test(feed: Feed, store: FakeStore) -> None:
        store.append(3)
        if not prove:
            await ready(feed, store)

        def erase() -> None:
            store.found, store.entries = Slice(None, 0, 0), []
            feed.take(Notice(bytes(16), 0))

        store.during = erase
        await ready(feed, store) if prove else feed.sync(prove=False)
        await until(lambda: feed.epoch is None and store.during is None)
        assert (feed.top, feed.counters.gaps) == (0, 1)
        assert feed.cached(0, 100, 1 << 20) is None

    with_feed(test)


def test_a_failure_that_no_store_tells_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The members would wait for good, and nobody would notice."""
    monkeypatch.setattr(follower, "PAUSE_AFTER_FAILURE", 0.001)

    async def test(feed: Feed, store: FakeStore) -> None:
        await ready(feed, store)
        emit, fails = feed.emit, [KeyError("a defect"), KeyError("a defect")]

        def failing(entries: Any) -> None:
            if fails:
                raise fails.pop()
            emit(entries)

        monkeypatch.setattr(feed, "emit", failing)
        store.append(2)
        feed.sync(prove=False)
        while feed.top < 2 or not feed.is_ready:
            feed.take(store.probes[-1])
            await asyncio.sleep(0.001)
        feed.take(Notice(EPOCH, 3, tuple(store.append(1))))
        assert feed.top == 3

    with_feed(test)
    assert caplog.text.count("a defect") >= 2


def test_what_follows_a_loss_while_it_reads_is_read_once_more() -> None:
    async def test(feed: Feed, store: FakeStore) -> None:
        def append() -> None:
            store.append(1)  # never published
            feed.take(Notice(EPOCH, 2, tuple(store.append(1))))

        store.during = append
        await ready(feed, store)
        await until(lambda: feed.top == 2)
        assert feed.counters.gaps == 0
        feed.take(Notice(EPOCH, 3, tuple(store.append(1))))
        assert feed.top == 3, "it is live again"

    with_feed(test)


def test_too_many_notices_while_it_reads_are_read_once_more() -> None:
    async def test(feed: Feed, store: FakeStore) -> None:
        def append() -> None:
            for _ in range(feed.limits.history_notices + 5):
                feed.take(Notice(EPOCH, store.found.top + 1, tuple(store.append(1))))
            store.during = append_one

        def append_one() -> None:
            feed.take(Notice(EPOCH, store.found.top + 1, tuple(store.append(1))))

        store.during = append
        await ready(feed, store)
        assert feed.top == store.found.top == feed.limits.history_notices + 6
        assert (feed.counters.rereads, feed.counters.gaps) == (1, 0)

    with_feed(test)


@pytest.mark.parametrize("away", [0, 3])
def test_a_number_that_is_missing_is_read_once(away: int) -> None:
    async def test(feed: Feed, store: FakeStore) -> None:
        await ready(feed, store)
        store.append(2)  # never published
        third = store.append(1)
        store.away = away
        reads = feed.counters.reads
        feed.take(Notice(EPOCH, 3, tuple(third)))
        await until(lambda: feed.top == 3)
        assert feed.counters.reads - reads == 1 + away
        assert feed.counters.gaps == 0

    with_feed(test)


def test_a_top_that_is_told_once_more_shows_the_loss_of_the_last_one() -> None:
    async def test(feed: Feed, store: FakeStore) -> None:
        await ready(feed, store)
        feed.take(Notice(EPOCH, 0))
        reads = feed.counters.reads
        store.append(1)
        feed.take(Notice(EPOCH, 1))
        await until(lambda: feed.top == 1)
        feed.take(Notice(EPOCH, 1))
        feed.take(Notice(EPOCH, 0))  # late
        await asyncio.sleep(0.01)
        assert feed.counters.reads - reads == 1

    with_feed(test)


def test_another_epoch_is_a_gap_and_its_entries_are_delivered() -> None:
    async def test(feed: Feed, store: FakeStore) -> None:
        store.append(3)
        await ready(feed, store)
        store.entries, store.found = [], Slice(OTHER, 0, 0)
        new = store.append(1)
        feed.take(Notice(OTHER, 1, tuple(new)))
        await until(lambda: feed.epoch == OTHER and feed.top == 1)
        assert feed.counters.gaps == 1
        assert [kept.offset for kept in feed.cached(0, 100, 1 << 20) or ()] == [1], "delivered after the gap"

    with_feed(test)


def test_the_first_entry_of_an_empty_room_is_no_gap() -> None:
    async def test(feed: Feed, store: FakeStore) -> None:
        store.found = Slice(None, 0, 0)
        await ready(feed, store)
        store.found = Slice(EPOCH, 0, 0)
        feed.take(Notice(EPOCH, 1, tuple(store.append(1))))
        assert (feed.epoch, feed.top, feed.counters.gaps) == (EPOCH, 1, 0)

    with_feed(test)


@pytest.mark.parametrize(("prove", "gaps"), [(False, 0), (True, 1)])
def test_the_first_entries_of_an_empty_room_are_a_gap_only_after_an_outage(prove: bool, gaps: int) -> None:
    async def test(feed: Feed, store: FakeStore) -> None:
        store.found = Slice(None, 0, 0)
        await ready(feed, store)
        store.found = Slice(EPOCH, 0, 0)
        new = store.append(2)  # published, but not received yet
        await ready(feed, store) if prove else feed.sync(prove=False)
        await until(lambda: feed.top == 2)
        assert (feed.epoch, feed.counters.gaps) == (EPOCH, gaps)
        assert (feed.cached(0, 100, 1 << 20) is None) == prove, "the members got them, unless they were told of a gap"
        feed.take(Notice(EPOCH, 1, tuple(new)))
        feed.take(Notice(EPOCH, 3, tuple(store.append(1))))
        assert (feed.top, feed.counters.gaps) == (3, gaps)

    with_feed(test)


def test_entries_that_no_version_has_written_are_passed_over() -> None:
    async def test(feed: Feed, store: FakeStore) -> None:
        await ready(feed, store)
        feed.take(Notice(EPOCH, 1, (Entry(1, 0, b"garbage"), entry(2))))
        assert feed.top == 2

    with_feed(test)


def test_a_ring_gives_back_what_it_held() -> None:
    async def test(feed: Feed, store: FakeStore) -> None:
        await ready(feed, store)
        feed.take(Notice(EPOCH, 1, tuple(store.append(10))))
        owner = cast("Owner", feed.owner)
        assert owner.ring == feed.ring.size > 0
        assert feed.cached(0, 100, 1 << 20) is not None
        feed.ring.shrink()
        assert owner.ring == feed.ring.size
        assert feed.cached(0, 100, 1 << 20) is None
        assert [kept.offset for kept in feed.cached(5, 3, 1 << 20) or ()] == [6, 7, 8]
        feed.close()
        assert owner.ring == 0

    with_feed(test)
