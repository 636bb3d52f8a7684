from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from odac.brokers.local_history import LocalHistory
from odac.brokers.local_paths import directory_of
from odac.brokers.local_proxy import LocalProxy
from odac.brokers.url import parse_url
from odac.errors import BrokerError
from odac.history.rules import History
from odac.history.store import StoreAway
from tests.unit.brokers.fakes import run

HISTORY = History(size=5, ttl=60.0)
URL = parse_url("local://chat")


@pytest.fixture
def proxy(folder: Path) -> Iterator[LocalProxy]:
    proxy = LocalProxy(directory_of(URL))
    proxy.start()
    yield proxy
    proxy.stop()


def test_two_processes_share_their_logs_and_rules_through_the_proxy(proxy: LocalProxy) -> None:
    async def test() -> None:
        one, two = LocalHistory(URL), LocalHistory(URL, 4096 * 1024)
        for store in (one, two):
            await store.start(30.0)
        done = await one.append("ch", HISTORY, b"o" * 16, 1, [b"a", b"b"], b"e" * 16)
        assert done == (b"e" * 16, 2)
        found = await two.read("ch", HISTORY, 0, 10)
        assert [entry.body for entry in found.entries] == [b"a", b"b"]
        await two.revoke("ch", "user")
        assert (await one.read("ch", HISTORY, 0, 0)).revoked == {"user": 1}
        await two.erase("ch")
        assert (await one.read("ch", HISTORY, 0, 10)).epoch is None
        assert await one.write_rules(1, b"rules", 60.0)
        assert await two.rules() == (1, b"rules")
        await one.publish("ch", b"probe")
        for store in (one, two):
            await store.stop()

    run(test())


def test_what_the_log_refuses_is_an_error_that_asking_again_does_not_mend(proxy: LocalProxy) -> None:
    async def test() -> None:
        store = LocalHistory(URL)
        await store.start(30.0)
        with pytest.raises(BrokerError, match="refused the request") as caught:
            await store._ask("no such method")
        assert not isinstance(caught.value, StoreAway)
        await store.stop()

    run(test())


def test_before_the_start_and_after_the_end_the_store_is_away(proxy: LocalProxy) -> None:
    async def test() -> None:
        store = LocalHistory(URL)
        with pytest.raises(StoreAway, match="not connected"):
            await store.erase("ch")
        await store.start(30.0)
        await store.erase("ch")
        await store.stop()
        with pytest.raises(StoreAway):
            await store.erase("ch")

    run(test())


def test_an_answer_of_another_version_ends_the_connection_and_not_the_store(
    proxy: LocalProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the process that holds the broker has been replaced by one that answers more than this one knows."""

    async def test() -> None:
        store = LocalHistory(URL)
        await store.start(30.0)
        first = store._asker
        assert first is not None
        monkeypatch.setattr(first, "_decode", msgspec.msgpack.Decoder(int).decode)
        with pytest.raises(StoreAway):
            await store.erase("ch")
        async with asyncio.timeout(30):
            while store._asker in (None, first):
                await asyncio.sleep(0.01)
        await store.erase("ch")
        await store.stop()

    run(test())
