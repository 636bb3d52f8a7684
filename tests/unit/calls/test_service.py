from __future__ import annotations

import asyncio

import pytest

from odac.calls.service import ConnectionCalls
from odac.config import Limits
from odac.errors import CallError
from odac.realtime.connection import Connection
from tests.unit.calls.calls_fakes import Site, answer, arrives, said
from tests.unit.realtime.realtime_fakes import idle, lane_of, run


def test_a_route_without_answers_refuses_calls_by_name_and_may_ask_itself() -> None:
    async def test() -> None:
        site = Site()
        connection = site.room.connect(speaks_odac=True, bare=False)
        arrives(connection, "call", 4, "anything")
        assert await said(connection) == [("fail", 4, "unknown", "this route answers no calls")]
        asking = asyncio.ensure_future(connection.call("confirm"))
        await idle()
        arrives(connection, "reply", 1, True)
        assert await asking is True

    run(test())


@pytest.mark.parametrize(
    "message",
    [
        ("call",),
        ("call", "1", "echo"),
        ("call", -1, "echo"),
        ("call", 1, 7),
        ("call", True, "echo"),
        ("cancel",),
        ("cancel", "x"),
        ("reply",),
        ("reply", None, 1),
        ("fail", 9, "code"),
    ],
    ids=str,
)
def test_what_is_no_call_and_no_answer_is_ignored(message: tuple[object, ...]) -> None:
    async def test() -> None:
        connection = Site({"echo": answer(lambda call, arguments: arguments)}).connect()
        arrives(connection, *message)
        assert await said(connection) == []
        assert connection.is_open

    run(test())


def test_before_the_gates_have_let_a_connection_in_its_calls_are_ignored() -> None:
    async def test() -> None:
        site = Site({"echo": answer(lambda call, arguments: arguments)})
        connection = site.room.connect(speaks_odac=True, bare=False, admitted=False)
        site.calls.prepare(connection, site.answers, lambda call: call, None, None)
        connection.inbox.handler_returned()
        arrives(connection, "call", 1, "echo", "x")
        assert await said(connection) == []

    run(test())


def test_the_name_of_a_client_is_its_processs_and_of_its_session_and_user() -> None:
    async def test() -> None:
        def parts(connection: Connection) -> list[str]:
            calls = connection.calls
            assert isinstance(calls, ConnectionCalls)
            assert calls.origin is not None
            return calls.origin.split(".")

        site, other = Site(), Site()
        first, same, stranger = (site.connect(session=each) for each in ("s", "s", "t"))
        assert parts(first)[0] == parts(stranger)[0] != parts(other.connect(session="s"))[0]
        assert parts(first)[1] != parts(same)[1]
        assert parts(first)[2] == parts(same)[2] != parts(stranger)[2]
        assert parts(other.connect(session="s"))[2] != parts(first)[2]  # each process has a key of its own

    run(test())


def test_a_connection_that_has_ended_keeps_no_calls() -> None:
    async def test() -> None:
        connection = Site().connect()
        assert connection.calls is not None
        lane_of(connection).lose()
        assert connection.calls is None

    run(test())


def test_calls_give_up_where_reading_pauses_in_front_of_their_answers() -> None:
    async def test() -> None:
        connection = Site(limits=Limits(incoming_queue=2)).connect(busy=True)
        asking = asyncio.ensure_future(connection.call("confirm"))
        await idle()
        for number in range(20):
            connection.inbox.receive_text(b"%d" % number)
        with pytest.raises(CallError) as caught:
            await asking
        assert caught.value.code == "busy"

    run(test())
