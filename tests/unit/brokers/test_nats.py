"""What the NATS broker makes of URLs and of the server's errors; the rest is tested with a real server."""

from __future__ import annotations

import asyncio

import pytest
from nats.errors import Error

from odac.brokers.nats import NatsBroker
from odac.brokers.url import parse_url
from odac.errors import BrokerError
from tests.unit.brokers.fakes import run, ticks
from tests.unit.brokers.test_reconnecting import Receiver


@pytest.mark.parametrize(
    ("url", "servers", "user", "password", "token"),
    [
        ("nats://h:4222", ["nats://h:4222"], None, None, None),
        ("nats://a,nats://b:9", ["nats://a", "nats://b:9"], None, None, None),
        ("nats://ada:p%40ss@h", ["nats://h"], "ada", "p@ss", None),
        ("nats://s3cret@h/", ["nats://h"], None, None, "s3cret"),
    ],
)
def test_a_url_is_taken_apart(
    url: str, servers: list[str], user: str | None, password: str | None, token: str | None
) -> None:
    broker = NatsBroker(parse_url(url))
    assert (broker._servers, broker._user, broker._password, broker._token) == (servers, user, password, token)


@pytest.mark.parametrize(
    "text", ['nats: permissions violation for publish to "c"', "nats: 'Permissions Violation for Publish to \"c\"'"]
)
def test_a_refusal_is_the_error_of_the_messages_on_that_channel_alone(text: str) -> None:
    async def main() -> None:
        broker, receiver = NatsBroker(parse_url("nats://h")), Receiver()
        broker._receiver = receiver
        broker._up = True
        refused = asyncio.create_task(broker.deliver("c", b"1"))
        other = asyncio.create_task(broker.deliver("d", b"2"))
        await ticks()
        await broker._queue.take()
        await broker._on_error(Error(text))
        with pytest.raises(BrokerError, match=r"(?i)permissions violation"):
            await refused
        assert not other.done()
        broker._queue.confirm(2)
        await other
        assert receiver.dropped == 1

    run(main())


def test_other_errors_of_the_server_refuse_nothing() -> None:
    async def main() -> None:
        broker, receiver = NatsBroker(parse_url("nats://h")), Receiver()
        broker._receiver = receiver
        await broker._on_error(Error("nats: stale connection"))
        await broker._on_error(Error('nats: permissions violation for subscription to "c"'))
        assert receiver.dropped == 1

    run(main())
