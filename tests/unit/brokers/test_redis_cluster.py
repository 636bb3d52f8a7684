"""Which node a channel belongs to; the rest is tested with a real cluster."""

from __future__ import annotations

import asyncio

import pytest
from redis.crc import key_slot
from redis.exceptions import MovedError

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


def test_a_slot_that_moved_has_the_layout_looked_at_and_its_message_counted() -> None:
    async def main() -> None:
        broker, receiver = RedisClusterBroker(parse_url("redis+cluster://h")), Receiver()
        broker._receiver = receiver
        broker._refused(Queued("c", b"x", 2), MovedError("1 h:7000"))
        assert broker._stale.is_set()
        assert receiver.dropped == 2
        await asyncio.sleep(0)

    run(main())
