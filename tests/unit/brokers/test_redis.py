"""What the Redis broker makes of the server's errors; the rest is tested with a real server."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import NoPermissionError

from odac.brokers.redis import RedisBroker
from odac.brokers.send_queue import Queued
from odac.brokers.url import parse_url
from odac.errors import BrokerError
from tests.unit.brokers.fakes import run, ticks
from tests.unit.brokers.test_reconnecting import Receiver


def test_what_the_server_refuses_is_dropped_and_the_session_goes_on() -> None:
    async def main() -> None:
        broker, receiver = RedisBroker(parse_url("redis://h")), Receiver()
        broker._receiver = receiver
        broker._refused(Queued("c", b"x", 3), NoPermissionError("no permissions"))
        assert receiver.dropped == 3
        assert receiver.events == []

    run(main())


def test_a_subscription_that_the_server_ends_ends_the_session() -> None:
    async def main() -> None:
        with pytest.raises(ConnectionError, match="ended a subscription"):
            RedisBroker(parse_url("redis://h"))._moved()

    run(main())


def test_a_message_that_cannot_be_sent_is_its_own_callers_error() -> None:
    async def main() -> None:
        broker = RedisBroker(parse_url("redis://h"))
        with pytest.raises(BrokerError, match="not connected"):
            await broker.deliver("c", b"x")
        broker._up = True
        with pytest.raises(BrokerError, match="the broker's limit"):
            await broker.deliver("c", bytes(broker.max_message + 1))
        lost, kept = (asyncio.create_task(broker.deliver("c", b"x")) for _ in range(2))
        await ticks()
        await broker._queue.take()
        broker._queue.refuse(ConnectionError("refused"))
        broker._queue.confirm()
        with pytest.raises(BrokerError, match="refused"):
            await lost
        await kept

    run(main())
