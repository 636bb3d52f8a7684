"""Rooms with history in Redis Cluster: a room's log is on the node that owns the slot of its channel."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from redis.asyncio.connection import ConnectionPool
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, MovedError, RedisError

from odac.brokers.redis_cluster import Node, seeds_of
from odac.brokers.redis_commands import RedisCommands
from odac.brokers.redis_history import ScriptedHistory
from odac.brokers.redis_link import connections, opened
from odac.brokers.redis_scripts import Script
from odac.brokers.url import BrokerURL
from odac.errors import BrokerError, ConfigurationError
from odac.history.store import StoreAway
from odac.jitter import RANDOM

__all__ = ["RedisClusterHistory"]

REDIRECTIONS: Final = 5
"""The most redirections of one command: a slot that moves is found after one or two."""
CONNECT_WAIT: Final = 2.0


class RedisClusterHistory(ScriptedHistory):
    """``redis+cluster://`` and ``rediss+cluster://``.

    The guard of an epoch is the run id of the node that owns the slot. So a slot that moves to another node begins a
    new epoch, as after a failover, although its keys move with it.

    Args:
        url: the broker's.

    Raises:
        ConfigurationError: redis-py does not accept the URL.
    """

    def __init__(self, url: BrokerURL) -> None:
        super().__init__(url.namespace, "SPUBLISH")
        self._durable = url.history == "durable"
        self._address = url.address
        self._scheme, self._template, self._seeds = seeds_of(url)
        self._pools: dict[Node, ConnectionPool] = {}
        for seed in self._seeds:
            self._pool(seed)
        self._nodes: dict[Node, RedisCommands] = {}
        self._owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._looking: asyncio.Task[None] | None = None

    async def start(self, wait: float = CONNECT_WAIT) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        try:
            async with asyncio.timeout(wait):
                await self._look()
        except (StoreAway, TimeoutError):
            return
        # Checking one node is enough: the nodes of a cluster allow the same commands.
        owner = self._owners[0]
        if owner is not None:
            await self._commands(owner)

    async def stop(self) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        nodes, self._nodes = self._nodes, {}
        await asyncio.gather(*(commands.stop() for commands in nodes.values()))

    async def _run(self, script: Script, keys: tuple[str, ...], *arguments: Any, guarded: bool = True) -> Any:
        async def run(commands: RedisCommands, asking: bool) -> Any:
            return await commands.run(script, keys, *arguments, guarded=guarded, asking=asking)

        return await self._routed(keys[0], run)

    async def _command(self, key: str, *words: Any) -> Any:
        async def run(commands: RedisCommands, asking: bool) -> Any:
            return await commands.command(*words, asking=asking)

        return await self._routed(key, run)

    async def _routed(self, key: str, run: Any) -> Any:
        slot = key_slot(key.encode())
        node = self._owners[slot]
        asking = False
        for _ in range(REDIRECTIONS):
            if node is None:
                await self._look()
                node = self._owners[slot]
                if node is None:
                    raise StoreAway(f"{self._address}: the cluster does not cover all slots")
            try:
                return await run(await self._commands(node), asking)
            except ConfigurationError as error:
                raise BrokerError(str(error)) from None  # a node that was not there at the start
            except MovedError as error:
                node, asking = Node(error.host or node.host, error.port), False
                self._owners[slot] = node
                self._look_soon()
            except AskError as error:
                node, asking = Node(error.host or node.host, error.port), True
            except StoreAway:
                # The node may have left the cluster, and another one may own its slots by now.
                self._look_soon()
                raise
        raise StoreAway(f"{self._address}: the slot of {key} keeps moving")

    async def _commands(self, node: Node) -> RedisCommands:
        commands = self._nodes.get(node)
        if commands is None:
            commands = self._nodes[node] = RedisCommands(
                self._pool(node), f"{self._address} ({node.host}:{node.port})", durable=self._durable
            )
            await commands.start(CONNECT_WAIT)
        return commands

    def _pool(self, node: Node) -> ConnectionPool:
        pool = self._pools.get(node)
        if pool is None:
            host = f"[{node.host}]" if ":" in node.host else node.host
            pool = self._pools[node] = connections(
                self._template.format(host=host, port=node.port), f"{self._scheme}+cluster"
            )
        return pool

    # The layout

    def _look_soon(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look(), name="odac: layout of the cluster")
            self._looking.add_done_callback(_look_at)

    async def _look(self) -> None:
        """Ask a node which node owns which slots.

        Raises:
            StoreAway: no node answers.
        """
        known = list(dict.fromkeys([*self._nodes, *self._seeds]))
        RANDOM.shuffle(known)
        reason = "no node is known"
        for node in known:
            try:
                async with opened(self._pool(node)) as connection:
                    await connection.send_command("CLUSTER", "SLOTS", check_health=False)
                    layout: Any = await connection.read_response()
            except (RedisError, OSError, TimeoutError, BrokerError) as error:
                reason = str(error) or type(error).__name__
                continue
            owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
            for first, last, primary, *_ in layout:
                owner = Node((primary[0] or b"").decode() or node.host, int(primary[1]))
                owners[first : last + 1] = [owner] * (last + 1 - first)
            self._owners = owners
            if None not in owners:
                await self._forget_nodes({*owners, *self._seeds})
            return
        raise StoreAway(f"{self._address}: {reason}")

    async def _forget_nodes(self, known: set[Node | None]) -> None:
        """Disconnect from the nodes that have left the cluster: each would be tried again for good."""
        gone = [self._nodes.pop(node) for node in tuple(self._nodes) if node not in known]
        self._pools = {node: pool for node, pool in self._pools.items() if node in known}
        await asyncio.gather(*(commands.stop() for commands in gone))


def _look_at(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
