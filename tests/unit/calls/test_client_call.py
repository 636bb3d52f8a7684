from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from odac.calls.client_call import AnswerFunction, Call
from odac.errors import CallError, InvalidMessage
from tests.unit.calls.calls_fakes import Site, answer, arrives, said
from tests.unit.realtime.realtime_fakes import idle, lane_of, run


async def later(call: Call, arguments: Any) -> Any:
    await asyncio.sleep(0)
    return [arguments, call.name]


def broken(call: Call, arguments: Any) -> None:
    raise ZeroDivisionError


def refuse(call: Call, arguments: Any) -> None:
    raise CallError("full", "no seat is left")


def forever(ended: Callable[[str], object]) -> AnswerFunction:
    """A function that ends with its cancellation alone, and calls ``ended`` with its name then."""

    async def wait(call: Call, arguments: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended(call.name)

    return answer(wait)


def whole(arguments: object) -> int:
    if not isinstance(arguments, int):
        raise InvalidMessage("a whole number")
    return arguments


ANSWERS = {
    "double": answer(lambda call, arguments: arguments * 2, whole),
    "later": answer(later),
    "broken": answer(broken),
    "refuse": answer(refuse),
    "unsendable": answer(lambda call, arguments: object()),
}


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("double", 21, ("reply", 1, 42)),
        ("double", "x", ("fail", 1, "invalid", "a whole number")),
        ("later", {"a": 1}, ("reply", 1, [{"a": 1}, "later"])),
        ("refuse", None, ("fail", 1, "full", "no seat is left")),
        ("broken", None, ("fail", 1, "internal", "")),
        ("unsendable", None, ("fail", 1, "internal", "")),
        ("nobody's", None, ("fail", 1, "unknown", """nothing answers "nobody's" on this route""")),
    ],
)
def test_a_call_has_one_answer(name: str, arguments: object, expected: tuple[Any, ...]) -> None:
    async def test() -> None:
        connection = Site(ANSWERS).connect()
        arrives(connection, "call", 1, name, arguments)
        assert await said(connection) == [expected]
        assert connection.is_open

    run(test())


def test_each_call_has_its_own_key() -> None:
    async def test() -> None:
        keys: list[str] = []
        site = Site({"key": answer(lambda call, arguments: keys.append(call.key))})
        one, two = site.connect(), site.connect()
        for connection, number in ((one, 1), (one, 2), (two, 1)):
            arrives(connection, "call", number, "key")
        await idle()
        assert len(set(keys)) == 3

    run(test())


def test_a_cancelled_call_ends_its_function() -> None:
    async def test() -> None:
        ended: list[str] = []
        connection = Site({"forever": forever(ended.append)}).connect()
        arrives(connection, "call", 1, "forever")
        await idle()
        arrives(connection, "cancel", 1)
        assert await said(connection) == [("fail", 1, "cancelled", "the call was cancelled")]
        assert ended == ["forever"]

    run(test())


def test_a_call_that_is_cancelled_before_its_function_begins_leaves_no_coroutine() -> None:
    async def test() -> None:
        begun: list[str] = []

        async def function(call: Call, arguments: Any) -> None:
            begun.append(call.name)

        connection = Site({"slow": answer(function)}).connect()
        arrives(connection, "call", 1, "slow", None)
        arrives(connection, "cancel", 1)  # in the same turn: the task has not run yet
        assert await said(connection) == [("fail", 1, "cancelled", "the call was cancelled")]
        assert begun == []

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        run(test())
        gc.collect()
    assert [str(warning.message) for warning in heard] == []


def test_a_function_that_runs_past_the_deadline_is_cancelled_and_the_client_gets_timeout() -> None:
    async def test() -> None:
        ended = asyncio.Event()
        connection = Site({"forever": forever(lambda _: ended.set())}).connect()
        arrives(connection, "call", 1, "forever", None, 0, 1)
        await ended.wait()
        ((_, number, code, _),) = await said(connection)
        assert (number, code) == (1, "timeout")

    run(test())


def test_without_retry_a_call_ends_with_its_connection() -> None:
    async def test() -> None:
        ended: list[str] = []
        connection = Site({"forever": forever(ended.append)}).connect()
        arrives(connection, "call", 1, "forever")
        await idle()
        lane_of(connection).lose()
        await idle()
        assert ended == ["forever"]

    run(test())
