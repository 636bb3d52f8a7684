"""Orders of one process to the connections of the others, over every broker: close, join and leave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from odac import AsyncPublisher
from odac.cluster.bus import BrokerBus
from odac.realtime.audience import Audience, user_room
from tests.integration.brokers.conftest import Run
from tests.integration.brokers.network import network_to
from tests.integration.brokers.peers import BusPeer, buses
from tests.integration.brokers.servers import Server

USER = Audience((user_room("1"),))


@pytest.fixture(params=["local", "redis", "cluster", "nats"])
def shared(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    """Each broker that leaves the process."""
    return servers(request.param)


async def listening(peer: BusPeer, other: BusPeer) -> None:
    peer.bus.room_opened(user_room("1"))
    await peer.hears(other, user_room("1"))


def test_connections_join_and_leave_on_other_processes(server: Server, run: Run) -> None:
    async def main() -> None:
        async with buses(server.url, server.url) as (one, other):
            await listening(other, one)
            narrowed = USER.narrowed("lobby").without("x")
            one.bus.move(narrowed, "game", joins=True)
            one.bus.move(USER, "game", joins=False)
            await other.until(lambda: len(other.moved) == 2)
            assert other.moved == [(narrowed, "game", True), (USER, "game", False)]
            assert one.moved == []

    run(main())


def test_a_publisher_moves_connections_too(shared: Server, run: Run) -> None:
    async def main() -> None:
        async with buses(shared.url, shared.url) as (one, other), AsyncPublisher(shared.url) as publisher:
            await listening(other, one)
            await publisher.user(1).within("lobby").join("game")
            other.bus.room_opened("lobby")
            await other.hears(one, "lobby")
            await publisher.to("lobby").leave("game")
            await other.until(lambda: len(other.moved) == 2)
            assert other.moved == [(USER.narrowed("lobby"), "game", True), (Audience(("lobby",)), "game", False)]

    run(main())


def test_an_order_arrives_once_and_has_its_time(server: Server, run: Run) -> None:
    async def main() -> None:
        async with buses(server.url, server.url) as (one, other):
            await listening(other, one)
            given = time.monotonic()
            one.bus.close(USER, 4001, "out", given)
            await other.until(lambda: bool(other.closed))
            # One machine has one clock, so that the translated time can be compared.
            assert given - 0.001 <= other.given[0] < given + 0.5
            one.send(b"after", user_room("1"))
            await other.until(lambda: b"after" in other.payloads())
            assert len(other.closed) == 1

    run(main())


@pytest.mark.parametrize("leaves", [False, True], ids=["the sender stays", "the sender has stopped"])
def test_a_process_that_was_disconnected_gets_the_order_later(
    remote: Server, run: Run, short_directory: Path, leaves: bool
) -> None:
    """The sender is cut off when it gives the order, and the receiver when the sender is back."""

    async def main() -> None:
        async with (
            network_to(remote, short_directory) as (sender_network, sender_url),
            network_to(remote, short_directory) as (receiver_network, receiver_url),
            buses(sender_url, receiver_url, remote.url) as (sender, receiver, third),
        ):
            await listening(receiver, sender)
            sender_network.refuses = True
            sender_network.cut()
            await sender.unhealthy()
            given = time.monotonic()
            sender.bus.close(USER, 4001, "out", given)
            await asyncio.sleep(0)
            receiver_network.refuses = True
            receiver_network.cut()
            await receiver.unhealthy()
            sender_network.refuses = False
            await sender.healthy()
            await third.until(lambda: knows(third.bus))
            if leaves:
                await sender.bus.stop()
            reconnected = time.monotonic()
            receiver_network.refuses = False
            await receiver.until(lambda: bool(receiver.closed))
            assert receiver.closed == [(USER, 4001, "out")]
            # Who connected while the receiver was cut off came after the order, and stays.
            assert receiver.given[0] < reconnected
            assert receiver.given[0] >= given - 0.001

    run(main())


@pytest.mark.parametrize("form", ["user", "user within a room"])
def test_a_publishers_order_reaches_a_process_that_was_cut_off(
    remote: Server, run: Run, short_directory: Path, form: str
) -> None:
    async def main() -> None:
        async with (
            network_to(remote, short_directory) as (network, url),
            buses(url, remote.url) as (cut_off, other),
            AsyncPublisher(remote.url) as publisher,
        ):
            await listening(cut_off, other)
            network.refuses = True
            network.cut()
            await cut_off.unhealthy()
            target = publisher.user(1) if form == "user" else publisher.user(1).within("lobby")
            await target.close(4001, "out")
            await other.until(lambda: knows(other.bus))
            await publisher.close()
            network.refuses = False
            await cut_off.until(lambda: bool(cut_off.closed))
            assert cut_off.closed[0][1:] == (4001, "out")

    run(main())


def knows(bus: BrokerBus) -> bool:
    return len(bus._close_orders._orders) > 0


def test_the_tail_of_a_room_that_fell_silent_is_counted(remote: Server, run: Run, short_directory: Path) -> None:
    """A connection dies silently, others send to a room, some for the first time, and nothing more."""

    async def main() -> None:
        async with (
            network_to(remote, short_directory) as (network, url),
            buses(url, remote.url, remote.url) as (deaf, sender, newcomer),
        ):
            deaf.bus.room_opened("a")
            await deaf.hears(sender, "a")
            # Long enough ago for the subscription to count as in effect.
            subscribed = deaf.bus._listening.since(deaf.bus._channels.room("a"))
            assert subscribed is not None
            await deaf.until(lambda: time.monotonic() > subscribed + 2 * 0.3)
            network.drop_answers()
            for number in range(100):
                sender.send(b"%d" % number, "a")
                newcomer.send(b"%d" % number, "a")
            await deaf.unhealthy()
            network.restore()
            await deaf.healthy()
            await deaf.until(lambda: deaf.bus.counters.lost + len(deaf.payloads()) == 200)
            assert deaf.bus.counters.lost >= 100

    run(main())


def test_members_that_leave_and_come_back_are_no_loss(server: Server, run: Run) -> None:
    async def main() -> None:
        async with buses(server.url, server.url, interval=1.0) as (one, other):
            rooms = [f"room {number}" for number in range(10)]
            for room in rooms:
                one.bus.room_opened(room)
            await one.hears(other, *rooms)
            for number in range(100):
                for room in rooms:
                    other.send(b"%d" % number, room)
                    if number % 2:
                        one.bus.room_closed(room)
                    else:
                        one.bus.room_opened(room)
                await asyncio.sleep(0.005)
            for room in rooms:
                one.bus.room_opened(room)
            await one.hears(other, *rooms)
            assert one.bus.counters.lost == 0

    run(main())


@pytest.mark.parametrize("size", [1024 * 1024, 4 * 1024 * 1024 - 1024], ids=["max_payload", "the most that travels"])
def test_a_message_as_large_as_the_limits_arrives(server: Server, run: Run, size: int) -> None:
    async def main() -> None:
        async with buses(server.url, server.url) as (one, other):
            for room in ("a", "b"):
                other.bus.room_opened(room)
            await other.hears(one, "a", "b")
            one.send(b"before", "a")
            one.send(bytes(size), "a", "b")
            one.send(b"after", "a")
            await other.until(lambda: b"after" in other.payloads() and len(other.payloads()) == 3)
            if not server.url.startswith("redis+cluster"):
                assert [len(payload) for payload in other.payloads()] == [6, size, 5]
            assert (other.bus.counters.lost, one.bus.counters.dropped) == (0, 0)

    run(main())
