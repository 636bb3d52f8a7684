"""Which node a channel belongs to; the rest is tested with a real cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.crc import key_slot
from redis.exceptions import MovedError

from odac.brokers import redis_cluster
from odac.brokers.redis_cluster import Node, RedisClusterBroker, _node
from odac.brokers.redis_link import RedisLink
from odac.brokers.send_queue import Queue, Queued
from odac.brokers.url import parse_url
from tests.unit.brokers.fakes import run
from tests.unit.brokers.test_reconnecting import Receiver


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("h", Node("h", 6379)),
        ("h:7000", Node("h", 7000)),
        ("[::1]:7000", Node("::1", 7000)),
        ("[::1]", Node("::1", 6379)),
        ("", Node("localhost", 6379)),
    ],
)
def test_a_nodes_address(text: str, node: Node) -> None:
    assert _node(text) == node


def test_a_payload_goes_to_the_queue_of_the_node_that_owns_its_slot() -> None:
    async def main() -> None:
        broker = RedisClusterBroker(parse_url("redis+cluster://h"))
        assert not broker._enqueue("c", b"x", 1), "the layout is not known yet"
        one, other = Node("h", 1), Node("h", 2)
        for node in (one, other):
            broker._links[node] = RedisLink(
                broker._pool(node), broker._arrived, broker._refused, broker._moved, Queue(), sharded=True
            )
        broker._owners = [one] * 16384
        broker._owners[key_slot(b"c")] = other
        assert broker._enqueue("c", b"x", 1)
        assert broker._enqueue("d", b"x", 1)
        assert [len(broker._links[node].queue) for node in (one, other)] == [1, 1]
        assert broker._forget_queued("gone") == 2

    run(main())


class Layouts:
    """Connections to a cluster whose nodes say the layouts that the test has put in, one after the other."""

    def __init__(self, *layouts: list[tuple[int, int, tuple[bytes, int]]]) -> None:
        self.layouts = list(layouts)
        self.asked: Callable[[], object] = lambda: None

    @asynccontextmanager
    async def opened(self, pool: object) -> AsyncIterator[Layouts]:
        self.asked()
        yield self

    async def send_command(self, *words: object, check_health: bool) -> None: ...

    async def read_response(self) -> list[tuple[int, int, tuple[bytes, int]]]:
        return self.layouts.pop(0)


def test_while_a_layout_does_not_cover_all_slots_the_one_before_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node without a link may own the slot by then: publishing there must neither raise nor be lost uncounted."""

    async def main() -> None:
        broker = RedisClusterBroker(parse_url("redis+cluster://h:1,h:2"))
        link = RedisLink(
            broker._pool(Node("h", 1)), broker._arrived, broker._refused, broker._moved, Queue(), sharded=True
        )
        broker._links[Node("h", 1)] = link
        broker._owners = [Node("h", 1)] * 16384
        part, whole = [(0, 9000, (b"new", 3))], [(0, 16383, (b"new", 3))]
        layouts = Layouts(part, whole)
        published: list[bool] = []
        layouts.asked = lambda: published.extend(broker._enqueue(channel, b"x", 1) for channel in ("c", "d"))
        monkeypatch.setattr(redis_cluster, "opened", layouts.opened)
        await broker._look()
        assert published == [True] * 4
        assert set(broker._owners) == {Node("new", 3)}

    run(main())


def test_nodes_that_have_left_the_cluster_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        broker = RedisClusterBroker(parse_url("redis+cluster://seed:1"))
        for number in range(20):
            monkeypatch.setattr(redis_cluster, "opened", Layouts([(0, 16383, (b"10.0.0.%d" % number, 1))]).opened)
            await broker._look()
            broker._pool(Node(f"10.0.0.{number}", 1))
        assert set(broker._pools) == {Node("seed", 1), Node("10.0.0.19", 1)}

    run(main())


def test_a_slot_that_moved_has_the_layout_looked_at_and_its_message_counted() -> None:
    async def main() -> None:
        broker, receiver = RedisClusterBroker(parse_url("redis+cluster://h")), Receiver()
        broker._receiver = receiver
        broker._refused(Queued("c", b"x", 2), MovedError("1 h:7000"))
        assert broker._stale.is_set()
        assert receiver.dropped == 2
        await asyncio.sleep(0)

    run(main())
