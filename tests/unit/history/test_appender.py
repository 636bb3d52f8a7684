"""The queue of each room towards the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from odac.config import Limits
from odac.errors import BrokerError
from odac.history.appender import Appender
from odac.history.rules import History
from odac.history.store import Appended, StoreAway
from odac.realtime.receipts import KeptSend
from tests.unit.history.history_fakes import EPOCH, until

HISTORY = History()


class Store:
    """Notes the batches; fails as the test says, and answers when it is let."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int, list[bytes]]] = []
        self.errors: list[Exception] = []
        self.open = asyncio.Event()
        self.open.set()

    async def append(
        self, channel: str, history: History, origin: bytes, first: int, bodies: list[bytes], epoch: bytes
    ) -> Appended:
        self.batches.append((channel, first, bodies))
        await self.open.wait()
        if self.errors:
            raise self.errors.pop(0)
        return Appended(EPOCH, len(self.batches))


class World:
    def __init__(self, **limits: Any) -> None:
        self.store = Store()
        self.confirmed: list[tuple[str, int]] = []
        self.failed: list[tuple[str, int]] = []
        self.fails = False
        self.appender = Appender(cast("Any", self.store), b"o" * 16, Limits(**limits), self._confirmed, self._failed)

    async def _confirmed(self, channel: str, done: Appended) -> None:
        if self.fails:
            raise KeyError("a defect")
        self.confirmed.append((channel, done.top))

    def _failed(self, error: BrokerError, unheard: int) -> None:
        self.failed.append((str(error), unheard))

    def add(self, body: bytes, channel: str = "c") -> KeptSend:
        receipt = KeptSend(asyncio.get_running_loop(), 0)
        self.appender.add(channel, HISTORY, body, receipt)
        return receipt


def with_world(test: Callable[[World], Coroutine[Any, Any, None]], **limits: Any) -> None:
    async def main() -> None:
        world = World(**limits)
        async with asyncio.timeout(60):
            await test(world)
            world.store.open.set()
            await world.appender.stop(10.0)

    asyncio.run(main())


def test_one_batch_of_a_room_is_under_way_and_what_comes_meanwhile_is_the_next() -> None:
    async def test(world: World) -> None:
        world.store.open.clear()
        for number in range(5):
            world.add(b"%d" % number)
        world.add(b"x", "other")
        await until(lambda: len(world.store.batches) == 2)
        world.add(b"5")
        world.store.open.set()
        await until(lambda: not len(world.appender))
        assert [bodies for channel, _, bodies in world.store.batches if channel == "c"] == [
            [b"0", b"1", b"2"],
            [b"3", b"4", b"5"],
        ]
        numbers = sorted((first, len(bodies)) for _, first, bodies in world.store.batches)
        assert [first for first, _ in numbers] == [1, 4, 5]
        assert world.appender.waiting_bytes == 0

    with_world(test, history_batch=3)


def test_a_batch_is_bounded_by_bytes_but_takes_one_of_any_size() -> None:
    async def test(world: World) -> None:
        for size in (10, 80, 80, 500):
            world.add(b"x" * size)
        await until(lambda: not len(world.appender) and len(world.confirmed) == 3)
        assert [list(map(len, bodies)) for _, _, bodies in world.store.batches] == [[10, 80], [80], [500]]

    with_world(test, history_batch_bytes=100)


def test_what_was_not_confirmed_is_sent_again_under_the_same_number() -> None:
    async def test(world: World) -> None:
        world.store.errors = [StoreAway("away"), StoreAway("away")]
        world.add(b"x")
        await until(lambda: world.confirmed)
        assert world.store.batches == [("c", 1, [b"x"])] * 3
        assert world.failed == []

    with_world(test)


def test_a_message_waits_so_long_and_then_fails() -> None:
    async def test(world: World) -> None:
        world.store.errors = [StoreAway("away")] * 100
        receipt = world.add(b"x")
        with pytest.raises(BrokerError, match="it is unknown whether the message was stored"):
            await asyncio.wait_for(_wait(receipt), 30)
        assert world.failed[0][1] == 0, "somebody waits for it"

    with_world(test, history_queue_time=0.01)


async def _wait(receipt: KeptSend) -> None:
    receipt._thread = __import__("_thread").get_ident()
    await receipt


def test_what_can_never_work_fails_at_once() -> None:
    async def test(world: World) -> None:
        world.store.errors = [BrokerError("no memory")]
        world.add(b"x")
        await until(lambda: world.failed)
        assert world.failed == [("no memory", 1)]
        assert len(world.store.batches) == 1

    with_world(test)


def test_what_no_store_should_raise_fails_the_batch_and_not_the_next_one() -> None:
    """Whoever waits for the message is told, whatever a client library raised."""

    async def test(world: World) -> None:
        world.store.errors = [RuntimeError("the transport is closed")]
        world.add(b"x")
        await until(lambda: world.failed)
        assert world.failed == [
            ("RuntimeError('the transport is closed'); it is unknown whether the message was stored", 1)
        ]
        world.add(b"y")
        await until(lambda: world.confirmed)
        assert world.store.batches == [("c", 1, [b"x"]), ("c", 2, [b"y"])]

    with_world(test)


def test_what_follows_a_confirmation_may_fail_and_the_queue_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def test(world: World) -> None:
        called: list[str] = []
        world.fails = True
        world.add(b"x")
        assert world.appender.behind("c", lambda: called.append("behind"))
        await until(lambda: called)
        assert not len(world.appender)

    with_world(test)
    assert "a defect" in caplog.text


def test_more_bytes_than_the_queue_takes_fail_and_name_the_limit() -> None:
    async def test(world: World) -> None:
        world.store.open.clear()
        world.add(b"x" * 500)
        world.add(b"y" * 500)
        assert [unheard for _, unheard in world.failed] == [1]
        assert "history_queue_bytes" in world.failed[0][0]

    with_world(test, history_queue_bytes=1000)


def test_a_call_runs_behind_what_is_queued_and_its_error_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def test(world: World) -> None:
        assert not world.appender.behind("c", lambda: None)
        world.store.open.clear()
        seen: list[int] = []
        world.add(b"1")
        assert world.appender.behind("c", lambda: seen.append(len(world.confirmed)))
        assert world.appender.behind("c", lambda: 1 / 0)
        world.add(b"2")
        world.store.open.set()
        await until(lambda: len(world.confirmed) == 2)
        assert seen == [1]

    with_world(test)
    assert "ZeroDivisionError" in caplog.text


def test_at_the_stop_what_is_left_fails() -> None:
    async def main() -> None:
        world = World()
        world.store.open.clear()
        world.add(b"1")
        await until(lambda: world.store.batches)
        world.add(b"2")
        await world.appender.stop(0.01)
        assert [text.partition(";")[0] for text, _ in world.failed] == ["the app has stopped"] * 2
        assert len(world.appender) == 0

    asyncio.run(main())
