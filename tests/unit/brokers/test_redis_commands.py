"""Over a connection whose server is the test; real servers are tested with the stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from redis.exceptions import NoPermissionError, NoScriptError, ReadOnlyError, ResponseError

from odac.brokers import redis_commands
from odac.brokers.redis_commands import DURABLE, RedisCommands
from odac.brokers.redis_scripts import Script
from odac.errors import BrokerError, ConfigurationError
from odac.history.store import StoreAway
from tests.unit.brokers.fakes import run

SCRIPT = Script("return 1")


class FakeServer:
    """Answers in order with what the test has put in; INFO by itself."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run_id: Any = b"# Server\r\nrun_id:abc\r\n"
        self.asked: list[tuple[Any, ...]] = []
        self.answers: asyncio.Queue[Any] = asyncio.Queue()
        self.connects = 0
        monkeypatch.setattr(redis_commands, "opened", self._opened)
        monkeypatch.setattr(redis_commands, "FIRST_DELAY", 0.0)

    @asynccontextmanager
    async def _opened(self, pool: object) -> AsyncIterator[FakeServer]:
        self.connects += 1
        self.answers = asyncio.Queue()
        yield self

    async def send_command(self, *words: Any, check_health: bool) -> None:
        self.answers.put_nowait(self.run_id)

    def pack_commands(self, commands: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return commands

    async def send_packed_command(self, commands: list[tuple[Any, ...]], check_health: bool) -> None:
        self.asked += commands

    async def read_response(self) -> Any:
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def commands(self, *, durable: bool = False) -> RedisCommands:
        made = RedisCommands(cast(Any, None), "redis://h", durable=durable)
        await made.start()
        return made


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    return FakeServer(monkeypatch)


def test_commands_go_out_together_and_each_gets_its_answer(server: FakeServer) -> None:
    async def test() -> None:
        commands = await server.commands()
        asking = [asyncio.ensure_future(commands.command("GET", number)) for number in range(3)]
        while len(server.asked) < 3:
            await asyncio.sleep(0)
        for number in range(3):
            server.answers.put_nowait(f"answer {number}")
        assert await asyncio.gather(*asking) == ["answer 0", "answer 1", "answer 2"]
        await commands.stop()

    run(test())


@pytest.mark.parametrize(("durable", "guard"), [(False, b"abc"), (True, DURABLE)])
def test_a_script_is_sent_with_the_guard_and_loaded_where_the_server_does_not_know_it(
    server: FakeServer, durable: bool, guard: bytes
) -> None:
    async def test() -> None:
        commands = await server.commands(durable=durable)
        running = asyncio.ensure_future(commands.run(SCRIPT, ("k",), 7))
        while not server.asked:
            await asyncio.sleep(0)
        server.answers.put_nowait(NoScriptError())
        while len(server.asked) < 2:
            await asyncio.sleep(0)
        server.answers.put_nowait("done")
        assert await running == "done"
        assert server.asked == [
            ("EVALSHA", SCRIPT.name, 1, "k", guard, 7),
            ("EVAL", SCRIPT.source, 1, "k", guard, 7),
        ]
        await commands.stop()

    run(test())


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ReadOnlyError("a replica"), StoreAway),
        (ResponseError("LOADING the dataset"), StoreAway),
        (ResponseError("NOREPLICAS not enough"), StoreAway),
        (ResponseError("OOM command not allowed"), BrokerError),
    ],
    ids=["read only", "loading", "no replicas", "out of memory"],
)
def test_an_error_says_whether_asking_again_may_help(
    server: FakeServer, error: Exception, raised: type[Exception]
) -> None:
    async def test() -> None:
        commands = await server.commands()
        asking = asyncio.ensure_future(commands.command("GET", "k"))
        while not server.asked:
            await asyncio.sleep(0)
        server.answers.put_nowait(error)
        with pytest.raises(BrokerError) as caught:
            await asking
        assert type(caught.value) is raised
        await commands.stop()

    run(test())


@pytest.mark.parametrize(
    "error",
    [ConnectionResetError("reset"), RuntimeError("reset: uvloop raises this for a transport that is closed")],
    ids=["reset", "any other"],
)
def test_a_broken_connection_fails_what_is_under_way_and_is_made_again(server: FakeServer, error: Exception) -> None:
    async def test() -> None:
        commands = await server.commands()
        asking = asyncio.ensure_future(commands.command("GET", "k"))
        while not server.asked:
            await asyncio.sleep(0)
        server.answers.put_nowait(error)
        with pytest.raises(StoreAway, match="reset"):
            await asking
        while server.connects < 2 or commands._connection is None:
            await asyncio.sleep(0)
        again = asyncio.ensure_future(commands.command("GET", "k"))
        while len(server.asked) < 2:
            await asyncio.sleep(0)
        server.answers.put_nowait("there")
        assert await again == "there"
        await commands.stop()

    run(test())


@pytest.mark.parametrize("answer", [NoPermissionError("no INFO"), b"# Server\r\nrun_id:\r\n"], ids=["denied", "none"])
def test_a_server_without_a_run_id_is_refused_with_the_way_out(server: FakeServer, answer: Any) -> None:
    server.run_id = answer

    async def test() -> None:
        with pytest.raises(ConfigurationError, match=r"history=durable"):
            await server.commands()
        commands = await server.commands(durable=True)
        await commands.stop()

    run(test())


def test_before_it_is_connected_the_error_has_the_reason() -> None:
    async def test() -> None:
        with pytest.raises(StoreAway, match="not connected"):
            await RedisCommands(cast(Any, None), "redis://h").command("GET", "k")

    run(test())
