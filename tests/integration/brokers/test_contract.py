"""The promises of every broker, against real servers."""

from __future__ import annotations

import asyncio

import pytest

from odac.brokers.base import Confirming
from odac.cluster.channels import Channels
from odac.realtime.audience import user_room
from tests.integration.brokers.conftest import Run
from tests.integration.brokers.peers import BrokerPeer, peers
from tests.integration.brokers.servers import Server

CHANNELS = Channels()
A, B = CHANNELS.room("a"), CHANNELS.room("b")


def test_a_payload_reaches_every_subscriber_and_the_publisher(server: Server, run: Run) -> None:
    async def main() -> None:
        async with peers(server.url, 3, A) as (one, two, three):
            one.broker.publish(A, b"hello")
            for peer in (one, two, three):
                await peer.until(lambda peer=peer: peer.payloads(A) == [b"hello"])  # type: ignore[misc]

    run(main())


@pytest.mark.parametrize(
    "payload",
    [b"", bytes(range(256)), b"\r\n" * 1000, b"x" * 900_000],
    ids=["empty", "every byte", "line ends", "900 kB"],
)
def test_payloads_arrive_as_they_are(server: Server, run: Run, payload: bytes) -> None:
    async def main() -> None:
        async with peers(server.url, 2, A) as (one, two):
            one.broker.publish(A, payload)
            await two.until(lambda: two.payloads(A) == [payload])

    run(main())


def test_what_one_publishes_arrives_in_order(server: Server, run: Run) -> None:
    async def main() -> None:
        async with peers(server.url, 2, A, B) as (one, two):
            expected = [(A if number % 3 else B, b"%d" % number) for number in range(3000)]
            for number, (channel, payload) in enumerate(expected):
                one.broker.publish(channel, payload)
                if number % 100 == 0:
                    await asyncio.sleep(0)
            await two.until(lambda: len(two.arrived) == len(expected))
            if server.url.startswith("redis+cluster"):
                # A node keeps the order of its own channels.
                for channel in (A, B):
                    assert two.payloads(channel) == [payload for where, payload in expected if where == channel]
            else:
                assert two.arrived == expected

    run(main())


def test_only_what_is_subscribed_to_arrives(server: Server, run: Run) -> None:
    async def main() -> None:
        async with peers(server.url, 2, A) as (one, two):
            two.broker.subscribe(B)
            await two.hears(one, B)
            one.broker.publish(CHANNELS.room("c"), b"nobody listens")
            two.broker.unsubscribe(A)
            two.broker.unsubscribe("never subscribed to")
            for number in range(100):
                payload = b"%d" % number
                one.broker.publish(A, payload)
                await one.until(lambda payload=payload: payload in one.payloads(A))  # type: ignore[misc]
                try:
                    await two.until(lambda payload=payload: payload in two.payloads(A), 0.3)  # type: ignore[misc]
                except TimeoutError:
                    break
            else:
                raise AssertionError("what was unsubscribed from still arrives")
            await two.hears(one, B)
            assert two.payloads(CHANNELS.room("c")) == []

    run(main())


def test_no_name_is_a_wildcard_or_another_rooms_name(server: Server, run: Run) -> None:
    names = [
        "a",
        "A",
        "ab",
        "a.b",
        "a*",
        "*",
        ">",
        "?",
        "a?",
        "[a]",
        "a.>",
        ".",
        "..",
        " ",
        "a ",
        "{a}",
        "a\u0301",
        "á",
        "%61",
        "\\",
        "/",
        "a/b",
        "a:b",
        "\x01user:a",
    ]
    channels = {name: CHANNELS.room(name) for name in names}

    async def main() -> None:
        async with peers(server.url, 2, *channels.values()) as (one, two):
            for name, channel in channels.items():
                one.broker.publish(channel, name.encode())
            await two.until(lambda: len(two.arrived) >= len(names))
            assert sorted(two.arrived) == sorted((channel, name.encode()) for name, channel in channels.items())

    run(main())


def test_the_longest_names_there_are(server: Server, run: Run) -> None:
    """Of a room, each byte of which takes three in the channel, and of a user, whose id has no limit."""
    rooms = ["é" * 100, user_room("é" * 10_000), user_room("\x01" * 64)]

    async def main() -> None:
        async with peers(server.url, 2, *[Channels().room(room) for room in rooms]) as (one, other):
            for room in rooms:
                await one.hears(other, Channels().room(room))
            assert one.events == ["up"]

    run(main())


def test_a_channel_subscribed_to_twice_delivers_once(server: Server, run: Run) -> None:
    async def main() -> None:
        async with peers(server.url, 2, A) as (one, two):
            two.broker.subscribe(A)
            await two.hears(one, A)
            one.broker.publish(A, b"1")
            one.broker.publish(A, b"2")
            await two.until(lambda: b"2" in two.payloads(A))
            assert two.payloads(A) == [b"1", b"2"]

    run(main())


def test_a_flapping_subscription_ends_as_it_was_wanted(server: Server, run: Run) -> None:
    async def main() -> None:
        async with peers(server.url, 2, A) as (one, two):
            for number in range(200):
                two.broker.unsubscribe(A)
                if number % 7 == 0:
                    await asyncio.sleep(0)
                if number % 31 == 0:
                    await asyncio.sleep(0.005)
                two.broker.subscribe(A)
            await two.hears(one, A)
            one.broker.publish(A, b"1")
            one.broker.publish(A, b"2")
            await two.until(lambda: b"2" in two.payloads(A))
            assert two.payloads(A) == [b"1", b"2"]
            assert two.events == ["up"]

    run(main())


def test_flushing_returns_when_the_broker_has_everything(server: Server, run: Run) -> None:
    async def main() -> None:
        async with peers(server.url, 2, A) as (one, two):
            broker = one.broker
            assert isinstance(broker, Confirming)
            await broker.flush()
            for number in range(1000):
                broker.publish(A, b"%d" % number)
            await broker.flush()
            await two.until(lambda: len(two.payloads(A)) == 1000)

    run(main())


def test_what_is_published_just_before_the_end_arrives(server: Server, run: Run) -> None:
    async def main() -> None:
        async with peers(server.url, 2, A) as (one, two):
            one.broker.publish(A, b"last words")
            await one.broker.stop()
            await two.until(lambda: two.payloads(A) == [b"last words"])

    run(main())


@pytest.mark.parametrize("again", [False, True], ids=["at first", "after a reconnect"])
def test_ten_thousand_subscriptions_at_once_all_hold(server: Server, run: Run, again: bool) -> None:
    channels = [CHANNELS.room(f"room {number}") for number in range(10_000)]

    async def main() -> None:
        async with peers(server.url, 2, A) as (one, two):
            for channel in channels:
                two.broker.subscribe(channel)
            if again:
                await two.hears(one, channels[-1])
                two.broker.reconnect("the test wants it")
                await two.up(times=2)
                assert two.events == ["up", "down", "up"]
            await two.hears_all(one, channels)

    run(main())


def test_a_payload_that_is_too_large_is_dropped_and_nothing_else(server: Server, run: Run) -> None:
    if server.url.startswith("memory"):
        pytest.skip("not for this one: memory has no limit of its own; the bus has")

    async def main() -> None:
        async with peers(server.url, 2, A) as (one, two):
            one.broker.publish(A, bytes(one.broker.max_message + 1), 3)
            one.broker.publish(A, b"next")
            await two.until(lambda: two.payloads(A) == [b"next"])
            assert one.dropped == 3
            assert one.events == ["up"]

    run(main())


def test_a_publish_only_broker_subscribes_to_nothing(server: Server, run: Run) -> None:
    async def main() -> None:
        async with peers(server.url, 1, A) as (listener,), peers(server.url, 1) as (publisher,):
            await listener.hears(publisher, A)
            assert publisher.arrived == []

    run(main())


def test_stopping_twice_and_before_starting_is_no_error(server: Server, run: Run) -> None:
    async def main() -> None:
        peer = BrokerPeer(server.url)
        await peer.broker.stop()
        await peer.broker.start(peer)
        await peer.broker.stop()
        await peer.broker.stop()

    run(main())
