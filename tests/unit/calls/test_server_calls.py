from __future__ import annotations

import asyncio
from typing import Any

import pytest

from odac.calls import server_calls
from odac.errors import CallError, Disconnected, InvalidMessage
from tests.unit.calls.calls_fakes import Site, arrives, said
from tests.unit.realtime.realtime_fakes import idle, lane_of, run


def test_answers_go_to_their_calls_in_whatever_order_they_come() -> None:
    async def test() -> None:
        connection = Site().connect()
        one = asyncio.ensure_future(connection.call("one", {"a": 1}))
        two = asyncio.ensure_future(connection.call("two", returns=int))
        asked = await said(connection)
        assert [each[:4] for each in asked] == [("call", 1, "one", {"a": 1}), ("call", 2, "two", None)]
        arrives(connection, "reply", 2, 7)
        arrives(connection, "reply", 1, "yes")
        arrives(connection, "reply", 1, "too late")
        arrives(connection, "reply", 3, "to nobody")
        assert await two == 7
        assert await one == "yes"

    run(test())


def test_a_refusal_is_raised_with_the_clients_code() -> None:
    async def test() -> None:
        connection = Site().connect()
        asking = asyncio.ensure_future(connection.call("confirm"))
        await idle()
        arrives(connection, "fail", 1, "declined", "not today")
        with pytest.raises(CallError, match="not today") as caught:
            await asking
        assert caught.value.code == "declined"

    run(test())


def test_an_answer_of_another_type_is_invalid() -> None:
    async def test() -> None:
        connection = Site().connect()
        asking = asyncio.ensure_future(connection.call("age", returns=int))
        await idle()
        arrives(connection, "reply", 1, "old")
        with pytest.raises(InvalidMessage):
            await asking

    run(test())


@pytest.mark.parametrize("timeout", ["5", None, 0, -1, 86_401, float("nan")])
def test_a_timeout_is_a_number_of_seconds(timeout: Any) -> None:
    async def test() -> None:
        with pytest.raises(ValueError, match="a timeout is in seconds, at most a day"):
            await Site().connect().call("slow", timeout=timeout)

    run(test())


def test_after_the_timeout_the_client_gets_cancel() -> None:
    async def test() -> None:
        connection = Site().connect()
        with pytest.raises(CallError) as caught:
            await connection.call("slow", timeout=0.001)
        assert caught.value.code == "timeout"
        assert (await said(connection))[-1] == ("cancel", 1)

    run(test())


def test_a_cancelled_call_is_cancelled_at_the_client() -> None:
    async def test() -> None:
        connection = Site().connect()
        asking = asyncio.ensure_future(connection.call("slow"))
        await idle()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await said(connection))[-1] == ("cancel", 1)
        calls = connection.calls
        assert calls is not None
        assert not calls.is_waiting

    run(test())


def test_the_end_of_the_connection_ends_its_calls() -> None:
    async def test() -> None:
        connection = Site().connect()
        asking = asyncio.ensure_future(connection.call("slow"))
        await idle()
        lane_of(connection).lose()
        with pytest.raises(Disconnected):
            await asking
        with pytest.raises(Disconnected):
            await connection.call("again")

    run(test())


def test_a_call_while_the_connection_closes_fails_with_the_code_of_the_close() -> None:
    async def test() -> None:
        connection = Site().connect()
        connection.close(4321, "enough")
        with pytest.raises(Disconnected) as caught:
            await connection.call("late")
        assert (caught.value.code, caught.value.reason) == (4321, "enough")

    run(test())


def test_the_end_before_admission_ends_a_call_of_a_middleware() -> None:
    async def test() -> None:
        site = Site()
        connection = site.room.connect(speaks_odac=True, bare=False, admitted=False)
        asking = asyncio.ensure_future(connection.call("slow"))
        await idle()
        lane_of(connection).lose()
        with pytest.raises(Disconnected):
            await asking

    run(test())


def test_the_number_of_calls_that_wait_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_calls, "MOST_WAITING", 2)

    async def test() -> None:
        connection = Site().connect()
        waiting = [asyncio.ensure_future(connection.call("slow")) for _ in range(2)]
        await idle()
        with pytest.raises(CallError) as caught:
            await connection.call("slow")
        assert caught.value.code == "busy"
        lane_of(connection).lose()
        assert {type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)} == {Disconnected}

    run(test())
