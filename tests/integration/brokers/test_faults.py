"""The promises about delivery, under faults, between real processes.

Always: nothing twice, nothing out of order, nothing lost within a process, losses between processes are counted,
and the health endpoint tells the truth.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from redis.crc import key_slot
from websockets.asyncio.client import ClientConnection

from odac.brokers import local_proxy
from tests.integration.brokers.deployment import Deployment, Node
from tests.integration.brokers.network import network_to
from tests.integration.brokers.peers import BrokerPeer, peers
from tests.integration.brokers.servers import RedisCluster, Server


def go(work: Callable[[Deployment], Awaitable[None]], directory: Path) -> None:
    async def main() -> None:
        async with contextlib.aclosing(Deployment(directory)) as deployment:
            await work(deployment)

    asyncio.run(asyncio.wait_for(main(), 120))


async def two_nodes(deployment: Deployment, url: str, other_url: str | None = None) -> tuple[Node, Node]:
    """Node A with publisher a and receiver A, node B with publisher b and receiver B, and everything flows."""
    nodes = await deployment.node(url), await deployment.node(other_url or url)
    for name, node in zip("AB", nodes, strict=True):
        await deployment.receiver(name, node)
        await deployment.publisher(name.lower(), node)
    await deployment.checker.caught_up("A", "B")
    return nodes


async def settle_two_nodes(deployment: Deployment) -> None:
    """Stop publishing; check that no message was duplicated or reordered, and that no node lost one of its own."""
    await deployment.settled("A", "B")
    deployment.checker.in_order_and_once()
    deployment.checker.nothing_missing("A", "a")
    deployment.checker.nothing_missing("B", "b")


async def lost_is_counted(deployment: Deployment, receiver: str, node: Node, *publishers: str) -> int:
    missing = sum(len(deployment.checker.missing(receiver, publisher)) for publisher in publishers)
    counters = await node.ask("counters")
    assert counters["lost"] == missing, counters
    return missing


def warnings(node: Node, what: str) -> int:
    return sum(what in line for line in node.running.text.splitlines())


@pytest.mark.parametrize("fragile", ["redis", "cluster", "nats"], indirect=True)
def test_a_broker_that_is_restarted(fragile: Server, short_directory: Path) -> None:
    async def work(deployment: Deployment) -> None:
        nodes = await two_nodes(deployment, fragile.url)
        await asyncio.to_thread(fragile.stop)
        for node in nodes:
            await node.until_health(503)
        await asyncio.to_thread(fragile.start)
        for node in nodes:
            await node.until_health(200)
        await settle_two_nodes(deployment)
        assert await lost_is_counted(deployment, "A", nodes[0], "b") > 0
        assert await lost_is_counted(deployment, "B", nodes[1], "a") > 0
        for node in nodes:
            assert (warnings(node, "local delivery goes on"), warnings(node, "is back after")) == (1, 1)

    go(work, short_directory)


def test_the_process_that_runs_the_local_broker_is_killed(short_directory: Path) -> None:
    """Another one that has stood by takes over."""

    async def work(deployment: Deployment) -> None:
        url = f"local://{short_directory}/takeover"
        host = await deployment.node(url)
        nodes = await two_nodes(deployment, url)
        host.running.process.kill()
        for node in nodes:
            await asyncio.to_thread(node.running.line, "is back after")
            await node.until_health(200)
        await settle_two_nodes(deployment)
        await lost_is_counted(deployment, "A", nodes[0], "b")
        await lost_is_counted(deployment, "B", nodes[1], "a")
        for node in nodes:
            assert (warnings(node, "local delivery goes on"), warnings(node, "is back after")) == (1, 1)
            assert (await node.ask("counters"))["outages"] == 1
        assert sum(warnings(node, "this process runs the local broker") for node in nodes) == 1

    go(work, short_directory)


@pytest.mark.parametrize("fragile", ["redis", "nats"], indirect=True)
def test_a_broker_that_is_unreachable_for_ten_seconds(fragile: Server, short_directory: Path) -> None:
    async def work(deployment: Deployment) -> None:
        async with network_to(fragile, short_directory) as (network, url):
            nodes = await two_nodes(deployment, url, fragile.url)
            network.refuses = True
            network.cut()
            await nodes[0].until_health(503)
            away = asyncio.get_running_loop().time() + 10
            while asyncio.get_running_loop().time() < away:
                assert await asyncio.to_thread(nodes[0].health) == 503
                assert await asyncio.to_thread(nodes[1].health) == 200
                await asyncio.sleep(0.5)
            network.refuses = False
            await nodes[0].until_health(200)
            await settle_two_nodes(deployment)
            assert await lost_is_counted(deployment, "A", nodes[0], "b") > 100
            lost = await lost_is_counted(deployment, "B", nodes[1], "a")
            # What the sender knows it could not send; the connection may have swallowed a little more, or delivered
            # what it did not confirm.
            dropped = (await nodes[0].ask("counters"))["dropped"]
            assert lost > 100
            assert abs(lost - dropped) < 50
            assert warnings(nodes[0], "local delivery goes on") == 1

    go(work, short_directory)


@pytest.mark.parametrize("fragile", ["redis", "nats"], indirect=True)
def test_a_subscription_that_died_silently(fragile: Server, short_directory: Path) -> None:
    async def work(deployment: Deployment) -> None:
        async with network_to(fragile, short_directory) as (network, url):
            nodes = await two_nodes(deployment, url, fragile.url)
            network.drop_answers()
            sent = deployment.checker.published["b"]
            await deployment.checker.until(lambda: deployment.checker.published["b"] > sent + 10)
            await nodes[0].until_health(503, 8)
            network.restore()
            await nodes[0].until_health(200)
            await settle_two_nodes(deployment)
            assert await lost_is_counted(deployment, "A", nodes[0], "b") > 0
            assert warnings(nodes[0], "did not come back") == 1

    go(work, short_directory)


async def closed(client: ClientConnection) -> None:
    """Wait until a client is closed with 4001, as it was ordered."""
    async with asyncio.timeout(60):
        await client.wait_closed()
    assert (client.close_code, client.close_reason) == (4001, "enough")


@pytest.mark.parametrize("which", ["the one that orders", "the other one", "both"])
@pytest.mark.parametrize("fragile", ["redis", "nats"], indirect=True)
def test_connections_that_are_closed_while_a_node_has_no_broker(
    fragile: Server, short_directory: Path, which: str
) -> None:
    """Here at once, there when the broker is back, and who comes after the order stays."""

    async def work(deployment: Deployment) -> None:
        async with network_to(fragile, short_directory) as (network, url):
            urls = {"the one that orders": (url, fragile.url), "the other one": (fragile.url, url), "both": (url, url)}
            nodes = await two_nodes(deployment, *urls[which])
            here, there = [await deployment.connect(node, "/user?user=u") for node in nodes]
            network.refuses = True
            network.cut()
            away = [node for node, its in zip(nodes, urls[which], strict=True) if its == url]
            for node in away:
                await node.until_health(503)
            await nodes[0].ask("close")
            await closed(here)
            after = await deployment.connect(nodes[0], "/user?user=u")
            assert there.close_code is None
            network.refuses = False
            await closed(there)
            for node in nodes:
                await node.until_health(200)
            await deployment.settled("A", "B")
            assert after.close_code is None
            deployment.checker.in_order_and_once()

    go(work, short_directory)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descendants(pid: int) -> set[int]:
    found = set(children(pid))
    for child in list(found):
        found |= descendants(child)
    return found


async def workers(deployment: Deployment) -> tuple[Node, int, int]:
    """Two workers of one server with the local broker: receiver A and A2 on one, B on the other, and a publisher."""
    node = await deployment.node("", "--workers", "2")
    first = await deployment.receiver("A", node)
    second = await deployment.receiver("B", node, lambda pid: pid != first)
    await deployment.receiver("A2", node, lambda pid: pid == first)
    assert {first, second} <= descendants(node.running.pid)
    for name in "pq":
        await deployment.publisher(name, node)
    await deployment.checker.caught_up("A", "A2", "B")
    return node, first, second


def test_a_worker_that_is_killed_under_load(short_directory: Path) -> None:
    async def work(deployment: Deployment) -> None:
        node, first, second = await workers(deployment)
        os.kill(second, signal.SIGKILL)
        await deployment.receiver("C", node, lambda pid: pid not in {first, second})
        await deployment.publisher("r", node)
        await deployment.checker.until(lambda: deployment.checker.last("C", "r") > 100, 30)
        # Publishers on the killed worker are gone; the others never stopped.
        alive = [name for name in "pqr" if deployment.running(name)]
        await deployment.stop_publishing(*"pqr")
        await deployment.delivered(alive, ["A", "A2", "C"])
        deployment.checker.in_order_and_once()
        for receiver in ("A", "A2"):
            deployment.checker.nothing_missing(receiver, "p", "q", "r")
        deployment.checker.nothing_missing("C", *alive)
        assert await asyncio.to_thread(node.health) == 200
        answers = await node.ask("count")
        assert answers[0] == 3

    go(work, short_directory)


def test_a_worker_that_is_frozen_for_five_seconds(short_directory: Path) -> None:
    async def work(deployment: Deployment) -> None:
        node, _, second = await workers(deployment)
        os.kill(second, signal.SIGSTOP)
        await asyncio.sleep(5)
        os.kill(second, signal.SIGCONT)
        await deployment.settled("A", "A2", "B")
        deployment.checker.in_order_and_once()
        for receiver in ("A", "A2"):
            deployment.checker.nothing_missing(receiver, "p", "q")
            assert deployment.checker.received[receiver, "p"][-1] == deployment.checker.published["p"]
        missing = sum(len(deployment.checker.missing("B", name)) for name in "pq")
        assert missing == 0, "five seconds of this load fit into what the broker keeps for a process"
        await node.until_health(200)

    go(work, short_directory)


def test_a_process_that_is_frozen_for_so_long_that_the_local_broker_gives_it_up(
    short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_proxy, "STALE", 1000)

    async def work(deployment: Deployment) -> None:
        nodes = await two_nodes(deployment, f"local://{proxy.directory}")
        pid = nodes[1].running.pid
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(4)
        os.kill(pid, signal.SIGCONT)
        await asyncio.to_thread(nodes[1].running.line, "is back after")
        await nodes[1].until_health(200)
        await settle_two_nodes(deployment)
        assert await lost_is_counted(deployment, "B", nodes[1], "a") > 0
        assert (warnings(nodes[0], "is back after"), warnings(nodes[1], "is back after")) == (0, 1)

    proxy = local_proxy.LocalProxy(short_directory / "stale")
    proxy.start()
    try:
        go(work, short_directory)
    finally:
        proxy.stop()


@pytest.mark.parametrize("fragile", ["redis", "cluster", "nats"], indirect=True)
def test_a_node_that_is_frozen_for_five_seconds(fragile: Server, short_directory: Path) -> None:
    async def work(deployment: Deployment) -> None:
        nodes = await two_nodes(deployment, fragile.url)
        pid = nodes[1].running.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            start = deployment.checker.last("A", "a")
            await asyncio.sleep(5)
            assert deployment.checker.last("A", "a") > start + 200
            assert await asyncio.to_thread(nodes[0].health) == 200
            total, answered, expected = await nodes[0].ask("count")
            assert (total, answered, expected) == (1, 1, 2)
        finally:
            os.kill(pid, signal.SIGCONT)
        await nodes[1].until_health(200)
        await deployment.settled("A", "B")
        deployment.checker.in_order_and_once()
        deployment.checker.nothing_missing("A", "a", "b")
        deployment.checker.nothing_missing("B", "b")
        await lost_is_counted(deployment, "B", nodes[1], "a")
        assert (await nodes[0].ask("count"))[:2] == [2, 2]

    go(work, short_directory)


@pytest.mark.parametrize("channel", ["odac.everyone", "odac.control", "odac.room.room"])
def test_one_node_of_a_cluster_that_is_frozen(own_cluster: RedisCluster, short_directory: Path, channel: str) -> None:
    """Its connections look alive; whatever it carries, the health endpoint tells."""
    frozen = own_cluster.nodes[key_slot(channel.encode()) * 3 // 16384]

    async def work(deployment: Deployment) -> None:
        nodes = await two_nodes(deployment, own_cluster.url)
        frozen.freeze()
        try:
            for node in nodes:
                await node.until_health(503, 15)
        finally:
            frozen.thaw()
        for node in nodes:
            await node.until_health(200)
        await settle_two_nodes(deployment)
        await lost_is_counted(deployment, "A", nodes[0], "b")
        await lost_is_counted(deployment, "B", nodes[1], "a")

    go(work, short_directory)


@pytest.mark.parametrize("fragile", ["local", "redis", "cluster", "nats"], indirect=True)
def test_garbage_on_the_channel(fragile: Server, short_directory: Path) -> None:
    async def work(deployment: Deployment) -> None:
        nodes = await two_nodes(deployment, fragile.url)
        async with peers(fragile.url, 1) as (stranger,):
            await spill(stranger)
        for node in nodes:
            async with asyncio.timeout(60):
                while (await node.ask("counters"))["garbage"] < 60:
                    assert await asyncio.to_thread(node.health) == 200
        await deployment.settled("A", "B")
        deployment.checker.in_order_and_once()
        for receiver in "AB":
            deployment.checker.nothing_missing(receiver, "a", "b")
        for node in nodes:
            counters = await node.ask("counters")
            assert (counters["garbage"], counters["lost"], counters["outages"]) == (60, 0, 0)
            assert warnings(node, "that is not a message") == 1

    go(work, short_directory)


async def spill(stranger: BrokerPeer) -> None:
    payloads = (b"", b"\x80\x04\x95pickle", b"\x96\x01\xc4\x10" + bytes(100), os.urandom(1000), bytes(900_000))
    for _ in range(4):
        for channel in ("odac.room.room", "odac.everyone", "odac.control"):
            for payload in payloads:
                stranger.broker.publish(channel, payload)
    await stranger.broker.flush()  # type: ignore[attr-defined]


@pytest.mark.parametrize("fragile", ["local", "redis", "cluster", "nats"], indirect=True)
def test_a_node_that_joins_late(fragile: Server, short_directory: Path) -> None:
    async def work(deployment: Deployment) -> None:
        nodes = await two_nodes(deployment, fragile.url)
        late = await deployment.node(fragile.url)
        await deployment.receiver("C", late)
        await deployment.publisher("c", late)
        await deployment.checker.caught_up("A", "B", "C")
        assert (await nodes[0].ask("count")) == [3, 3, 3]
        await deployment.settled("A", "B", "C")
        deployment.checker.in_order_and_once()
        for receiver in "ABC":
            deployment.checker.nothing_missing(receiver, "a", "b", "c")
        for node in (*nodes, late):
            counters = await node.ask("counters")
            assert (counters["lost"], counters["dropped"], counters["outages"]) == (0, 0, 0)

    go(work, short_directory)


SAME_NAME = "import os, socket; os.getpid = lambda: 1; socket.gethostname = lambda: 'container'"
AN_HOUR_AHEAD = "import time; real = time.time; time.time = lambda: real() + 3600"


@pytest.mark.parametrize(
    "preludes",
    [(SAME_NAME, SAME_NAME), (AN_HOUR_AHEAD, "")],
    ids=["the same process id and host name", "clocks an hour apart"],
)
@pytest.mark.parametrize("fragile", ["local", "redis", "cluster", "nats"], indirect=True)
def test_nodes_with_equal_names_or_different_clocks(
    fragile: Server, short_directory: Path, preludes: tuple[str, str]
) -> None:
    async def work(deployment: Deployment) -> None:
        nodes = [await deployment.node(fragile.url, prelude=prelude) for prelude in preludes]
        for name, node in zip("AB", nodes, strict=True):
            await deployment.receiver(name, node)
            await deployment.publisher(name.lower(), node)
        await deployment.checker.caught_up("A", "B")
        for node in nodes:
            assert await node.ask("count") == [2, 2, 2]
        await deployment.settled("A", "B")
        deployment.checker.in_order_and_once()
        for receiver in "AB":
            deployment.checker.nothing_missing(receiver, "a", "b")

    go(work, short_directory)
