"""Sends to rooms with history."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from odac.config import Limits
from odac.errors import BrokerError
from odac.history.cursor import HistoryCounters
from odac.history.memory_store import MemoryStore, Shared
from odac.history.rules import History
from odac.history.sending import Sending
from odac.history.store import StoreAway, decode_message
from odac.protocol.message import Prepared
from odac.realtime.sent import SENT
from tests.unit.history.history_fakes import until

HISTORY = History()


class Feed:
    is_ready = True
    epoch = None

    def __init__(self) -> None:
        self.entries: list[tuple[int, bytes, tuple[str, ...]]] = []
        self.waited: list[int] = []

    def appended(self, epoch: bytes, entries: Any) -> None:
        self.entries += [(each.offset, each.message.payload, each.excluded) for each in entries]

    async def reached(self, offset: int) -> None:
        self.waited.append(offset)


class World:
    def __init__(self, *, alone: bool) -> None:
        self.store = MemoryStore(Shared(lambda: 1000.0), None if alone else lambda channel, payload: None)
        self.feed = Feed()
        self.counters = HistoryCounters()
        loop = asyncio.get_running_loop()
        hub = SimpleNamespace(limits=Limits(history_queue_time=0.01), delivery=SimpleNamespace(loop=loop, thread=0))
        feeds = SimpleNamespace(
            origin=b"o" * 16,
            instant=self.store if alone else None,
            of=lambda room: self.feed,
            of_channel=lambda channel: self.feed,
        )
        self.sending = Sending(cast("Any", hub), cast("Any", feeds), self.counters)

    def send(self, text: bytes) -> object:
        return self.sending.send("room", "channel", HISTORY, frozenset({"me.1"}), Prepared(1, text), None)


def test_into_a_log_in_this_process_at_once() -> None:
    async def main() -> None:
        world = World(alone=True)
        assert world.send(b"x") is SENT
        assert world.send(b"y") is SENT
        assert world.feed.entries == [(1, b"x", ("me.1",)), (2, b"y", ("me.1",))]
        assert not world.sending.behind("channel", lambda: None)
        assert world.sending.figures() == {}

    asyncio.run(main())


def test_else_by_the_appender_and_behind_it() -> None:
    async def main() -> None:
        world = World(alone=False)
        world.sending.start(world.store)
        world.send(b"x")
        behind: list[int] = []
        assert world.sending.behind("channel", lambda: behind.append(len(world.feed.waited)))
        assert world.sending.figures()["history_waiting"] == 2
        await until(lambda: behind)
        assert behind == [1] == world.feed.waited, "what waits behind a send goes on when members here have it"
        (entry,) = world.store.read_now("channel", HISTORY, 0, 10).entries
        assert decode_message(entry.body).payload == b"x"
        assert len(world.sending.tops) == 1
        await world.sending.stop()

    asyncio.run(main())


def test_failures_that_are_not_awaited_are_logged_once_per_outage(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        world = World(alone=False)
        errors: list[BrokerError] = [StoreAway("down"), StoreAway("down"), BrokerError("down"), BrokerError("down")]
        append = world.store.append

        async def failing(*arguments: Any) -> Any:
            if errors:
                raise errors.pop()
            return await append(*arguments)

        world.store.append = cast("Any", failing)  # type: ignore[method-assign]
        world.sending.start(world.store)
        for number in range(3):
            world.send(b"%d" % number)
            await until(lambda: not len(world.sending.appender or ()))
            await asyncio.sleep(0)
        await until(lambda: world.counters.failed >= 2)
        await world.sending.stop()

    asyncio.run(main())
    assert caplog.text.count("may be lost, and no caller awaits them") == 1
