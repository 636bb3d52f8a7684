from __future__ import annotations

import asyncio

import pytest

from odac.brokers import send_queue as module
from odac.brokers.send_queue import Queue, Queued
from tests.unit.brokers.fakes import run, ticks


def test_first_in_first_out() -> None:
    async def main() -> None:
        queue = Queue()
        for number in range(3):
            assert queue.put("c", b"%d" % number, 1)
        assert await queue.take() == [Queued("c", b"%d" % number, 1) for number in range(3)]
        assert len(queue) == 0

    run(main())


def test_past_its_bounds_the_newest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    queue = Queue()
    assert queue.put("c", b"12345678", 1)
    assert not queue.put("c", b"123", 1)
    assert queue.put("c", b"12", 1)
    monkeypatch.setattr(module, "MAX_PAYLOADS", 2)
    assert not queue.put("c", b"", 1)
    assert queue.clear("gone") == 2


def test_taking_waits_for_something() -> None:
    async def main() -> None:
        queue = Queue()
        taker = asyncio.create_task(queue.take())
        await ticks()
        assert not taker.done()
        queue.put("c", b"1", 1)
        assert [queued.payload for queued in await taker] == [b"1"]

    run(main())


def test_taking_waits_while_too_much_is_unconfirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNCONFIRMED", 2)

    async def main() -> None:
        queue = Queue()
        for _ in range(2):
            queue.put("c", b"", 1)
        await queue.take()
        queue.put("c", b"later", 1)
        taker = asyncio.create_task(queue.take())
        await ticks()
        assert not taker.done()
        queue.confirm()
        assert [queued.payload for queued in await taker] == [b"later"]

    run(main())


def test_a_good_deal_is_taken_at_once_and_not_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TAKE_PAYLOADS", 3)
    monkeypatch.setattr(module, "TAKE_BYTES", 100)

    async def main() -> None:
        queue = Queue()
        for size in (1, 1, 1, 99, 5, 5):
            queue.put("c", b"x" * size, 1)
        assert [len(await queue.take()) for _ in range(2)] == [3, 2]

    run(main())


def test_confirmed_waits_for_what_was_put_before_and_not_for_more() -> None:
    async def main() -> None:
        queue = Queue()
        await queue.confirmed()
        queue.put("c", b"1", 1)
        waiter = asyncio.create_task(queue.confirmed())
        await ticks()
        await queue.take()
        queue.put("c", b"2", 1)
        await ticks()
        assert not waiter.done()
        queue.confirm()
        await waiter

    run(main())


def test_what_is_lost_with_the_connection_is_counted_and_reported() -> None:
    async def main() -> None:
        queue = Queue()
        queue.put("c", b"1", 3)
        await queue.take()
        queue.put("c", b"2", 4)
        waiter = asyncio.create_task(queue.confirmed())
        await ticks()
        assert queue.clear("gone") == 7
        with pytest.raises(ConnectionError, match="gone"):
            await waiter
        await queue.confirmed()
        queue.put("c", b"3", 1)
        assert [queued.payload for queued in await queue.take()] == [b"3"]
        assert queue.refuse(ConnectionError("no")).payload == b"3"

    run(main())


def test_taking_waits_while_too_many_bytes_are_unconfirmed_and_asks_to_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNCONFIRMED_BYTES", 10)

    async def main() -> None:
        queue = Queue()
        queue.put("c", b"x" * 10, 1)
        await queue.take()
        assert not queue.hurry.is_set()
        queue.put("c", b"later", 1)
        taker = asyncio.create_task(queue.take())
        await ticks()
        assert not taker.done()
        assert queue.hurry.is_set()
        queue.confirm()
        assert [queued.payload for queued in await taker] == [b"later"]

    run(main())
