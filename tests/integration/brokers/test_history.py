"""Rooms with history over every broker: two processes' apps, their clients, and what happens to the server between
them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from odac import AsyncPublisher, BrokerError, Context, History, Odac, Publisher
from odac.brokers import redis_history
from odac.client.recovery import Recover
from odac.config import Limits
from odac.errors import ConfigurationError
from odac.testing import AsyncTestClient
from odac.testing.connection import AsyncTestConnection
from tests.integration.brokers.servers import Redis, RedisCluster, Server

SECRET = "a secret that is long enough for all"
LIMIT = 30.0

Run = Callable[[Coroutine[Any, Any, None]], None]


def chat(url: str, **history: Any) -> Odac:
    app = Odac(SECRET, broker=url, limits=Limits(rate_limit=None))
    app.rooms("chat-*", history=History(**{"size": 500, **history}))
    app.users(history=History(size=50), replay=5)

    @app.route.ws("/chat/{id}", token=False)
    async def room(odac: Context) -> None:
        name = f"chat-{odac.request.data.url['id']}"
        await odac.ws.join(name, replay=3)
        async for data in odac.ws:
            odac.ws.to(name).send(data)

    @app.route.auth.ws("/members", token=False)
    async def members(odac: Context) -> None:
        odac.ws.join("chat-m")

    return app


@contextlib.asynccontextmanager
async def processes(url: str, count: int = 2, **history: Any) -> AsyncIterator[list[AsyncTestClient]]:
    async with contextlib.AsyncExitStack() as stack:
        clients: list[AsyncTestClient] = []
        for _ in range(count):
            app = chat(url, **history)
            client = await stack.enter_async_context(AsyncTestClient(app))
            if clients:
                client._jar = clients[0]._jar  # one browser, whichever process it gets
            clients.append(client)
        yield clients


def app_of(client: AsyncTestClient) -> Odac:
    assert isinstance(client.app, Odac)
    return client.app


def hold_notices(client: AsyncTestClient, room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client's process take none of the entries that the store publishes for a room: they are on their way."""
    history: Any = app_of(client)._hub.history
    monkeypatch.setattr(history.feeds._rooms[f"chat-{room[6:]}"], "take", lambda notice: None)


async def until(condition: Callable[[], object], what: str = "it") -> None:
    try:
        async with asyncio.timeout(LIMIT):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what} did not happen in {LIMIT} s") from None


async def joined(connection: AsyncTestConnection) -> AsyncTestConnection:
    await until(lambda: any(kind == "live" for kind, _ in connection.control), "joining")
    return connection


async def come(
    client: AsyncTestClient, again: AsyncTestConnection | None = None, path: str = "/chat/7"
) -> AsyncTestConnection:
    return await joined(await client.connect(path, again=again))


@pytest.fixture(params=["memory", "local", "redis", "cluster"])
def store(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    return servers(request.param)


def own(store: Server) -> str:
    """The store's URL with a namespace of these tests: the rules stay in the server, which other tests use as well."""
    if store.url.startswith("memory"):
        return store.url
    return f"{store.url}{'&' if '?' in store.url else '?'}namespace=history"


@pytest.fixture
def room() -> str:
    """A room of this test alone: the servers live as long as all tests."""
    import secrets

    return f"/chat/{secrets.token_hex(6)}"


def test_both_processes_see_one_order(store: Server, run: Run, room: str) -> None:
    async def main() -> None:
        async with processes(own(store)) as (one, two):
            a, b = await come(one, path=room), await come(two, path=room)
            for number in range(50):
                await a.send(["a", number])
                await b.send(["b", number])
            await until(lambda: len(a.received) == len(b.received) == 100, "delivery")
            assert a.received == b.received
            for who in "ab":
                assert [number for name, number in a.received if name == who] == list(range(50))
            assert a.positions.rooms == b.positions.rooms

    run(main())


def test_a_client_comes_back_to_another_process(store: Server, run: Run, room: str) -> None:
    async def main() -> None:
        async with processes(own(store)) as (one, two):
            a, b = await come(one, path=room), await come(one, path=room)
            await a.send("before")
            await until(lambda: b.received == ["before"])
            await b.drop()
            for number in range(300):
                await a.send(number)
            await until(lambda: len(a.received) == 301, "the append of all")
            again = await come(two, again=b, path=room)
            await until(lambda: len(again.received) >= 300, "recovery")
            await a.send("after")
            await until(lambda: again.received[-1] == "after", "life")
            assert again.received == [*range(300), "after"]
            assert again.recoveries == [Recover(f"chat-{room[6:]}", True, 300)]

    run(main())


def test_a_client_recovers_in_a_process_that_has_received_less_than_the_client(
    store: Server, run: Run, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with processes(own(store)) as (one, two):
            a, b = await come(one, path=room), await come(two, path=room)
            await a.send("first")
            await until(lambda: b.received == ["first"])
            hold_notices(two, room, monkeypatch)
            for number in range(10):
                await a.send(number)
            await until(lambda: len(a.received) == 11)
            await a.drop()
            again = await come(two, again=a, path=room)
            assert again.recoveries == [Recover(f"chat-{room[6:]}", True, 0)]
            assert again.received == [], "it had them all"
            await until(lambda: b.received == ["first", *range(10)], "the read that brings the others their messages")

    run(main())


def test_a_client_ahead_of_its_process_takes_no_messages_from_the_members_of_a_room_that_was_empty(
    store: Server, run: Run, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with processes(own(store)) as (one, two):
            a, b = await come(one, path=room), await come(two, path=room)
            hold_notices(two, room, monkeypatch)
            await a.send("first")
            await until(lambda: a.received == ["first"])
            await a.drop()
            again = await come(two, again=a, path=room)
            assert again.recoveries == [Recover(f"chat-{room[6:]}", True, 0)]
            await until(lambda: b.received == ["first"], "the first message")
            assert b.recoveries == []

    run(main())


def test_reconnecting_during_messages_loses_and_repeats_nothing(store: Server, run: Run, room: str) -> None:
    async def main() -> None:
        async with processes(own(store)) as (one, two):
            a, b = await come(one, path=room), await come(two, path=room)
            # What is said in an empty room begins its log: a page that left before is told that it may miss something.
            await a.send(-1)
            await until(lambda: b.received == [-1], "the first message")
            got: list[int] = []
            told: list[Recover] = []
            done = asyncio.Event()

            async def speak() -> None:
                for number in range(400):
                    await a.send(number)
                    await asyncio.sleep(0.001)
                done.set()

            speaker = asyncio.get_running_loop().create_task(speak())
            connection = b
            while not done.is_set():
                await asyncio.sleep(0.02)
                await connection.drop()
                got += connection.received
                told += connection.recoveries
                connection = await come(one if len(got) % 2 else two, again=connection, path=room)
            await speaker
            try:
                await until(lambda: [*got, *connection.received][-1] == 399, "the end")
            except AssertionError as error:
                raise AssertionError(
                    f"{error}: {len(got)} and {len(connection.received)}, {connection.closed}, {connection.recoveries}"
                ) from None
            told += connection.recoveries
            assert got + connection.received == list(range(-1, 400))
            assert all(each.recovered for each in told)

    run(main())


def test_sends_are_confirmed(store: Server, run: Run, room: str) -> None:
    async def main() -> None:
        async with processes(own(store)) as (one, two):
            b = await come(two, path=room)
            server = app_of(one).route.ws_server
            name = f"chat-{room[6:]}"
            for number in range(10):
                await server.to_room(name, number)
                assert [entry.data for entry in await app_of(two).route.ws_server.history(name, last=1)] == [number]
            await until(lambda: b.received == list(range(10)))

    run(main())


def test_forgetting_reaches_every_process(store: Server, run: Run, room: str) -> None:
    async def main() -> None:
        async with processes(own(store)) as (one, two):
            a, b = await come(one, path=room), await come(two, path=room)
            name = f"chat-{room[6:]}"
            await a.send("x")
            await until(lambda: a.received and b.received)
            await app_of(one).route.ws_server.forget(name)
            await until(lambda: a.recoveries and b.recoveries, "being told")
            assert a.recoveries == b.recoveries == [Recover(name, False, 0)]
            await a.send("y")
            await until(lambda: b.received == ["x", "y"])
            await b.drop()
            await a.send("z")
            again = await come(one, again=b, path=room)
            await until(lambda: again.received == ["z"], "recovery in the new epoch")

    run(main())


def test_a_user_is_revoked_on_every_process(store: Server, run: Run) -> None:
    async def main() -> None:
        async with processes(own(store)) as (one, two):
            page = await two.connect("/members", user={"id": 7})
            await until(lambda: "chat-m" in page.positions.rooms)
            server = app_of(one).route.ws_server
            await server.to_room("chat-m", "before")
            await until(lambda: page.received[-1:] == ["before"])
            await server.revoke("chat-m", 7)
            await until(lambda: "chat-m" not in page.positions.rooms, "leaving")
            await server.to_room("chat-m", "secret")
            await asyncio.sleep(0.1)
            assert "secret" not in page.received
            await server.forget("chat-m")

    run(main())


@pytest.mark.parametrize("store", ["redis", "cluster"], indirect=True)
def test_a_room_with_too_many_revoked_users_is_erased(store: Server, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As :mod:`odac.history.rings` does for the other stores."""
    monkeypatch.setattr(redis_history, "REVOCATIONS", 5)

    async def main() -> None:
        async with processes(own(store)) as (one, two):
            page = await two.connect("/members", user={"id": 7})
            await until(lambda: "chat-m" in page.positions.rooms)
            await app_of(one).route.ws_server.to_room("chat-m", "before")
            await until(lambda: page.received[-1:] == ["before"])
            rooms = app_of(one)._rules.history
            assert rooms is not None
            channel = rooms.channel_of("chat-m")
            for number in range(5):
                await rooms.store.revoke(channel, f"{number:032}")
            assert [entry.data for entry in await app_of(two).route.ws_server.history("chat-m", last=10)] == ["before"]
            await app_of(one).route.ws_server.revoke("chat-m", "one more")
            assert await app_of(two).route.ws_server.history("chat-m", last=10) == []
            others = app_of(two)._rules.history
            assert others is not None
            await until(lambda: others.feeds._rooms["chat-m"].epoch is None, "reading the erased log")
            await app_of(one).route.ws_server.to_room("chat-m", "after")
            await until(lambda: page.received[-1:] == ["after"])
            found = await rooms.store.read(channel, History(), 0, 10)
            assert (len(found.entries), dict(found.revoked)) == (1, {})
            await app_of(one).route.ws_server.forget("chat-m")

    run(main())


def test_an_inbox_is_one_over_all_processes(store: Server, run: Run) -> None:
    import secrets

    user = secrets.token_hex(6)

    async def main() -> None:
        async with processes(own(store)) as (one, two):
            for number in range(7):
                await app_of(one).route.ws_server.user(user).send(number)
            page = await two.connect("/members", user={"id": user})
            await until(lambda: page.received == [2, 3, 4, 5, 6], "the replay of the inbox")

    run(main())


def test_an_older_connection_elsewhere_ends(store: Server, run: Run, room: str) -> None:
    async def main() -> None:
        async with processes(own(store)) as (one, two):
            a = await come(one, path=room)
            await a.send("x")
            await until(lambda: a.received)
            again = await come(two, again=a, path=room)
            await until(lambda: a.closed is not None, "the end of the older connection")
            assert a.closed == (1000, "the client has connected again")
            assert again.closed is None

    run(main())


def test_a_process_that_does_not_know_the_rules_is_noticed(store: Server, run: Run, room: str) -> None:
    async def main() -> None:
        ignorant = Odac(SECRET, broker=own(store))
        async with processes(own(store), 1) as (one,), AsyncTestClient(ignorant):
            a = await come(one, path=room)
            await a.send("kept")
            await until(lambda: a.received)
            ignorant.route.ws_server.to_room(f"chat-{room[6:]}", "not kept")
            await until(lambda: a.recoveries, "the gap")
            assert a.received == ["kept", "not kept"]
            assert a.recoveries == [Recover(f"chat-{room[6:]}", False, 0)]

    run(main())


def test_unkept_messages_stand_behind_unconfirmed_sends(store: Server, run: Run, room: str) -> None:
    async def main() -> None:
        async with processes(own(store), 1) as (one,):
            a = await come(one, path=room)
            send = app_of(one).route.ws_server.to(f"chat-{room[6:]}").send
            for number in range(20):
                send(number)
                send(["unkept", number], keep=False)
            await until(lambda: len(a.received) == 40)
            assert a.received == [each for number in range(20) for each in (number, ["unkept", number])]
            assert a.recoveries == []

    run(main())


def test_leaving_stands_behind_unconfirmed_sends(store: Server, run: Run) -> None:
    import secrets

    name = f"chat-{secrets.token_hex(6)}"

    async def main() -> None:
        app = chat(own(store))

        @app.route.ws("/doors", token=False)
        async def doors(odac: Context) -> None:
            await odac.ws.join(name)
            async for _ in odac.ws:
                odac.ws.to(name).send("mine")
                odac.ws.leave(name)
                odac.ws.to(name).send("after I left")
                await odac.ws.join(name)
                odac.ws.to(name).send("back")

        async with AsyncTestClient(app) as client:
            a = await joined(await client.connect("/doors"))
            await a.send("go")
            await until(lambda: a.received[-1:] == ["back"])
            assert a.received == ["mine", "back"]

    run(main())


# From outside of the app


def test_a_publisher_reads_the_rules_from_the_broker(store: Server, run: Run, room: str) -> None:
    if store.url.startswith("memory"):
        pytest.skip("not for this one: memory:// stays within one process")

    async def main() -> None:
        name = f"chat-{room[6:]}"
        async with processes(own(store), 1) as (one,), AsyncPublisher(own(store)) as publisher:
            a = await come(one, path=room)
            await publisher.to_room(name, "kept")
            await publisher.to_room(name, "typing", keep=False)
            with pytest.raises(ValueError, match="keep=False"):
                await publisher.to(name, "other").send("x")
            await publisher.to_room("plain", "as ever")
            await until(lambda: len(a.received) == 2)
            assert a.received == ["kept", "typing"]
            assert a.recoveries == []
            await a.drop()
            await asyncio.gather(*(publisher.to_room(name, number) for number in range(20)))
            again = await come(one, again=a, path=room)
            await until(lambda: sorted(again.received) == list(range(20)), "recovery of what was published")
            await asyncio.to_thread(_publish_from_a_thread, own(store), name)
            await until(lambda: again.received[-1:] == ["from a thread"])
            entries = await app_of(one).route.ws_server.history(name)
            assert [entry.data for entry in entries] == ["kept", *again.received]

    run(main())


def _publish_from_a_thread(url: str, room: str) -> None:
    with Publisher(url) as publisher:
        publisher.to_room(room, "from a thread")


# Redis: the epoch changes whenever the log cannot be proved a continuation


def ask(server: Redis, *words: str) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall(
            b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words)
        )
        return connection.recv(65_536)


def test_an_append_does_not_look_at_all_users_that_were_revoked(own_redis: Redis, run: Run) -> None:
    """The room's hash holds them as well as the senders, and is looked through only when a sender comes anew."""

    def looks() -> int:
        found = re.search(rb"cmdstat_hgetall:calls=(\d+)", ask(own_redis, "INFO", "commandstats"))
        return int(found[1]) if found else 0

    async def main() -> None:
        async with processes(own_redis.url, 1) as (one,):
            server = app_of(one).route.ws_server
            await server.to_room("chat-7", "first")
            for number in range(30):
                await server.revoke("chat-7", f"user {number}")
            before = looks()
            for number in range(10):
                await server.to_room("chat-7", number)
            assert looks() == before
            assert [entry.data for entry in await server.history("chat-7", last=10)] == [*range(10)]

    run(main())


@pytest.mark.parametrize("what", ["flushall", "hash evicted", "list evicted"])
def test_messages_that_the_server_loses_are_reported(what: str, own_redis: Redis, run: Run) -> None:
    async def main() -> None:
        async with processes(own_redis.url) as (one, two):
            a, b, away = await come(one), await come(two), await come(two)
            await a.send("x")
            await until(lambda: b.received == away.received == ["x"])
            await away.drop()
            if what == "flushall":
                assert ask(own_redis, "FLUSHALL").startswith(b"+OK")
            else:
                key = "{odac.room.chat-7}:" + ("log" if what == "hash evicted" else "entries")
                assert ask(own_redis, "DEL", key).startswith(b":1")
            again = await come(one, again=away)
            # Who is live notices with the next message at the latest.
            await a.send("y")
            await until(lambda: a.received == b.received == ["x", "y"] or (a.recoveries and b.recoveries), "noticing")
            await until(
                lambda: Recover("chat-7", False, 0) in a.recoveries and Recover("chat-7", False, 0) in b.recoveries
            )
            history = await app_of(one).route.ws_server.history("chat-7")
            assert [entry.data for entry in history] == ["y"]
            await a.send("z")
            await until(lambda: b.received[-1:] == ["z"] and again.received[-1:] == ["z"], "life goes on")
            assert a.received == b.received == ["x", "y", "z"], "no message of the new log is missing"

    run(main())


def test_a_restarted_server_is_another_epoch(own_redis: Redis, run: Run) -> None:
    own_redis.options = ("--appendonly", "yes", "--dir", str(own_redis.directory))
    own_redis.stop()
    own_redis.start()

    async def main() -> None:
        async with processes(own_redis.url) as (one, two):
            a, b = await come(one), await come(two)
            await a.send("x")
            await until(lambda: b.received == ["x"])
            await asyncio.to_thread(own_redis.stop)
            await asyncio.to_thread(own_redis.start)
            await until(lambda: a.recoveries and b.recoveries, "being told")
            assert a.recoveries == [Recover("chat-7", False, 0)]
            await a.send("y")
            await until(lambda: b.received[-1:] == ["y"])

    run(main())


def test_a_durable_server_is_trusted_over_a_restart(own_redis: Redis, run: Run) -> None:
    own_redis.options = ("--appendonly", "yes", "--appendfsync", "always", "--dir", str(own_redis.directory))
    own_redis.stop()
    own_redis.start()

    async def main() -> None:
        async with processes(own_redis.url + "?history=durable") as (one, two):
            a, b = await come(one), await come(two)
            await a.send("x")
            await until(lambda: b.received == ["x"])
            await asyncio.to_thread(own_redis.stop)
            for number in range(5):
                await a.send(number)  # they wait
            await asyncio.to_thread(own_redis.start)
            await until(lambda: a.received == b.received == ["x", *range(5)], "what waited")
            assert a.recoveries == b.recoveries == []

    run(main())


def test_a_failover_that_loses_messages_is_reported(own_redis: Redis, short_directory: Any, run: Run) -> None:
    """The replica was cut off when the last messages came, and is promoted where the clients find it."""
    import tempfile
    from pathlib import Path

    replica = Redis(Path(tempfile.mkdtemp(dir=short_directory)))
    replica.options = ("--replicaof", f"127.0.0.1 {own_redis.port}")
    replica.start()

    async def main() -> None:
        def in_step() -> bool:
            return b"master_link_status:up" in ask(replica, "INFO", "replication")

        await until(in_step, "replication")
        async with processes(own_redis.url) as (one, two):
            a, b = await come(one), await come(two)
            await a.send("replicated")
            await until(lambda: b.received == ["replicated"])
            await until(lambda: b"1) " in ask(replica, "KEYS", "*") or b"entries" in ask(replica, "KEYS", "*"))
            ask(replica, "REPLICAOF", "NO", "ONE")  # from here on it lags behind
            await a.send("lost")
            await until(lambda: b.received == ["replicated", "lost"])
            await b.drop()
            # The replica takes the primary's address.
            await asyncio.to_thread(own_redis.kill)
            await asyncio.to_thread(replica.stop)
            ports = own_redis.port, replica.port
            replica.port = ports[0]
            replica.options = ()
            await asyncio.to_thread(replica.start)
            own_redis.process = None
            await until(lambda: a.recoveries, "being told")
            again = await come(two, again=b)
            assert again.recoveries == [Recover("chat-7", False, 0)]
            await a.send("next")
            await until(lambda: again.received[-1:] == ["next"])

    try:
        run(main())
    finally:
        replica.stop()


def test_a_server_that_does_not_tell_its_run_id_must_be_vouched_for(own_redis: Redis, run: Run) -> None:
    ask(own_redis, "ACL", "SETUSER", "shy", "on", ">pw", "~*", "&*", "+@all", "-info")
    url = f"redis://shy:pw@127.0.0.1:{own_redis.port}"

    async def main() -> None:
        with pytest.raises(ConfigurationError, match=r"history=durable") as caught:
            await chat(url).startup()
        assert "pw" not in str(caught.value)
        app = chat(f"{url}?history=durable")
        await app.startup()
        await app.route.ws_server.to_room("chat-7", "x")
        await app.shutdown()

    run(main())


def test_what_can_never_work_fails_at_once(own_redis: Redis, run: Run) -> None:
    async def main() -> None:
        async with processes(own_redis.url, 1) as (one,):
            a = await come(one)
            await a.send("x")
            await until(lambda: a.received)
            ask(own_redis, "CONFIG", "SET", "maxmemory-policy", "noeviction")
            ask(own_redis, "CONFIG", "SET", "maxmemory", "1")
            async with asyncio.timeout(60):
                with pytest.raises(BrokerError, match=r"OOM|maxmemory"):
                    await app_of(one).route.ws_server.to_room("chat-7", "too much")
            ask(own_redis, "CONFIG", "SET", "maxmemory", "0")
            await app_of(one).route.ws_server.to_room("chat-7", "again")
            await until(lambda: a.received == ["x", "again"])

    run(main())


def test_scripts_that_the_server_has_lost_are_sent_again(own_redis: Redis, run: Run) -> None:
    async def main() -> None:
        async with processes(own_redis.url, 1) as (one,):
            a = await come(one)
            for number in range(5):
                ask(own_redis, "SCRIPT", "FLUSH")
                await a.send(number)
            await until(lambda: a.received == list(range(5)))

    run(main())


@pytest.mark.parametrize("which", ["pubsub", "normal"])
def test_a_connection_that_is_killed_loses_nothing(which: str, own_redis: Redis, run: Run, caplog: Any) -> None:
    """The subscriber's connection alone, or those that publish and append."""
    caplog.set_level(logging.ERROR)

    async def main() -> None:
        async with processes(own_redis.url) as (one, two):
            a, b = await come(one), await come(two)
            for number in range(200):
                await a.send(number)
                if number % 40 == 20:
                    ask(own_redis, "CLIENT", "KILL", "TYPE", which)
            await until(lambda: len(a.received) >= 200 and len(b.received) >= 200, "everything")
            assert a.received == b.received == list(range(200))
            assert a.recoveries == b.recoveries == []

    run(main())


def test_a_publication_that_got_lost_is_read(own_redis: Redis, run: Run) -> None:
    """Entries that are in the log and were never published, as where a connection dies silently: the next one shows it."""
    from odac.history.store import Message, encode_message

    async def main() -> None:
        async with processes(own_redis.url) as (one, two):
            a, b = await come(one), await come(two)
            await a.send("x")
            await until(lambda: b.received == ["x"])
            store: Any = app_of(one)._rules.history.store  # type: ignore[union-attr]
            assert store is not None
            original, store._publish = store._publish, "ECHO"
            body = encode_message(Message((), 1, b'"hidden"'))
            with pytest.raises(BrokerError):
                await store.append("odac.room.chat-7", History(size=500), b"o" * 16, 1, [body], b"e" * 16)
            store._publish = original
            await a.send("y")
            await until(lambda: a.received[-1:] == b.received[-1:] == ["y"])
            assert b.received == a.received == ["x", "hidden", "y"]
            assert a.recoveries == b.recoveries == []

    run(main())


def test_the_loss_of_a_rooms_last_message_shows_too(
    own_redis: Redis, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes behind it; but its sender publishes the room's top once more."""
    from odac.history import rooms

    monkeypatch.setattr(rooms, "TOP_AFTER", 0.2)  # as history/tops.py has it
    monkeypatch.setattr(rooms, "TEND_EVERY", 0.1)

    async def main() -> None:
        async with processes(own_redis.url) as (one, two):
            a, b = await come(one), await come(two)
            await a.send("x")
            await until(lambda: b.received == ["x"])
            store: Any = app_of(one)._rules.history.store  # type: ignore[union-attr]
            original, store._publish = store._publish, "SET"  # takes the same arguments, and publishes nothing
            await app_of(one).route.ws_server.to_room("chat-7", "last")
            store._publish = original
            await until(lambda: a.received == b.received == ["x", "last"], "the last message")
            assert a.recoveries == b.recoveries == []

    run(main())


def test_a_slot_of_a_cluster_that_moves_is_another_epoch(own_cluster: RedisCluster, run: Run) -> None:
    from redis.crc import key_slot

    async def main() -> None:
        async with processes(own_cluster.url) as (one, two):
            a, b = await come(one), await come(two)
            await a.send("x")
            await until(lambda: b.received == ["x"])
            await asyncio.to_thread(own_cluster.move_slot, key_slot(b"odac.room.chat-7"))
            await a.send("y")
            await until(lambda: a.recoveries and b.recoveries, "being told")
            await a.send("z")
            await until(lambda: a.received[-1:] == b.received[-1:] == ["z"], "life")
            assert a.recoveries[0] == b.recoveries[0] == Recover("chat-7", False, 0)

    run(main())


# Local: the log is the proxy's holder's


def test_a_new_holder_of_the_proxy_is_a_new_epoch(short_directory: Any, run: Run) -> None:
    import tempfile
    from pathlib import Path

    from tests.integration.brokers.servers import Local

    server = Local(Path(tempfile.mkdtemp(dir=short_directory)))
    server.start()

    async def main() -> None:
        async with processes(server.url) as (one, two):
            a, b = await come(one), await come(two)
            await a.send("x")
            await until(lambda: b.received == ["x"])
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await until(lambda: a.recoveries and b.recoveries, "being told")
            assert a.recoveries[0] == Recover("chat-7", False, 0)
            await a.send("y")
            await until(lambda: b.received[-1:] == ["y"], "life")

    try:
        run(main())
    finally:
        server.stop()
