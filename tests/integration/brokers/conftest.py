"""Fixtures: broker servers that run until the tests end, and event loops."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from tests.integration.brokers.servers import SERVERS, Redis, RedisCluster, Server

Run = Callable[[Coroutine[Any, Any, None]], None]
LIMIT = 120.0
Kind = TypeVar("Kind", bound=Server)


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    """Each broker in turn."""
    return servers(request.param)


@pytest.fixture(params=["local", "redis", "nats"])
def remote(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    """Each broker that is reached over one connection that a test can cut."""
    return servers(request.param)


@contextlib.contextmanager
def started(kind: type[Kind], directory: Path) -> Iterator[Kind]:
    server = kind(Path(tempfile.mkdtemp(dir=directory)))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def next_cluster(short_directory: Path) -> Iterator[Callable[[], RedisCluster]]:
    """Returns a cluster. It takes seconds to form, so the next one is started while a test uses this one."""
    ahead: list[RedisCluster] = []

    def begin() -> RedisCluster:
        cluster = RedisCluster(Path(tempfile.mkdtemp(dir=short_directory)))
        try:
            cluster.begin()
        except BaseException:
            cluster.stop()
            raise
        ahead.append(cluster)
        return cluster

    def take() -> RedisCluster:
        cluster = ahead[0] if ahead else begin()
        cluster.wait_until_formed()
        begin()
        ahead.remove(cluster)  # last: if anything before fails, it is stopped at the end
        return cluster

    yield take
    for cluster in ahead:
        cluster.stop()


@pytest.fixture
def own_cluster(next_cluster: Callable[[], RedisCluster]) -> Iterator[RedisCluster]:
    """A cluster for this test alone."""
    cluster = next_cluster()
    yield cluster
    cluster.stop()


@pytest.fixture(params=["local", "redis", "cluster", "nats"])
def fragile(request: pytest.FixtureRequest, short_directory: Path) -> Iterator[Server]:
    """Each broker in turn, for this test alone: it may be killed."""
    if request.param == "cluster":
        yield request.getfixturevalue("own_cluster")
        return
    with started(SERVERS[request.param], short_directory) as server:
        yield server


@pytest.fixture
def own_redis(short_directory: Path) -> Iterator[Redis]:
    """A Redis server for this test alone."""
    with started(Redis, short_directory) as server:
        yield server


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a test's coroutine on an event loop, and fail if it leaves tasks behind."""

    def runner(coroutine: Coroutine[Any, Any, None]) -> None:
        async def main() -> None:
            await asyncio.wait_for(coroutine, LIMIT)
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            assert not rest, f"left behind: {rest}"

        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as running:
            running.run(main())

    return runner
