"""What a connection still answers once it is released, and refers to nothing that refers back to it."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from contextvars import ContextVar
from typing import Any, cast

import pytest

from odac.calls.service import ConnectionCalls
from odac.close_codes import CloseCode
from odac.errors import Disconnected, ProtocolError
from odac.realtime.connection import Connection, ReadyState
from odac.realtime.handler import run_handler
from odac.realtime.listeners import EVENTS, Event
from odac.realtime.phase import Phase
from odac.realtime.released import NO_LANE, Released
from tests.cyclic_garbage import cyclic_garbage
from tests.unit.realtime.realtime_fakes import Room, idle, lane_of, run

ENDED = (1006, "")


def ended(**options: Any) -> Connection:
    """A connection that has ended, on the loop that runs."""
    connection = Room(loop=asyncio.get_running_loop()).connect(**options)
    connection.inbox.handler_returned()
    lane_of(connection).lose()
    assert connection.ended == ENDED
    return connection


def test_sending_closing_and_asking_are_answered_as_after_any_end() -> None:
    async def test() -> None:
        connection = ended(speaks_odac=True)
        await connection.send({"text": "late"})
        await connection.send_binary(b"late")
        await connection.broadcast("late")
        await connection.to("room").send("late")
        connection.close()
        connection.fail(ProtocolError(CloseCode.PROTOCOL_ERROR, "late"))
        assert (connection.ready_state, connection.is_open, connection.ended) == (ReadyState.CLOSED, False, ENDED)
        assert (connection.rooms, connection.fd, connection.lane) == ([], -1, NO_LANE)
        with pytest.raises(Disconnected) as raised:
            await connection.ping()
        assert (raised.value.code, raised.value.reason) == ENDED
        with pytest.raises(Disconnected):
            await connection.call("confirm")
        connection.join("room")
        connection.leave("room")
        assert connection.rooms == []
        connection.data.name = "Ada"
        assert connection.data.name == "Ada"

    run(test())


def test_sending_from_another_thread_is_no_error() -> None:
    async def test() -> None:
        connection = ended()

        def speak() -> None:
            connection.send("late")
            connection.close()

        thread = threading.Thread(target=speak)
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0)
        await idle()

    run(test())


def test_messages_from_before_the_end_are_received_and_then_it_is_told() -> None:
    async def test() -> None:
        connection = Room(loop=asyncio.get_running_loop()).connect()
        for payload in (b"1", b"not json", b"[2]"):
            connection.inbox.receive_text(payload)
        connection.inbox.receive_binary(b"3")
        connection.inbox.handler_returned()
        lane_of(connection).lose()
        assert isinstance(connection.inbox._owner, Released)
        assert [data async for data in connection] == [1, "not json", [2], b"3"]
        with pytest.raises(Disconnected) as raised:
            await connection.receive()
        assert (raised.value.code, raised.value.reason) == ENDED

    run(test())


def test_a_close_listener_that_comes_too_late_is_called_all_the_same() -> None:
    async def test() -> None:
        connection = ended()
        told: list[tuple[int, str]] = []
        connection.on("close", lambda code, reason: told.append((code, reason)))
        connection.on("close", lambda code, reason: told.append((code, reason)))
        await idle()
        assert told == [ENDED, ENDED]
        assert connection.listeners == ()

    run(test())


def test_an_error_listener_that_comes_too_late_gets_what_a_close_listener_raises() -> None:
    async def test() -> None:
        connection, error = ended(), ValueError()
        told: list[object] = []

        def fail() -> None:
            raise error

        connection.on("close", fail)
        connection.on("error", told.append)
        await idle()
        assert (told, connection.listeners) == ([error], ())

    run(test())


def test_timers_and_tasks_that_come_too_late_end_at_once() -> None:
    async def test() -> None:
        connection = ended()
        fired: list[int] = []
        timer = connection.owned.set_timer(0, lambda: fired.append(1))
        task = connection.own(asyncio.sleep(30))
        await idle()
        timer.cancel()
        assert (task.cancelled(), fired, connection.has_tasks) == (True, [], False)

    run(test())


def test_what_a_late_function_sets_in_its_context_is_not_kept() -> None:
    async def test() -> None:
        connection = ended()
        variable: ContextVar[Connection] = ContextVar("variable")
        connection.run(variable.set, connection)
        assert connection.context is None
        assert variable not in connection.delivery.spare

    run(test())


@pytest.mark.parametrize("how", ["own_to_the_end", "keep"])
def test_a_task_of_the_end_is_referred_to_until_it_ends(how: str) -> None:
    """The event loop refers to a waiting task weakly, so that the garbage collector may free it with its future."""

    async def test() -> None:
        connection = ended()
        loop = connection.loop

        async def wait() -> None:
            await loop.create_future()

        def begin() -> weakref.ref[asyncio.Task[None]]:
            if how == "own_to_the_end":
                return weakref.ref(connection.own_to_the_end(wait()))
            task = loop.create_task(wait())
            connection.keep(task)
            return weakref.ref(task)

        kept = begin()
        await idle()
        gc.collect()
        task = kept()
        assert task is not None
        task.cancel()
        del task
        await idle()
        gc.collect()
        assert kept() is None

    run(test())


def test_the_rest_of_what_was_received_is_neither_answered_nor_an_error() -> None:
    """Frames behind one whose handling ended the connection are still passed on."""

    async def test() -> None:
        connection = ended(speaks_odac=True)
        for payload in (b'\x1e["ping"]', b'\x1e["call",1,"move",null]', b"\x1e\x1etext"):
            connection.inbox.receive_text(payload)
        await idle()
        assert lane_of(connection).frames == []

    run(test())


def test_messages_behind_the_end_are_dropped_once_the_queue_is_full() -> None:
    async def test() -> None:
        connection = ended()
        for _ in range(2 * connection.policy.limits.incoming_queue):
            connection.inbox.receive_text(b"late")
        assert connection.inbox._queue is not None
        assert len(connection.inbox._queue) == connection.policy.limits.incoming_queue

    run(test())


def test_the_parts_of_a_connection_wait_for_its_handler() -> None:
    async def test() -> None:
        connection = Room(loop=asyncio.get_running_loop()).connect()
        go = asyncio.Event()
        handler = asyncio.ensure_future(run_handler(connection, go.wait))
        await idle()
        lane_of(connection).lose()
        await idle()
        assert connection.outbox._owner.phase is Phase.RELEASED
        assert type(connection.outbox._owner) is not Released
        go.set()
        await handler
        assert type(connection.outbox._owner) is Released

    run(test())


@pytest.mark.parametrize(
    "late", ["nothing", "message", "invalid", "pong", "error", "close", "timers", "calls", "messages"]
)
@pytest.mark.usefixtures("collector")
def test_nothing_is_left_for_the_garbage_collector(late: str) -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())

        def one() -> None:
            connection = room.connect()
            connection.join("room")
            connection.on("message", connection.send)
            connection.on("close", lambda: connection.send("bye"))
            connection.data.timer = connection.owned.set_timer(30, lambda: connection.send(1))
            connection.inbox.handler_returned()
            if late == "calls":
                connection.calls = ConnectionCalls(connection)
            if late == "messages":
                connection.off("message")
                connection.inbox.receive_text(b"1")
            lane = lane_of(connection)
            lane.lose()
            lane.connection = None  # type: ignore[assignment]  # as a transport lets go of its protocol
            if late in EVENTS:
                connection.on(cast("Event", late), lambda: connection.send("bye"))
            if late == "timers":
                connection.data.later = connection.owned.set_timer(30, lambda: connection.send(1))

        for _ in range(3):
            one()
        await idle()
        heartbeat = room.hub._heartbeat
        assert heartbeat is not None
        heartbeat._to_ping.clear()  # it keeps the ended until their turn comes
        assert cyclic_garbage("odac", "tests") == []

    run(test())


def test_the_lane_of_a_released_connection_takes_everything_and_does_nothing() -> None:
    NO_LANE.write([])
    NO_LANE.write_rest(memoryview(b"x"))
    NO_LANE.close(1000, "")
    NO_LANE.expect_end()
    NO_LANE.abort()
    NO_LANE.cut(1000, "")
    NO_LANE.limit_messages(1)
    NO_LANE.pause_reading()
    NO_LANE.resume_reading()
    assert (NO_LANE.fd, NO_LANE.pings, NO_LANE.buffered) == (-1, False, 0)
