"""How a command finds its node; what a real cluster does is tested with one."""

from __future__ import annotations

from typing import Any

import pytest
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError

from odac.brokers import redis_cluster_history
from odac.brokers.redis_cluster import Node
from odac.brokers.redis_cluster_history import REDIRECTIONS, RedisClusterHistory
from odac.brokers.url import parse_url
from odac.errors import BrokerError, ConfigurationError
from odac.history.store import StoreAway
from tests.unit.brokers.fakes import run
from tests.unit.brokers.test_redis_cluster import Layouts

A, B = Node("a", 1), Node("b", 2)
KEY = "key"
SLOT = key_slot(KEY.encode())


class FakeNode:
    """A node that answers with its script of answers, and then with its name."""

    def __init__(self, node: Node, answers: list[Exception]) -> None:
        self.node = node
        self.answers = answers
        self.asking: list[bool] = []

    async def command(self, *words: Any, asking: bool = False) -> str:
        self.asking.append(asking)
        if self.answers:
            raise self.answers.pop(0)
        return self.node.host


class Cluster(RedisClusterHistory):
    def __init__(self, **answers: list[Exception]) -> None:
        super().__init__(parse_url("redis+cluster://a"))
        self.fakes = {node: FakeNode(node, answers.get(node.host, [])) for node in (A, B)}
        self.looks = 0
        self.found: Node | None = A

    async def _commands(self, node: Node) -> Any:
        return self.fakes[node]

    async def _look(self) -> None:
        self.looks += 1
        self._owners[SLOT] = self.found


def moved(to: Node) -> MovedError:
    return MovedError(f"{SLOT} {to.host}:{to.port}")


def test_the_layout_is_read_once_and_the_owner_asked() -> None:
    async def test() -> None:
        cluster = Cluster()
        assert [await cluster._command(KEY, "PING") for _ in range(2)] == ["a", "a"]
        assert cluster.looks == 1
        assert cluster.fakes[B].asking == []

    run(test())


def test_a_slot_that_has_moved_is_followed_and_remembered() -> None:
    async def test() -> None:
        cluster = Cluster(a=[moved(B)])
        cluster.found = B
        cluster._owners[SLOT] = A
        assert [await cluster._command(KEY, "PING") for _ in range(2)] == ["b", "b"]
        assert len(cluster.fakes[A].asking) == 1
        await cluster.stop()

    run(test())


def test_a_slot_that_is_moving_is_asked_for_at_the_other_node_this_once() -> None:
    async def test() -> None:
        cluster = Cluster(a=[AskError(f"{SLOT} b:2")])
        assert [await cluster._command(KEY, "PING") for _ in range(2)] == ["b", "a"]
        assert cluster.fakes[B].asking == [True]
        assert cluster.fakes[A].asking == [False, False]

    run(test())


def test_a_slot_that_keeps_moving_is_given_up() -> None:
    async def test() -> None:
        cluster = Cluster(a=[moved(B) for _ in range(9)], b=[moved(A) for _ in range(9)])
        with pytest.raises(StoreAway, match="keeps moving"):
            await cluster._command(KEY, "PING")
        assert sum(len(each.asking) for each in cluster.fakes.values()) == REDIRECTIONS
        await cluster.stop()

    run(test())


def test_slots_that_no_node_owns_are_an_outage() -> None:
    async def test() -> None:
        cluster = Cluster()
        cluster.found = None
        with pytest.raises(StoreAway, match="does not cover all slots"):
            await cluster._command(KEY, "PING")

    run(test())


def test_after_a_node_is_away_the_layout_is_read_again() -> None:
    async def test() -> None:
        cluster = Cluster(a=[StoreAway("gone")])
        cluster._owners[SLOT] = A
        cluster.found = B
        with pytest.raises(StoreAway, match="gone"):
            await cluster._command(KEY, "PING")
        looking = cluster._looking
        assert looking is not None
        await looking
        assert await cluster._command(KEY, "PING") == "b"

    run(test())


def test_nodes_that_have_left_the_cluster_are_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would be tried again for good, and asked for the layout."""

    async def test() -> None:
        cluster = RedisClusterHistory(parse_url("redis+cluster://seed:1"))
        made: list[Ended] = []

        def make(*_: object, **__: object) -> Ended:
            made.append(Ended())
            return made[-1]

        monkeypatch.setattr(redis_cluster_history, "RedisCommands", make)
        for number in range(3):
            layouts = Layouts([(0, 16383, (b"10.0.0.%d" % number, 1))])
            monkeypatch.setattr(redis_cluster_history, "opened", layouts.opened)
            await cluster._look()
            owner = cluster._owners[0]
            assert owner is not None
            await cluster._commands(owner)
        assert [each.is_stopped for each in made] == [True, True, False]
        assert len(cluster._pools) == 2
        await cluster.stop()

    run(test())


class Ended:
    """A connection that notes its end."""

    def __init__(self) -> None:
        self.is_stopped = False

    async def start(self, wait: float) -> None: ...

    async def stop(self) -> None:
        self.is_stopped = True


def test_a_node_without_a_run_id_is_an_error_of_the_command() -> None:
    """The cluster was away at the start, so that the app runs; what it sends must fail, and not wait for good."""

    class Refusing(Cluster):
        async def _commands(self, node: Node) -> Any:
            raise ConfigurationError("no run id: allow INFO")

    async def test() -> None:
        with pytest.raises(BrokerError, match="allow INFO"):
            await Refusing()._command(KEY, "PING")

    run(test())
