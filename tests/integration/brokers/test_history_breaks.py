"""Rooms with history while the network between a process and its broker breaks, real servers throughout: partitions
that heal, positions that are used twice, publishers that are killed before their confirmation, slots that move.
"""

from __future__ import annotations

import asyncio
import copy
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot
from websockets.asyncio.client import connect

from odac import AsyncPublisher, BrokerError
from odac.brokers.redis_cluster_history import RedisClusterHistory
from odac.client.recovery import Recover
from odac.testing import AsyncTestClient
from odac.testing.connection import AsyncTestConnection
from tests.integration.brokers.network import Network, network_to
from tests.integration.brokers.raw_clients import RawClients
from tests.integration.brokers.servers import Redis, RedisCluster, Server
from tests.integration.brokers.test_history import Run, app_of, ask, chat, come, until
from tests.integration.running import Running

LONG = os.environ.get("ODAC_LONG") == "1"
MEMBERS = 10_000 if LONG else 300
TOLD = Recover("chat-7", False, 0)


@asynccontextmanager
async def one_behind_a_network(
    server: Server, directory: Path
) -> AsyncIterator[tuple[Network, AsyncTestClient, AsyncTestClient]]:
    """Two processes' apps, of which the first reaches the broker through a network only."""
    async with (
        network_to(server, directory) as (network, near),
        AsyncTestClient(chat(near)) as one,
        AsyncTestClient(chat(server.url)) as two,
    ):
        two._jar = one._jar  # one browser, whichever process it gets
        yield network, one, two


def again(page: AsyncTestConnection) -> AsyncTestConnection:
    """A copy of a page with all that it knows, as a cloned tab or a restored virtual machine has it."""
    clone = copy.copy(page)
    clone.positions = copy.deepcopy(page.positions)
    return clone


# A partition


@pytest.mark.parametrize("fragile", ["local", "redis"], indirect=True)
@pytest.mark.parametrize("how", ["refused", "held"])
def test_a_partition_that_heals_loses_and_repeats_nothing(
    how: str, fragile: Server, short_directory: Path, run: Run
) -> None:
    """Both sides of it speak meanwhile, and a page goes over from one to the other."""

    async def main() -> None:
        async with one_behind_a_network(fragile, short_directory) as (network, one, two):
            a, moving, b = await come(one), await come(one), await come(two)
            await a.send("before")
            await until(lambda: all(page.received == ["before"] for page in (a, moving, b)), "delivery")
            if how == "refused":
                network.refuses = True
                network.cut()
            else:
                network.hold()
            sends = [asyncio.ensure_future(confirmed(one, ["there", number])) for number in range(20)]
            for number in range(20):
                await app_of(two).route.ws_server.to_room("chat-7", ["here", number])
            await moving.drop()
            gone_over = await come(two, again=moving)
            assert not any(send.done() for send in sends), "the partition is none"
            assert a.received == moving.received == ["before"]
            network.refuses = False
            network.release()
            assert await asyncio.gather(*sends) == [True] * 20
            await until(lambda: all(len(page.received) >= 41 for page in (a, b)) and len(gone_over.received) >= 40)
            await app_of(two).route.ws_server.to_room("chat-7", "after")
            await until(lambda: all(page.received[-1:] == ["after"] for page in (a, b, gone_over)), "the last one")
            assert a.received == b.received == moving.received + gone_over.received
            for side in ("here", "there"):
                assert [each[1] for each in b.received if each[0] == side] == list(range(20))
            assert a.recoveries == b.recoveries == []
            assert [told.recovered for told in gone_over.recoveries] == [True]

    run(main())


async def confirmed(client: AsyncTestClient, data: Any, room: str = "chat-7") -> bool:
    """Send, and return whether the broker has confirmed it."""
    try:
        await app_of(client).route.ws_server.to_room(room, data)
    except BrokerError:
        return False
    return True


@pytest.mark.slow
def test_a_partition_longer_than_the_wait_is_reported(own_redis: Redis, short_directory: Path, run: Run) -> None:
    """Sends of the lonely side fail, and are in the log once or not at all; its members miss nothing of the others'."""

    async def main() -> None:
        async with one_behind_a_network(own_redis, short_directory) as (network, one, two):
            a, b = await come(one), await come(two)
            await a.send("before")
            await until(lambda: b.received == ["before"] == a.received)
            network.hold()
            lonely = [asyncio.ensure_future(confirmed(one, ["lonely", number])) for number in range(5)]
            for number in range(20):
                await app_of(two).route.ws_server.to_room("chat-7", number)
            assert await asyncio.gather(*lonely) == [False] * 5
            network.release()
            await until(lambda: len([each for each in a.received if isinstance(each, int)]) == 20, "healing")
            await confirmed(two, "after")
            await until(lambda: a.received[-1:] == b.received[-1:] == ["after"])
            assert a.received == b.received
            assert [each for each in b.received if isinstance(each, int)] == list(range(20))
            stored = [each[1] for each in b.received if isinstance(each, list)]
            assert stored == sorted(set(stored))
            assert a.recoveries == b.recoveries == []

    run(main())


# A position that is used twice


@pytest.mark.parametrize("when", ["one after the other", "at once"])
@pytest.mark.parametrize("where", ["the same process", "another process"])
def test_a_position_that_is_used_twice(when: str, where: str, own_redis: Redis, run: Run) -> None:
    """A frozen tab that thaws after its copy has come back: each gets all of it, or is told; one connection stays."""

    async def main() -> None:
        async with AsyncTestClient(chat(own_redis.url)) as one, AsyncTestClient(chat(own_redis.url)) as two:
            two._jar = one._jar
            other = one if where == "the same process" else two
            speaker, page = await come(one), await come(one)
            await speaker.send("seen")
            await until(lambda: page.received == ["seen"])
            clone = again(page)
            await page.drop()
            for number in range(30):
                await confirmed(one, number)
            if when == "at once":
                first, second = await asyncio.gather(
                    one.connect("/chat/7", again=page), other.connect("/chat/7", again=clone)
                )
            else:
                first = await come(one, again=page)
                second = await come(other, again=clone)
            for each in (first, second):
                await until(lambda each=each: each.recoveries or each.closed is not None, "being told")  # type: ignore[misc]
            # The newer one ends the older: which one that is, is the clock's when they come at once.
            await until(lambda: (first.closed is None) != (second.closed is None), "the end of one of them")
            ended, alive = (first, second) if first.closed is not None else (second, first)
            assert ended.closed == (1000, "the client has connected again")
            assert [told.recovered for told in alive.recoveries] == [True]
            await until(lambda: len(alive.received) == 30)  # the last ones may come live
            assert alive.received == list(range(30))
            assert ended.received == list(range(len(ended.received)))
            await confirmed(two, "after")
            await until(lambda: alive.received[-1:] == ["after"])
            assert "after" not in ended.received
            # What is known to the copy that was closed is good still: nothing that it did not get is behind it.
            third = await come(other, again=again(ended))
            assert ended.received + third.received == [*range(30), "after"]

    run(main())


# A publisher that is killed

PUBLISHER = """
import asyncio, sys
from odac import AsyncPublisher

async def main():
    async with AsyncPublisher(sys.argv[1], timeout=60.0) as publisher:
        await publisher.to_room("chat-7", "ready")
        await asyncio.to_thread(sys.stdin.readline)
        await publisher.to_room("chat-7", "once")
        print("confirmed", flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("fragile", ["local", "redis"], indirect=True)
@pytest.mark.parametrize("end", ["killed", "cut off"])
def test_a_publisher_between_the_append_and_its_confirmation(
    end: str, fragile: Server, short_directory: Path, run: Run
) -> None:
    async def main() -> None:
        async with AsyncTestClient(chat(fragile.url)) as one, network_to(fragile, short_directory) as (network, near):
            page = await come(one)
            publisher = subprocess.Popen(
                [sys.executable, "-c", PUBLISHER, near], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            try:
                await until(lambda: page.received == ["ready"], "the publisher's start")
                network.hold_answers()
                assert publisher.stdin is not None
                publisher.stdin.write("\n")
                publisher.stdin.flush()
                await until(lambda: page.received == ["ready", "once"], "the append")
                if end == "killed":
                    publisher.kill()
                    said, _ = await asyncio.to_thread(publisher.communicate)
                    assert said == "", "it was confirmed before"
                    network.release_answers()
                else:
                    network.cut()  # it sends it again, under the same number
                    network.release_answers()
                    said, _ = await asyncio.to_thread(publisher.communicate)
                    assert said == "confirmed\n"
                async with AsyncPublisher(fragile.url) as another:
                    await another.to_room("chat-7", "next")
                await until(lambda: page.received[-1:] == ["next"])
                assert page.received == ["ready", "once", "next"]
                assert page.recoveries == []
                entries = await app_of(one).route.ws_server.history("chat-7")
                assert [entry.data for entry in entries] == page.received
            finally:
                publisher.kill()
                await asyncio.to_thread(publisher.wait)

    run(main())


APP = """
from odac import History, Limits, Odac

app = Odac("a secret that is long enough for all", limits=Limits(rate_limit=None))
app.rooms("chat-*", history=History(size=500))
app.users(history=History(size=50), replay=5)

@app.route.ws("/chat/{id}", token=False)
async def room(odac):
    name = f"chat-{odac.request.data.url['id']}"
    await odac.ws.join(name)
    async for data in odac.ws:
        await odac.ws.to(name).send(data)
        odac.ws.send(["confirmed", data])
"""


def test_a_process_that_is_killed_between_the_append_and_its_confirmation(
    own_redis: Redis, short_directory: Path, run: Run
) -> None:
    """Its page comes back to another process, and finds what it sent there once."""

    async def main() -> None:
        async with (
            AsyncTestClient(chat(own_redis.url)) as one,
            network_to(own_redis, short_directory) as (network, near),
        ):
            page = await come(one)
            folder = Path(tempfile.mkdtemp(dir=short_directory))
            running = await asyncio.to_thread(lambda: Running(folder, APP, environment={"ODAC_BROKER": near}))
            try:
                address = f"ws{running.url.removeprefix('http')}/chat/7"
                async with connect(address, ping_interval=None, open_timeout=60) as client:
                    await client.send('"first"')
                    while await client.recv() != '["confirmed","first"]':
                        pass
                    network.hold_answers()
                    await client.send('"once"')
                    await until(lambda: page.received == ["first", "once"], "the append")
                    running.process.kill()
                    await asyncio.to_thread(running.wait)
                network.release_answers()
                await confirmed(one, "next")
                await until(lambda: page.received[-1:] == ["next"])
                assert page.received == ["first", "once", "next"]
                assert page.recoveries == []
            finally:
                await asyncio.to_thread(running.__exit__, None, None, None)

    run(main())


# A slot that moves while a batch is under way


@pytest.mark.parametrize("keys", ["stay", "move"])
def test_a_slot_that_moves_inside_a_batch(
    keys: str, own_cluster: RedisCluster, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of three batches finds the slot at another node: MOVED, with its numbers given out already."""
    append = RedisClusterHistory.append
    batches: list[int] = []

    async def moved_before_the_second(self: RedisClusterHistory, *arguments: Any) -> Any:
        if arguments[0] == "odac.room.chat-7":
            batches.append(len(arguments[4]))
            if len(batches) == 3:  # "before" was the first
                slot = key_slot(b"odac.room.chat-7")
                await asyncio.to_thread(own_cluster.move_slot, slot, keys == "move")
        return await append(self, *arguments)

    async def main() -> None:
        async with AsyncTestClient(chat(own_cluster.url)) as one, AsyncTestClient(chat(own_cluster.url)) as two:
            a, b = await come(one), await come(two)
            await confirmed(one, "before")
            await until(lambda: a.received == b.received == ["before"])
            monkeypatch.setattr(RedisClusterHistory, "append", moved_before_the_second)
            batches.append(1)
            done = await asyncio.gather(*(confirmed(one, number) for number in range(300)))
            assert all(done)
            assert max(batches) > 1
            await until(lambda: a.recoveries and b.recoveries, "being told")
            await confirmed(two, "after")
            await until(lambda: a.received[-1:] == b.received[-1:] == ["after"], "life")
            for page in (a, b):
                numbers = [each for each in page.received if isinstance(each, int)]
                assert numbers == sorted(set(numbers))
                assert set(page.recoveries) == {TOLD}
            stored = [entry.data for entry in await app_of(one).route.ws_server.history("chat-7", last=500)]
            assert stored == [*range(128, 300), "after"], "each batch is stored once, the moved one in the new epoch"

    run(main())


# The last message of a publisher outside of the app


def test_the_last_message_of_a_publisher_is_announced_once_more(
    own_redis: Redis, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its publication was lost: the room's top, published once more, shows it; also where the publisher ends first."""
    from odac.publishing import kept

    monkeypatch.setattr(kept, "TOP_AFTER", 0.2)

    async def hidden(publisher: AsyncPublisher, data: str) -> None:
        assert publisher._kept is not None
        store: Any = publisher._kept._store
        original, store._publish = store._publish, "SET"  # takes the same arguments, and publishes nothing
        await publisher.to_room("chat-7", data)
        store._publish = original

    async def main() -> None:
        async with AsyncTestClient(chat(own_redis.url)) as one:
            page = await come(one)
            async with AsyncPublisher(own_redis.url) as publisher:
                await publisher.to_room("chat-7", "x")
                await until(lambda: page.received == ["x"])
                await hidden(publisher, "lost on the way")
                await until(lambda: page.received == ["x", "lost on the way"], "the top")
                await hidden(publisher, "last words")
            await until(lambda: page.received[2:] == ["last words"], "the top at the end")
            assert page.recoveries == []

    run(main())


# The subscriber's connections, under many clients


@pytest.mark.parametrize("seconds", [2.0])
def test_the_pubsub_connections_are_killed_for_two_seconds_and_no_client_notices(
    seconds: float, own_redis: Redis, short_directory: Path
) -> None:
    """Some hundred clients; 10,000 with ``make history-faults``. For longer where less than some sends and kills fit in."""
    killed: list[bytes] = []
    sent = 0

    def hits() -> int:
        return sum(answer.startswith(b":") and answer != b":0\r\n" for answer in killed)

    async def kill() -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end or sent < 5 or hits() < 3:
            killed.append(await asyncio.to_thread(ask, own_redis, "CLIENT", "KILL", "TYPE", "pubsub"))
            await asyncio.sleep(0.02)

    async def main(port: int) -> None:
        nonlocal sent
        async with AsyncPublisher(own_redis.url) as publisher:
            clients = RawClients("127.0.0.1", port, "/chat/7")
            try:
                await clients.connect(MEMBERS)
                await publisher.to_room("chat-7", "first")  # the place of an empty room has no name yet
                await clients.until_all_have("first")
                killing = asyncio.create_task(kill())
                while not killing.done():
                    await publisher.to_room("chat-7", sent)
                    sent += 1
                    await asyncio.sleep(0.05)
                await killing
                await publisher.to_room("chat-7", "the end")
                await clients.until_all_have("the end")
                expected = ["first", *map(str, range(sent)), "the end"]
                for member in clients.members:
                    assert member.messages == expected
                assert [member.notices for member in clients.members if member.notices] == []
            finally:
                clients.close()

    folder = Path(tempfile.mkdtemp(dir=short_directory))
    with Running(folder, APP, environment={"ODAC_BROKER": own_redis.url}) as running:
        asyncio.run(asyncio.wait_for(main(running.port), 600 if LONG else 100))
