"""Processes while the network to the broker is cut, or the broker is restarted, killed, frozen or flooded."""

from __future__ import annotations

import asyncio
import logging
import tracemalloc
from pathlib import Path

import pytest
from redis.crc import key_slot

from odac.brokers import send_queue as queue
from odac.brokers.base import Confirming
from odac.cluster.channels import Channels
from odac.realtime.audience import EVERYONE
from tests.integration.brokers.conftest import Run, started
from tests.integration.brokers.network import network_to
from tests.integration.brokers.peers import BusPeer, buses, peers
from tests.integration.brokers.servers import ClusterNode, Redis, RedisCluster, Server

A = Channels().room("a")
WARNED = ("odac.broker", logging.WARNING)


def in_order_and_once(payloads: list[bytes]) -> bool:
    numbers = [int(payload) for payload in payloads]
    return numbers == sorted(set(numbers))


async def flush(peer: BusPeer) -> None:
    assert isinstance(peer.broker, Confirming)
    await peer.broker.flush()


def test_a_cut_connection_is_built_again_with_its_subscriptions(
    remote: Server, run: Run, short_directory: Path
) -> None:
    async def main() -> None:
        async with (
            network_to(remote, short_directory) as (network, url),
            peers(url, 1, A) as (one,),
            peers(remote.url, 1) as (other,),
        ):
            for times in (2, 3):
                network.cut()
                await one.up(times)
                await one.hears(other, A)
            other.broker.publish(A, b"1")
            await one.until(lambda: one.payloads(A) == [b"1"])
            assert one.events == ["up", "down", "up", "down", "up"]

    run(main())


def test_a_connection_that_breaks_while_it_subscribes_is_built_again(
    remote: Server, run: Run, short_directory: Path
) -> None:
    """What the client library has yet to send, and whoever waits for room in its buffer, ends with the connection."""

    async def main() -> None:
        async with (
            network_to(remote, short_directory) as (network, url),
            peers(url, 1) as (one,),
            peers(remote.url, 1) as (other,),
        ):
            for times, turns in enumerate((1, 3, 10, 30), start=2):
                channels = [Channels().room(f"{times} {number}") for number in range(3000)]
                for channel in channels:
                    one.broker.subscribe(channel)
                for _ in range(turns):
                    await asyncio.sleep(0)
                network.cut()
                await one.up(times)
                await one.hears(other, channels[-1])

    run(main())


def test_a_disconnected_process_loses_messages_and_gets_none_twice_or_out_of_order(
    remote: Server, run: Run, short_directory: Path
) -> None:
    async def main() -> None:
        async with (
            network_to(remote, short_directory) as (network, url),
            buses(url, remote.url) as (cut_off, sender),
        ):
            cut_off.bus.room_opened("a")
            await cut_off.hears(sender, "a")
            for number in range(600):
                if number in {200, 400}:
                    network.cut()
                    await cut_off.until(lambda: not cut_off.broker.connected)
                    sender.send(b"%d" % number, "a")
                    await cut_off.healthy()
                    continue
                sender.send(b"%d" % number, "a")
                if number % 10 == 0:
                    await asyncio.sleep(0)
            await cut_off.until(lambda: b"599" in cut_off.payloads())
            assert in_order_and_once(cut_off.payloads())
            missing = 600 - len(cut_off.payloads())
            assert missing >= 2
            assert cut_off.bus.counters.lost == missing
            assert cut_off.bus.counters.outages == 2
            assert cut_off.bus.counters.late == 0

    run(main())


def test_what_is_sent_while_cut_off_is_counted_and_never_sent_later(
    remote: Server, run: Run, short_directory: Path
) -> None:
    async def main() -> None:
        async with (
            network_to(remote, short_directory) as (network, url),
            buses(url, remote.url) as (cut_off, receiver),
        ):
            receiver.bus.room_opened("a")
            await receiver.hears(cut_off, "a")
            await flush(cut_off)  # what is not confirmed when the connection breaks is counted too
            network.refuses = True
            network.cut()
            await cut_off.unhealthy()
            for number in range(10):
                cut_off.send(b"%d" % number, "a")
            await asyncio.sleep(0)
            assert cut_off.bus.counters.dropped == 10
            network.refuses = False
            await cut_off.healthy()
            cut_off.send(b"10", "a")
            await receiver.until(lambda: b"10" in receiver.payloads())
            assert receiver.payloads() == [b"10"]
            assert receiver.bus.counters.lost == 10

    run(main())


def test_a_subscription_that_has_died_silently_is_found_by_the_probe(
    remote: Server, run: Run, short_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with (
            network_to(remote, short_directory) as (network, url),
            buses(url, remote.url) as (deaf, other),
        ):
            deaf.bus.room_opened("a")
            await deaf.hears(other, "a")
            connections = network.connections
            network.drop_answers()
            await deaf.unhealthy()
            network.restore()
            await deaf.healthy()
            await deaf.hears(other, "a")
            assert network.connections > connections
            assert other.bus.healthy

    with caplog.at_level(WARNED[1], WARNED[0]):
        run(main())
    assert any("did not come back" in record.getMessage() for record in caplog.records)


def test_everything_is_back_after_a_restart(fragile: Server, run: Run) -> None:
    async def main() -> None:
        async with buses(fragile.url, fragile.url) as (one, other):
            one.bus.room_opened("a")
            await one.hears(other, "a")
            await asyncio.to_thread(fragile.stop)
            await one.unhealthy()
            await other.unhealthy()
            assert (await one.bus.count_others(EVERYONE, 5)).answered == 0
            await asyncio.to_thread(fragile.start)
            await one.healthy()
            await other.healthy()
            await one.hears(other, "a")
            await other.hears(one)
            for peer in (one, other):
                assert peer.bus.counters.outages == 1
                await peer.until(lambda peer=peer: peer.bus.processes == 2)  # type: ignore[misc]
            assert (await one.bus.count_others(EVERYONE, 5)).answered == 1

    run(main())


def test_ten_thousand_subscriptions_are_back_after_a_restart(fragile: Server, run: Run) -> None:
    channels = [Channels().room(f"room {number}") for number in range(10_000)]

    async def main() -> None:
        async with peers(fragile.url, 2, A) as (one, two):
            for channel in channels:
                two.broker.subscribe(channel)
            await two.hears(one, channels[-1])
            await asyncio.to_thread(fragile.stop)
            await asyncio.to_thread(fragile.start)
            await one.up(times=2)
            await two.up(times=2)
            await two.hears_all(one, channels)

    run(main())


def test_a_killed_broker_is_noticed_at_once(fragile: Server, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        # Probes would take minutes here: it is the connection that tells.
        peer = BusPeer(fragile.url, interval=100)
        await peer.bus.start()
        await peer.healthy()
        await asyncio.to_thread(fragile.kill)
        await peer.until(lambda: not peer.bus.healthy, 5)
        await asyncio.to_thread(fragile.start)
        await peer.healthy()
        await peer.bus.stop()

    with caplog.at_level(WARNED[1], WARNED[0]):
        run(main())
    told = [record.getMessage() for record in caplog.records if record.name == WARNED[0]]
    assert len(told) == 2, told
    assert "is back" in told[1]


def test_starting_before_the_broker_does(fragile: Server, run: Run) -> None:
    async def main() -> None:
        await asyncio.to_thread(fragile.stop)
        peer = BusPeer(fragile.url)
        peer.bus.room_opened("a")
        await peer.bus.start(wait=0.1)
        assert not peer.bus.healthy
        await asyncio.to_thread(fragile.start)
        await peer.healthy()
        await peer.hears(peer_of := await other(fragile.url), "a")
        await peer_of.bus.stop()
        await peer.bus.stop()

    async def other(url: str) -> BusPeer:
        peer = BusPeer(url)
        await peer.bus.start()
        await peer.healthy()
        return peer

    run(main())


def test_a_frozen_broker_is_noticed_and_its_return_too(fragile: Server, run: Run) -> None:
    async def main() -> None:
        async with buses(fragile.url, fragile.url) as (one, other):
            one.bus.room_opened("a")
            await one.hears(other, "a")
            fragile.freeze()
            await one.unhealthy()
            await other.unhealthy()
            for number in range(100):
                other.send(b"%d" % number, "a")
            fragile.thaw()
            await one.healthy()
            await other.healthy()
            await one.hears(other, "a")
            other.send(b"100", "a")
            await one.until(lambda: b"100" in one.payloads())
            assert in_order_and_once(one.payloads())

    run(main())


def test_what_a_frozen_broker_does_not_take_is_bounded_and_counted(fragile: Server, run: Run) -> None:
    size = 64 * 1024
    count = 2 * queue.MAX_BYTES // size

    async def main() -> None:
        async with peers(fragile.url, 2, A) as (one, other):
            fragile.freeze()
            tracemalloc.start()
            try:
                for number in range(count):
                    one.broker.publish(A, b"%d" % number + b" " * size)
                    if number % 20 == 0:
                        await asyncio.sleep(0)
                await one.until(lambda: one.dropped > 0)
                held, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            dropped = one.dropped
            assert held < 2 * queue.MAX_BYTES
            fragile.thaw()
            await other.until(lambda: len(other.payloads(A)) == count - dropped)
            assert in_order_and_once(other.payloads(A))
            assert other.events == ["up"]

    run(main())


def test_a_connection_to_a_frozen_broker_that_is_full_is_given_up(fragile: Server, run: Run) -> None:
    async def main() -> None:
        async with buses(fragile.url, fragile.url) as (one, other):
            other.bus.room_opened("a")
            await other.hears(one, "a")
            fragile.freeze()
            for _ in range(100):
                one.send(bytes(200_000), "a")
            await one.unhealthy()
            await one.until(lambda: one.bus.counters.dropped > 0)
            fragile.thaw()
            await one.healthy()
            await other.hears(one, "a")
            # The questions of hears() count too, while nobody is heard yet.
            assert len(other.delivered) + other.bus.counters.lost >= 100

    run(main())


def test_a_flood_arrives_in_order_or_is_counted(remote: Server, run: Run) -> None:
    async def main() -> None:
        async with buses(remote.url, remote.url, interval=3) as (one, other):
            other.bus.room_opened("a")
            await other.hears(one, "a")
            count = 40_000
            for number in range(count):
                one.send(b"%d" % number, "a")
                if number % 500 == 0:
                    await asyncio.sleep(0)
            one.send(b"%d" % count, "a")
            await other.until(
                lambda: (
                    len(other.payloads()) + other.bus.counters.lost >= count + 1
                    or b"%d" % count in other.payloads()[-1:]
                ),
                30,
            )
            assert in_order_and_once(other.payloads())
            assert len(other.payloads()) + other.bus.counters.lost == count + 1
            assert other.bus.counters.late == 0
            assert one.bus.healthy

    run(main())


class ImpatientRedis(Redis):
    """Disconnects who has not taken what it wants to send, where that is more than 64 KiB."""

    options = ("--client-output-buffer-limit", "pubsub 65536 0 0")


def test_a_process_that_read_too_slowly_reconnects_and_counts_the_loss(
    short_directory: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(url: str) -> None:
        async with buses(url, url) as (one, other):
            other.bus.room_opened("a")
            await other.hears(one, "a")
            one.send(bytes(1024 * 1024), "a")
            await other.until(lambda: other.bus.counters.outages == 1)
            await other.healthy()
            one.send(b"after", "a")
            await other.until(lambda: other.payloads() == [b"after"])
            assert other.bus.counters.lost == 1
            assert (one.bus.counters.outages, one.bus.counters.dropped) == (0, 0)

    with started(ImpatientRedis, short_directory) as server:
        run(main(server.url))
    said = [text for *kind, text in caplog.record_tuples if tuple(kind) == WARNED]
    assert [("local delivery goes on" in text, "is back after" in text, "did not arrive" in text) for text in said] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]


def test_malformed_messages_on_the_channels_have_no_effect(server: Server, run: Run) -> None:
    async def main() -> None:
        async with buses(server.url, server.url) as (one, other), peers(server.url, 1) as (stranger,):
            one.bus.room_opened("a")
            await one.hears(other, "a")
            channels = Channels()
            for channel in (A, channels.everyone, channels.control):
                for payload in (
                    b"",
                    b"garbage",
                    b"\x80\x04\x95" + b"pickle",
                    b"\x96\x01\xc4\x10" + bytes(500),
                    bytes(900_000),
                ):
                    stranger.broker.publish(channel, payload)
            await one.until(lambda: one.bus.counters.garbage == 15)
            await one.hears(other, "a")
            assert one.bus.healthy
            assert one.delivered == []

    run(main())


def test_slots_that_move_are_followed(own_cluster: RedisCluster, run: Run) -> None:
    channels = [Channels().room(f"room {number}") for number in range(40)]

    async def main() -> None:
        async with peers(own_cluster.url, 2, *channels) as (one, other):
            for _ in range(2):
                for channel in channels[:10]:
                    await asyncio.to_thread(own_cluster.move_slot, key_slot(channel.encode()))
                for channel in channels:
                    await other.hears(one, channel)
            for channel in channels:
                one.broker.publish(channel, b"1")
            await other.until(lambda: len(other.arrived) >= len(channels))
            assert sorted(other.arrived) == sorted((channel, b"1") for channel in channels)
            assert one.events == other.events == ["up"]

    run(main())


def test_subscribing_where_a_slot_has_just_left(own_cluster: RedisCluster, run: Run) -> None:

    async def main() -> None:
        async with peers(own_cluster.url, 2) as (one, other):
            await asyncio.to_thread(own_cluster.move_slot, key_slot(A.encode()))
            other.broker.subscribe(A)
            await other.hears(one, A)
            assert one.events == other.events == ["up"]

    run(main())


def test_a_killed_node_of_a_cluster_is_one_outage(own_cluster: RedisCluster, run: Run) -> None:
    node: ClusterNode = own_cluster.nodes[0]

    async def main() -> None:
        async with buses(own_cluster.url, own_cluster.url) as (one, other):
            one.bus.room_opened("a")
            await asyncio.to_thread(node.stop)
            await one.unhealthy()
            await asyncio.to_thread(node.start)
            await one.healthy()
            await other.healthy()
            await one.hears(other, "a")

    run(main())
