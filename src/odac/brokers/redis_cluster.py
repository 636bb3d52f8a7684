"""Redis Cluster with sharded pub/sub: a channel exists only on the node that owns its slot."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

from redis.asyncio.connection import ConnectionPool
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import MovedError, RedisError

from odac.brokers.reconnecting import ReconnectingBroker, end, first_to_end
from odac.brokers.redis_link import RedisLink, connections, opened
from odac.brokers.send_queue import Queue, Queued
from odac.brokers.url import BrokerURL
from odac.errors import ConfigurationError
from odac.jitter import RANDOM

__all__ = ["Node", "RedisClusterBroker", "seeds_of"]

REFRESH_PAUSE: Final = 0.2
"""Seconds between two requests for the layout of a cluster whose slots are being moved."""


class Node(NamedTuple):
    """Where a primary listens."""

    host: str
    port: int


class RedisClusterBroker(ReconnectingBroker):
    """``redis+cluster://host:port,host:port`` and, over TLS, ``rediss+cluster://``, with any of the nodes: the others
    are discovered.

    What one process publishes to one room arrives in order; between rooms on different nodes there is no order, and a
    message to several rooms counts as one message for each.

    A slot that moves is followed at once. The loss of a node ends the session, and the next session asks the remaining
    nodes for the new layout.

    Args:
        url: the URL of one or several nodes.

    Raises:
        ConfigurationError: redis-py does not accept the URL.
    """

    def __init__(self, url: BrokerURL) -> None:
        super().__init__(url)
        self._scheme, self._template, self._seeds = seeds_of(url)
        self._pools: dict[Node, ConnectionPool] = {}
        for seed in self._seeds:
            self._pool(seed)
        self._links: dict[Node, RedisLink] = {}
        self._owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._stale = asyncio.Event()

    # ReconnectingBroker

    async def _session(self) -> None:
        self._links.clear()
        self._stale.clear()
        self._changed.clear()
        await self._look()
        tasks: dict[Node, asyncio.Task[None]] = {}
        try:
            self._connect_new(tasks)
            self._subscribe_all()
            follower = asyncio.get_running_loop().create_task(self._follow(tasks))
            try:
                while True:
                    done, _ = await asyncio.wait(
                        [follower, *tasks.values()], timeout=1, return_when=asyncio.FIRST_COMPLETED
                    )
                    for task in done:
                        task.result()
            finally:
                await end(follower)
        finally:
            await end(*tasks.values())

    def _enqueue(self, channel: str, payload: bytes, messages: int, done: asyncio.Future[None] | None = None) -> bool:
        owner = self._owner(channel)
        return owner is not None and self._links[owner].queue.put(channel, payload, messages, done)

    async def _confirmed(self) -> None:
        await asyncio.gather(*(link.queue.confirmed() for link in self._links.values()))

    def _forget_queued(self, reason: str) -> int:
        return sum(link.queue.clear(reason) for link in self._links.values())

    # The layout

    async def _look(self) -> None:
        """Ask any node which nodes own which slots."""
        known = list(dict.fromkeys([*self._links, *self._seeds, *self._pools]))
        RANDOM.shuffle(known)
        error: Exception = ConnectionError("no node is known")
        for node in known:
            try:
                async with opened(self._pool(node)) as connection:
                    await connection.send_command("CLUSTER", "SLOTS", check_health=False)
                    layout: Any = await connection.read_response()
            except (RedisError, OSError, TimeoutError) as problem:
                error = problem
                continue
            owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
            for first, last, primary, *_ in layout:
                # A node that does not know its own address leaves it out: then it is the node that was asked.
                owner = Node((primary[0] or b"").decode() or node.host, int(primary[1]))
                owners[first : last + 1] = [owner] * (last + 1 - first)
            if None not in owners:
                # Only now, so that nothing is published by a layout that is not complete, or to a node without a link.
                self._owners = owners
                self._forget_pools()
                return
            error = ConnectionError("the cluster does not cover all slots")
        raise error

    def _forget_pools(self) -> None:
        """Forget the nodes that have left the cluster: where they come and go, their addresses are always new ones."""
        known = {*self._owners, *self._seeds, *self._links}
        self._pools = {node: pool for node, pool in self._pools.items() if node in known}

    def _owner(self, channel: str) -> Node | None:
        return self._owners[key_slot(channel.encode())]

    def _pool(self, node: Node) -> ConnectionPool:
        pool = self._pools.get(node)
        if pool is None:
            host = f"[{node.host}]" if ":" in node.host else node.host
            pool = self._pools[node] = connections(
                self._template.format(host=host, port=node.port), f"{self._scheme}+cluster"
            )
        return pool

    def _connect_new(self, tasks: dict[Node, asyncio.Task[None]]) -> None:
        for node in dict.fromkeys(owner for owner in self._owners if owner is not None):
            if node not in self._links:
                link = RedisLink(self._pool(node), self._arrived, self._refused, self._moved, Queue(), sharded=True)
                self._links[node] = link
                tasks[node] = asyncio.get_running_loop().create_task(link.run(), name=f"odac: {node.host}:{node.port}")

    def _subscribe_all(self) -> None:
        """Have every link subscribe to the channels that its node owns, and to no others."""
        shares: dict[Node, set[str]] = {node: set() for node in self._links}
        for channel in self._wanted:
            owner = self._owner(channel)
            if owner is not None:
                shares[owner].add(channel)
        for node, share in shares.items():
            self._links[node].listen_to(share)

    async def _follow(self, tasks: dict[Node, asyncio.Task[None]]) -> None:
        for link in self._links.values():
            await link.ready.wait()
        self._opened()
        await first_to_end(self._follow_changes(), self._follow_layout(tasks))

    async def _follow_changes(self) -> None:
        while True:
            subscribe, unsubscribe = await self._next_changes()
            for channel in unsubscribe:
                for link in self._links.values():
                    link.unsubscribe((channel,))
            for channel in subscribe:
                owner = self._owner(channel)
                if owner is not None:
                    self._links[owner].subscribe((channel,))

    async def _follow_layout(self, tasks: dict[Node, asyncio.Task[None]]) -> None:
        while True:
            await self._stale.wait()
            self._stale.clear()
            await self._look()
            self._connect_new(tasks)
            self._subscribe_all()
            self._gap()
            await asyncio.sleep(REFRESH_PAUSE)

    # Called by the links

    def _refused(self, queued: Queued, error: Exception) -> None:
        if isinstance(error, MovedError):
            self._stale.set()
            self._dropped(queued.messages, "its slot moved to another node of the cluster")
        else:
            self._dropped(queued.messages, f"the server refused it: {error}")

    def _moved(self) -> None:
        self._stale.set()


def seeds_of(url: BrokerURL) -> tuple[str, str, list[Node]]:
    """Return the scheme of the nodes, a template for their URLs, and the nodes that the cluster's URL names.

    Raises:
        ConfigurationError: the URL has a database number.
    """
    scheme, _, rest = url.url.partition("://")
    authority, slash, tail = rest.partition("/")
    if not slash:
        authority, slash, tail = rest.partition("?")
    credentials, at, hosts = authority.rpartition("@")
    if url.path.strip("/"):
        raise ConfigurationError(f"{scheme}:// accepts no database number: a cluster has only one database")
    kind = scheme.removesuffix("+cluster")
    template = f"{kind}://{credentials}{at}{{host}}:{{port}}{slash}{tail}"
    return kind, template, [_node(host) for host in hosts.split(",")]


def _node(text: str) -> Node:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, "6379"
    return Node(host.strip("[]") or "localhost", int(port or 6379))
