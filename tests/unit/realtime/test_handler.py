from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from odac.config import Limits
from odac.realtime.connection import Connection
from odac.realtime.handler import run_handler
from odac.realtime.released import Released
from tests.unit.realtime.realtime_fakes import Room, idle, lane_of, run


def test_a_handler_that_is_cancelled_by_the_server_stays_cancelled() -> None:
    async def test() -> None:
        connection = Room(loop=asyncio.get_running_loop()).connect()
        handler = asyncio.ensure_future(run_handler(connection, asyncio.Event().wait))
        await idle()
        handler.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handler

    run(test())


def test_a_handler_that_outlives_its_connection_ends_without_harm_to_the_task_it_runs_in() -> None:
    async def test() -> None:
        connection = Room(Limits(close_timeout=0.001), asyncio.get_running_loop()).connect()
        handler = asyncio.ensure_future(run_handler(connection, asyncio.Event().wait))
        await idle()
        lane_of(connection).lose()
        await handler
        assert handler.cancelling() == 0

    run(test())


def message_listener(kind: str, got: list[object]) -> Callable[[object], object]:
    async def slowly(message: object) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        got.append(message)

    return got.append if kind == "sync" else slowly


async def add_after_the_end(connection: Connection, add: Callable[[], object], returns: str) -> None:
    """Three messages arrive and the connection ends before its handler calls ``add``; the handler returns then or later."""
    ended = asyncio.Event()

    async def handler() -> None:
        await ended.wait()
        add()
        if returns == "later":
            await idle()

    running = asyncio.ensure_future(run_handler(connection, handler))
    await idle()
    for payload in (b"1", b"2", b"3"):
        connection.inbox.receive_text(payload)
    lane_of(connection).lose()
    ended.set()
    await running
    await idle()


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("order", [("message", "close"), ("close", "message")])
@pytest.mark.parametrize("returns", ["at once", "later"])
def test_a_close_listener_that_is_added_after_the_end_is_called_after_the_messages(
    kind: str, order: tuple[str, str], returns: str
) -> None:
    async def test() -> None:
        connection, got = Room(loop=asyncio.get_running_loop()).connect(), list[object]()
        listeners = {"message": message_listener(kind, got), "close": lambda: got.append("closed")}

        def add() -> None:
            for event in order:
                connection.on(event, listeners[event])  # type: ignore[call-overload]

        await add_after_the_end(connection, add, returns)
        assert got == [1, 2, 3, "closed"]
        assert connection.listeners == ()

    run(test())


@pytest.mark.parametrize("kind", ["sync", "async", "several"])
@pytest.mark.parametrize("returns", ["at once", "later"])
def test_a_listener_that_is_added_after_the_end_gets_the_messages_from_before_it(kind: str, returns: str) -> None:
    async def test() -> None:
        connection, got = Room(loop=asyncio.get_running_loop()).connect(), list[object]()

        def add() -> None:
            connection.on("message", message_listener(kind, got))
            if kind == "several":
                connection.on("message", message_listener(kind, got))
            connection.on("close", lambda: None)

        await add_after_the_end(connection, add, returns)
        assert got == sorted([1, 2, 3] * (2 if kind == "several" else 1))
        assert isinstance(connection.inbox._owner, Released)
        assert connection.listeners == ()

    run(test())


async def _as_a_view() -> dict[str, int]:
    return {"hello": 1}


@pytest.mark.parametrize("handler", [lambda: {"hello": 1}, _as_a_view], ids=["def", "async def"])
def test_what_a_handler_returns_is_not_sent_and_the_log_says_so(
    handler: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        connection = Room(loop=asyncio.get_running_loop()).connect()
        await run_handler(connection, handler)
        await idle()
        assert lane_of(connection).frames == []

    run(test())
    assert "/test: its handler returned a dict" in caplog.text
    assert "odac.ws.send" in caplog.text
