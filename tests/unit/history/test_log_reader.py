"""The store as one feed uses it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from odac.errors import BrokerError
from odac.history import log_reader
from odac.history.cursor import HistoryCounters
from odac.history.log_reader import LogReader
from odac.history.rules import History
from odac.history.store import Slice, StoreAway, decode_notice
from tests.unit.history.history_fakes import EPOCH, FakeOwner


class Store:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked: list[tuple[str, int, int]] = []
        self.published: list[tuple[str, bytes]] = []

    async def read(self, channel: str, history: History, after: int, limit: int) -> Slice:
        self.asked.append((channel, after, limit))
        if self.errors:
            raise self.errors.pop(0)
        return Slice(EPOCH, 5, 0)

    async def publish(self, channel: str, payload: bytes) -> None:
        self.published.append((channel, payload))


@pytest.mark.parametrize("error", [StoreAway("away"), TimeoutError(), BrokerError("refused"), KeyError("refused")])
def test_it_asks_until_the_store_answers(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_reader, "RETRY_FIRST", 0.001)

    async def main() -> None:
        store, counters = Store(error, error), HistoryCounters()
        reader = LogReader(FakeOwner(), cast("Any", store), "c", History(), counters)
        assert await reader.read(3, 10) == Slice(EPOCH, 5, 0)
        assert store.asked == [("c", 3, 10)] * 3
        assert counters.reads == 3

    asyncio.run(main())
    assert ("refused" in caplog.text) == ("refused" in str(error)), "what is more than an outage is logged"


def test_a_probe_names_its_process_and_number() -> None:
    async def main() -> None:
        store, owner = Store(), FakeOwner()
        await LogReader(owner, cast("Any", store), "c", History(), HistoryCounters()).publish_probe(9)
        ((channel, payload),) = store.published
        notice = decode_notice(payload)
        assert (channel, notice.probe, notice.epoch, notice.first) == ("c", True, owner.origin, 9)

    asyncio.run(main())
