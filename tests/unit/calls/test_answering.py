from __future__ import annotations

import asyncio
from typing import Any

import pytest

from odac.calls.client_call import Call
from odac.calls.service import ConnectionCalls
from odac.config import Limits
from odac.realtime.connection import Connection
from tests.unit.calls.calls_fakes import Site, answer, arrives, said
from tests.unit.realtime.realtime_fakes import idle, lane_of, run


class Slow:
    """Answers when the test says so, and counts."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.executed = 0

    async def __call__(self, call: Call, arguments: Any) -> Any:
        self.executed += 1
        await self.go.wait()
        return arguments


def origin_of(connection: Connection) -> str:
    """What the hello names ``calls``."""
    calls = connection.calls
    assert isinstance(calls, ConnectionCalls)
    assert calls.origin is not None
    return calls.origin


def test_calls_are_answered_side_by_side_up_to_the_limit() -> None:
    async def test() -> None:
        slow = Slow()
        connection = Site({"slow": answer(slow)}, Limits(calls_per_connection=2)).connect()
        for number in (1, 2, 3):
            arrives(connection, "call", number, "slow", number)
        assert await said(connection) == [("fail", 3, "busy", "2 calls are being answered")]
        slow.go.set()
        assert (await said(connection))[1:] == [("reply", 1, 1), ("reply", 2, 2)]

    run(test())


def test_a_number_that_is_in_use_is_not_executed_again() -> None:
    async def test() -> None:
        slow = Slow()
        connection = Site({"slow": answer(slow)}).connect()
        arrives(connection, "call", 1, "slow")
        arrives(connection, "call", 1, "slow")
        slow.go.set()
        assert await said(connection) == [("reply", 1, None)]
        assert slow.executed == 1

    run(test())


def test_a_call_waits_for_the_messages_before_it() -> None:
    async def test() -> None:
        told: list[object] = []
        connection = Site({"tell": answer(lambda call, arguments: told.append(arguments))}).connect(busy=True)
        connection.inbox.receive_text(b"1")
        arrives(connection, "call", 1, "tell", 2)
        connection.inbox.receive_text(b"3")
        await idle()
        assert told == []
        told.append(await connection.receive())
        told.append(await connection.receive())
        assert told == [1, 2, 3]
        assert await said(connection) == [("reply", 1, None)]

    run(test())


def test_a_call_whose_time_is_over_on_its_arrival_is_not_executed() -> None:
    async def test() -> None:
        slow = Slow()
        connection = Site({"slow": answer(slow)}).connect()
        arrives(connection, "call", 1, "slow", None, 0, 0)
        ((_, _, code, _),) = await said(connection)
        assert code == "timeout"
        assert slow.executed == 0

    run(test())


@pytest.mark.parametrize("lost", ["before the answer", "after the answer"])
def test_a_retry_over_the_next_connection_is_answered_and_executed_once(lost: str) -> None:
    async def test() -> None:
        slow = Slow()
        site = Site({"slow": answer(slow)})
        first = site.connect(session="s", user="7")
        origin = origin_of(first)
        arrives(first, "call", 1, "slow", "once", 0, 60_000, [origin, 0])
        await idle()
        if lost == "after the answer":
            slow.go.set()
            await idle()
        lane_of(first).lose()
        second = site.connect(session="s", user="7")
        arrives(second, "call", 1, "slow", "once", 0, 60_000, [origin, 5])
        await idle()
        slow.go.set()
        assert await said(second) == [("reply", 1, "once")]
        assert slow.executed == 1

    run(test())


@pytest.mark.parametrize("is_lost", [False, True], ids=["the first is half-open", "the first is lost"])
def test_a_call_that_waits_behind_messages_begins_over_the_connection_on_which_it_comes_again(is_lost: bool) -> None:
    """The first connection's handler may never take the messages that the call waits behind."""

    async def test() -> None:
        slow = Slow()
        slow.go.set()
        site = Site({"slow": answer(slow)})
        first = site.connect(session="s", user="7", busy=True)
        first.inbox.receive_text(b"1")
        origin = origin_of(first)
        arrives(first, "call", 1, "slow", "once", 0, 60_000, [origin, 0])
        await idle()
        assert slow.executed == 0
        if is_lost:
            lane_of(first).lose()
        second = site.connect(session="s", user="7")
        arrives(second, "call", 1, "slow", "once", 0, 60_000, [origin, 5])
        assert await said(second) == [("reply", 1, "once")]
        if not is_lost:
            assert await first.receive() == 1
            first.inbox.handler_returned()
            assert await said(first) == [], "its turn there is given up"
        assert slow.executed == 1

    run(test())


def test_the_order_with_the_messages_of_the_later_connection_is_kept() -> None:
    async def test() -> None:
        told: list[object] = []
        site = Site({"tell": answer(lambda call, arguments: told.append(arguments))})
        first = site.connect(session="s", busy=True)
        first.inbox.receive_text(b"0")
        origin = origin_of(first)
        arrives(first, "call", 1, "tell", 2, 0, 60_000, [origin, 0])
        second = site.connect(session="s", busy=True)
        second.inbox.receive_text(b"1")
        arrives(second, "call", 1, "tell", 2, 0, 60_000, [origin, 5])
        await idle()
        assert told == []
        told.append(await second.receive())
        second.inbox.handler_returned()
        assert await said(second) == [("reply", 1, None)]
        assert told == [1, 2]

    run(test())


def test_a_copy_that_comes_late_over_the_earlier_connection_does_not_take_the_answer_there() -> None:
    """The client asks over the later connection, and reads no more from the earlier one."""

    async def test() -> None:
        slow = Slow()
        site = Site({"slow": answer(slow)})
        first = site.connect(session="s")
        origin = origin_of(first)
        second = site.connect(session="s")
        arrives(second, "call", 1, "slow", "once", 0, 60_000, [origin, 5])
        arrives(first, "call", 1, "slow", "once", 0, 60_000, [origin, 0])
        await idle()
        slow.go.set()
        assert await said(second) == [("reply", 1, "once")]
        assert slow.executed == 1

    run(test())


@pytest.mark.parametrize(
    ("session", "user"), [("another", "7"), ("s", "8"), ("s", None)], ids=["another session", "another user", "nobody"]
)
def test_a_retry_of_somebody_else_is_not_executed(session: str, user: str | None) -> None:
    async def test() -> None:
        slow = Slow()
        slow.go.set()
        site = Site({"slow": answer(slow)})
        origin = origin_of(site.connect(session="s", user="7"))
        other = site.connect(session=session, user=user)
        arrives(other, "call", 1, "slow", "stolen", 0, 60_000, [origin, 5])
        ((_, _, code, _),) = await said(other)
        assert code == "interrupted"
        assert slow.executed == 0

    run(test())


def test_a_retry_that_was_first_sent_to_another_process_is_interrupted() -> None:
    async def test() -> None:
        slow = Slow()
        here, there = Site({"slow": answer(slow)}), Site({"slow": answer(slow)})
        origin = origin_of(there.connect(session="s"))
        connection = here.connect(session="s")
        arrives(connection, "call", 1, "slow", None, 0, 60_000, [origin, 5])
        ((_, _, code, _),) = await said(connection)
        assert code == "interrupted"
        assert slow.executed == 0

    run(test())
