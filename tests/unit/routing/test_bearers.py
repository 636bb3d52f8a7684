from __future__ import annotations

import asyncio

import pytest

from odac.routing import bearers as module
from odac.routing.bearers import Bearers
from tests.unit.realtime.realtime_fakes import Room, idle, run


@pytest.mark.parametrize(
    ("values", "expected"),
    [(["secret"], "secret"), (["secret", "more"], "secret"), ([], None), ([""], None), ([7], None), ([None], None)],
    ids=str,
)
def test_the_first_message_is_the_token_if_it_holds_one(values: list[object], expected: str | None) -> None:
    async def test() -> None:
        bearers = Bearers()
        connection = Room(loop=asyncio.get_running_loop()).connect()
        bearers.expect(connection)
        waiting = asyncio.ensure_future(bearers.token(connection))
        await idle()
        assert not waiting.done()
        bearers.receive(connection, values)
        bearers.receive(connection, ["a second one"])
        assert await waiting == expected

    run(test())


def test_a_token_may_come_before_it_is_waited_for() -> None:
    async def test() -> None:
        bearers = Bearers()
        connection = Room(loop=asyncio.get_running_loop()).connect()
        bearers.expect(connection)
        bearers.receive(connection, ["early"])
        assert await bearers.token(connection) == "early"

    run(test())


def test_a_token_that_does_not_come_in_time_is_none_and_one_that_nothing_waits_for_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BEARER_TIMEOUT", 0.001)

    async def test() -> None:
        bearers = Bearers()
        one, other = (Room(loop=asyncio.get_running_loop()).connect() for _ in range(2))
        bearers.expect(one)
        bearers.receive(other, ["not awaited"])
        assert await bearers.token(one) is None
        bearers.receive(one, ["too late"])
        assert bearers._awaited == {}

    run(test())
