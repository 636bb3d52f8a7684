from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from odac.calls.service import ConnectionCalls
from odac.config import Limits
from odac.errors import Disconnected, InvalidMessage
from odac.realtime.connection import Connection
from odac.realtime.handler import run_handler
from odac.realtime.listeners import Event
from odac.realtime.phase import Phase
from odac.realtime.turn import Turn
from tests.unit.realtime.realtime_fakes import FakeLane, Room, close_code, idle, lane_of, run


class Live(Room):
    """A room on the running loop."""

    def __init__(self, **limits: Any) -> None:
        super().__init__(Limits(**limits), asyncio.get_running_loop())

    def person(self, **options: Any) -> tuple[Connection, FakeLane]:
        connection = self.connect(**options)
        return connection, lane_of(connection)


def arrive(connection: Connection, *texts: str) -> None:
    for text in texts:
        connection.inbox.receive_text(text.encode())


def unreceived(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for each in caplog.records if "route does not receive them" in (text := each.getMessage())]


def test_the_first_message_to_a_route_that_only_answers_calls_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        room = Live()
        for expected in (0, 1):
            connection, _ = room.person()
            connection.calls = ConnectionCalls(connection)
            connection.inbox.hold(b"", Turn(lambda payload: None))
            connection.inbox.handler_returned()
            connection.inbox.hold(b"", Turn(lambda payload: None))
            assert len(unreceived(caplog)) == expected
            arrive(connection, "1", "2")
            connection.inbox.receive_binary(b"3")

    run(test())
    assert ["call(name, …)" in each for each in unreceived(caplog)] == [True]


@pytest.mark.parametrize("consumer", ["handler", "listener", "later function", "task", "reader"])
def test_messages_that_can_still_be_received_are_not_logged(consumer: str, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        connection, _ = Live().person()
        connection.calls = ConnectionCalls(connection)
        if consumer == "listener":
            connection.on("message", lambda: None)
        if consumer == "later function":
            connection.inbox.reserve()
        if consumer == "task":
            connection.own(asyncio.Event().wait())
        if consumer != "handler":
            connection.inbox.handler_returned()

        async def read() -> None:
            async for _ in connection:
                pass

        reading = asyncio.ensure_future(read() if consumer == "reader" else idle())
        await idle()
        arrive(connection, "1", "2")
        await idle()
        arrive(connection, "3")
        reading.cancel()
        lane_of(connection).lose()
        await idle()

    run(test())
    assert unreceived(caplog) == []


# Listeners


def test_the_quick_way_and_the_long_way_give_the_same() -> None:
    async def test() -> None:
        for listeners in (1, 2):
            got: list[Any] = []
            connection, _ = Live().person()
            for _ in range(listeners):
                connection.on("message", got.append)
            arrive(connection, "1", "[2]", "three")
            await idle()
            assert got == [each for each in (1, [2], "three") for _ in range(listeners)]

    run(test())


def test_on_refuses_what_could_never_work() -> None:
    async def test() -> None:
        connection, _ = Live().person()
        calls: list[Callable[..., object]] = [connection.on, connection.off]
        for call in calls:
            with pytest.raises(ValueError, match="message, invalid, close, error, pong"):
                call("mesage", print)
        with pytest.raises(TypeError, match="callable"):
            connection.on("message", 7)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="needs 2 arguments"):
            connection.on("message", lambda a, b: None)  # type: ignore[call-overload]

    run(test())


def test_on_is_a_decorator_that_leaves_the_function_alone() -> None:
    async def test() -> None:
        connection, _ = Live().person()

        def function(data: object) -> None: ...

        assert connection.on("message")(function) is function
        assert connection.on("close", function) is function

    run(test())


def test_off_finds_a_bound_method() -> None:
    class Counter:
        count = 0

        def add(self) -> None:
            self.count += 1

    async def test() -> None:
        connection, _ = Live().person()
        counter = Counter()
        connection.on("message", counter.add)
        arrive(connection, "1")
        connection.off("message", counter.add)
        arrive(connection, "2")
        assert counter.count == 1

    run(test())


def test_a_listener_added_while_messages_wait_gets_them_in_order_with_the_new_ones() -> None:
    async def test() -> None:
        got: list[Any] = []
        connection, _ = Live().person()
        arrive(connection, "1", "2")
        connection.on("message", got.append)
        assert got == []  # not within on(): the handler may add another
        arrive(connection, "3")
        await idle()
        arrive(connection, "4")
        assert got == [1, 2, 3, 4]

    run(test())


def test_off_in_the_middle_holds_the_rest_for_the_next_listener() -> None:
    async def test() -> None:
        got: list[Any] = []
        connection, _ = Live().person()

        def first(data: object) -> None:
            got.append(["first", data])
            connection.off("message", first)

        arrive(connection, "1", "2", "3")
        connection.on("message", first)
        await idle()
        assert got == [["first", 1]]
        connection.on("message", lambda data: got.append(["second", data]))
        await idle()
        assert got == [["first", 1], ["second", 2], ["second", 3]]

    run(test())


def test_iterating_after_listening_and_listening_after_iterating() -> None:
    async def test() -> None:
        got: list[Any] = []
        connection, _ = Live().person()
        connection.on("message", got.append)
        arrive(connection, "1")
        connection.off("message")
        arrive(connection, "2", "3")
        async for data in connection:
            got.append(["iterated", data])
            if data == 3:
                break
        connection.on("message", got.append)
        arrive(connection, "4")
        await idle()
        assert got == [1, ["iterated", 2], ["iterated", 3], 4]

    run(test())


def test_an_async_listener_is_not_started_before_the_last_one_is_through() -> None:
    async def test() -> None:
        connection, _ = Live().person()
        gates: list[asyncio.Event] = []

        async def listener(data: object) -> None:
            gates.append(asyncio.Event())
            await gates[-1].wait()

        connection.on("message", listener)
        arrive(connection, "1", "2", "3")
        for number in range(3):
            await idle()
            assert len(gates) == number + 1
            gates[-1].set()

    run(test())


def test_reading_pauses_at_the_bound_and_goes_on_at_half_of_it() -> None:
    async def test() -> None:
        connection, lane = Live(incoming_queue=4).person()
        gate = asyncio.Semaphore(0)

        async def listener() -> None:
            await gate.acquire()

        connection.on("message", listener)
        states = []
        for step in (("1", "2", "3", "4"), ("5",), (), ()):
            if step:
                arrive(connection, *step)
            else:
                gate.release()
                await idle()
            states.append((lane.reading, connection.inbox.is_paused))
        assert states == [(True, False), (False, True), (False, True), (True, False)]

    run(test())


def test_a_handler_that_returns_without_a_listener_does_not_stop_the_reading(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        room = Live(incoming_queue=4)
        connection, lane = room.person()
        arrive(connection, *"1234")
        states = [lane.reading]
        await run_handler(connection, lambda: None)
        states.append(lane.reading)
        arrive(connection, *"5678")
        states.append(lane.reading)
        assert states == [False, True, True]
        other, _ = room.person()
        await run_handler(other, lambda: None)
        arrive(other, *"123456")

    run(test())
    lines = [each for each in caplog.records if "route does not receive them" in each.getMessage()]
    assert [each.levelno for each in lines] == [logging.WARNING]


# receive


def test_receive_gives_what_came_before_the_end_and_then_raises() -> None:
    async def test() -> None:
        connection, lane = Live().person()
        arrive(connection, "1", "2")
        lane.ending = (4001, "bye")
        lane.lose()
        assert [await connection.receive(), await connection.receive()] == [1, 2]
        with pytest.raises(Disconnected) as error:
            await connection.receive()
        assert (error.value.code, error.value.reason) == (4001, "bye")
        assert [each async for each in connection] == []

    run(test())


def test_receive_may_be_cancelled_and_loses_nothing() -> None:
    async def test() -> None:
        connection, _ = Live().person()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.receive(), 0.001)
        arrive(connection, "1")
        assert await connection.receive() == 1

    run(test())


def test_two_readers_at_once_are_an_error() -> None:
    async def test() -> None:
        connection, _ = Live().person()
        first = asyncio.ensure_future(connection.receive())
        await idle()
        with pytest.raises(RuntimeError, match="one place"):
            await connection.receive()
        arrive(connection, "1")
        assert await first == 1

    run(test())


# Errors


def test_an_invalid_message_closes_with_its_reason_cut_to_a_characters_end() -> None:
    async def test() -> None:
        def decode(payload: bytes) -> object:
            raise InvalidMessage("ü" * 100)

        connection, lane = Live().person(decode=decode)
        connection.on("message", print)
        arrive(connection, "x")
        await idle()
        assert close_code(lane.frames[-1]) == 1007
        assert lane.frames[-1][1][2:].decode() == "ü" * 61

    run(test())


def test_disconnected_after_the_end_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        connection, lane = Live().person()

        async def listener() -> None:
            await connection.ping()

        connection.on("message", listener)
        arrive(connection, "1")
        connection.own(listener())
        await idle()
        lane.lose()
        await idle()

    run(test())
    assert caplog.records == []


def test_an_error_while_an_error_listener_waits_is_emitted_as_well() -> None:
    async def test() -> None:
        connection, _ = Live().person()
        told: list[str] = []
        gate = asyncio.Event()

        async def on_error(error: Exception) -> None:
            await gate.wait()
            told.append(str(error))

        connection.on("error", on_error)
        connection.on("message", lambda data: 1 / data)
        arrive(connection, "0", '"a"')
        gate.set()
        await idle()
        assert len(told) == 2
        assert connection.is_open

    run(test())


# The end


def test_messages_that_came_before_the_end_are_handled_before_the_close_listeners() -> None:
    async def test() -> None:
        connection, lane = Live().person()
        told: list[Any] = []

        async def listener(data: object) -> None:
            await asyncio.sleep(0)
            told.append(data)

        connection.on("message", listener)
        connection.on("close", lambda: told.append("close"))
        arrive(connection, "1", "2", "3")
        lane.lose()
        assert told == []
        await idle()
        assert told == [1, 2, 3, "close"]

    run(test())


def test_a_close_listener_that_raises_does_not_stop_the_next(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        connection, lane = Live().person()
        told: list[str] = []
        timer = connection.owned.set_timer(30, lambda: None)

        async def second() -> None:
            await asyncio.sleep(0)
            raise ZeroDivisionError

        connection.on("close", lambda: 1 / 0)
        connection.on("close", second)
        connection.on("close", lambda: told.append("third"))
        lane.lose()
        await idle()
        assert told == ["third"]
        assert timer._handle is None

    run(test())
    assert len(caplog.records) == 2


def test_a_listener_that_never_returns_is_cancelled_after_the_close_timeout(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        connection, lane = Live(close_timeout=0.001).person()
        ended = asyncio.Event()

        async def listener() -> None:
            await asyncio.Event().wait()

        connection.on("message", listener)
        connection.on("close", listener)
        connection.on("close", ended.set)
        arrive(connection, "1")
        lane.lose()
        while connection.phase is not Phase.RELEASED:
            await asyncio.sleep(0.001)
        await idle()

    run(test())
    assert [("message" in each.getMessage(), "close listener" in each.getMessage()) for each in caplog.records] == [
        (True, False),
        (False, True),
    ]


def test_listeners_are_forgotten_when_the_end_and_the_handler_are_through() -> None:
    """What they refer to mostly refers to the connection: a cycle that would wait for the garbage collector."""

    async def test() -> None:
        connection, lane = Live().person()
        go = asyncio.Event()
        handler = asyncio.ensure_future(run_handler(connection, go.wait))
        await idle()
        connection.on("message", connection.send)
        connection.on("error", print)
        lane.lose()
        await idle()
        assert connection.listeners != ()  # the handler may yet raise
        go.set()
        await handler
        assert connection.listeners == ()

    run(test())


# A cancellation that is not the connection's own


async def cancelled() -> None:
    """What awaiting a task that was cancelled raises."""
    task = asyncio.ensure_future(asyncio.Event().wait())
    task.cancel()
    await task


def test_a_listener_that_awaits_what_was_cancelled_has_raised() -> None:
    async def test() -> None:
        told: list[object] = []
        connection, _ = Live().person()

        async def listener(data: object) -> None:
            told.append(data)
            await cancelled()

        connection.on("message", listener)
        connection.on("error", lambda error: told.append(type(error)))
        arrive(connection, "1", "2", "3")
        await idle()
        assert told == [each for number in (1, 2, 3) for each in (number, asyncio.CancelledError)]
        assert connection.is_open

    run(test())


@pytest.mark.parametrize("event", ["message", "pong", "close", "error"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_cancellation_without_error_listener_is_1011(
    event: Event, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        connection, lane = Live().person()
        heard: list[str] = []

        def listener() -> Any:
            if asynchronous:
                return cancelled()
            raise asyncio.CancelledError

        connection.on(event, listener)
        connection.on("close", lambda: heard.append("close"))
        if event == "message":
            arrive(connection, "1")
        elif event == "pong":
            connection.receive_pong(b"")
        elif event == "error":
            connection.own(fail())
        await idle()
        if event != "close":
            assert close_code(lane.frames[-1]) == 1011
        lane.lose()
        await idle()
        assert heard == ["close"]

    async def fail() -> None:
        raise ValueError

    run(test())
    assert [type(each.exc_info[1]) for each in caplog.records if each.exc_info] == [ValueError] * (event == "error") + [
        asyncio.CancelledError
    ]


def test_a_listener_that_cancels_its_own_task_does_not_leave_the_queue_to_nobody() -> None:
    async def test() -> None:
        connection, lane = Live().person()

        async def listener() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

        connection.on("message", listener)
        arrive(connection, "1", "2")
        await idle()
        assert close_code(lane.frames[-1]) == 1011

    run(test())


def test_a_handler_that_awaits_what_was_cancelled_has_raised() -> None:
    async def test() -> None:
        told: list[object] = []
        connection, _ = Live().person()
        connection.on("error", lambda error: told.append(type(error)))
        await run_handler(connection, cancelled)
        connection.on("message", told.append)
        arrive(connection, "1")
        assert told == [asyncio.CancelledError, 1]

    run(test())


# Listeners that go while messages wait


def test_off_while_reading_is_paused_reads_on_where_nothing_will_take_what_comes() -> None:
    async def test() -> None:
        connection, lane = Live(incoming_queue=2).person()
        gate = asyncio.Event()
        await run_handler(connection, lambda: connection.on("message", gate.wait))
        arrive(connection, *"1234")
        assert [lane.reading] == [False]
        connection.off("message")
        gate.set()
        await idle()
        assert lane.reading
        got: list[Any] = []
        connection.on("message", got.append)
        await idle()
        arrive(connection, "5")
        await idle()
        assert got == [2, 3, 4, 5]

    run(test())


def test_off_while_the_handler_runs_holds_what_waits_for_the_next_listener() -> None:
    async def test() -> None:
        connection, lane = Live(incoming_queue=2).person()
        go = asyncio.Event()
        got: list[Any] = []

        async def first(data: object) -> None:
            got.append(["first", data])
            await go.wait()

        async def handler() -> None:
            connection.on("message", first)
            await go.wait()
            connection.off("message", first)
            await asyncio.sleep(0)
            assert [lane.reading] == [False]
            connection.on("message", lambda data: got.append(["second", data]))

        running = asyncio.ensure_future(run_handler(connection, handler))
        await idle()
        arrive(connection, *"1234")
        go.set()
        await running
        await idle()
        assert lane.reading
        assert got[0] == ["first", 1]
        assert [data for _, data in got] == [1, 2, 3, 4]

    run(test())


def test_a_task_that_ends_without_having_taken_what_waits_does_not_stop_the_reading() -> None:
    async def test() -> None:
        connection, lane = Live(incoming_queue=2).person()
        go = asyncio.Event()

        async def wait() -> None:
            await go.wait()

        connection.own(wait())
        await run_handler(connection, lambda: None)
        arrive(connection, *"12")
        assert [lane.reading] == [False]
        go.set()
        await idle()
        assert lane.reading

    run(test())


def test_a_reader_that_gives_up_does_not_stop_the_reading() -> None:
    async def test() -> None:
        connection, lane = Live(incoming_queue=2).person()
        await run_handler(connection, lambda: None)
        reader = asyncio.ensure_future(connection.receive())
        await idle()
        arrive(connection, "1")
        arrive(connection, "2")
        assert [lane.reading] == [False]
        reader.cancel()
        await idle()
        assert lane.reading

    run(test())


# Listeners and readers at once


def test_receive_beside_a_message_listener_is_refused() -> None:
    async def test() -> None:
        got: list[Any] = []
        connection, lane = Live().person()
        connection.on("message", got.append)
        with pytest.raises(RuntimeError, match="on\\('message'"):
            await connection.receive()
        with pytest.raises(RuntimeError, match="on\\('message'"):
            async for _ in connection:
                pass
        arrive(connection, "1")
        assert got == [1]
        lane.lose()
        with pytest.raises(Disconnected):
            await connection.receive()

    run(test())


def test_a_message_listener_beside_receive_is_refused() -> None:
    async def test() -> None:
        connection, _ = Live().person()
        reader = asyncio.ensure_future(connection.receive())
        await idle()
        with pytest.raises(RuntimeError, match="receive"):
            connection.on("message", print)
        arrive(connection, "1")
        assert await reader == 1
        got: list[Any] = []
        connection.on("message", got.append)
        arrive(connection, "2")
        assert got == [2]

    run(test())


# Close listeners


def test_an_overdue_close_listener_does_not_silence_those_behind_it() -> None:
    async def test() -> None:
        heard: list[str] = []
        connection, lane = Live(close_timeout=0.001).person()

        async def hangs(name: str) -> None:
            heard.append(name)
            await asyncio.Event().wait()

        last = asyncio.Event()
        connection.on("close", lambda: hangs("first"))
        connection.on("close", lambda: heard.append("second"))
        connection.on("close", lambda: hangs("third"))
        connection.on("close", lambda: heard.append("fourth"))
        connection.on("close", last.set)
        lane.lose()
        await last.wait()
        assert heard == ["first", "second", "third", "fourth"]

    run(test())


@pytest.mark.parametrize("order", ["close-lose", "lose-close", "lose-lose", "close-close-lose", "lose-late"])
def test_close_listeners_are_called_once_in_every_order(order: str) -> None:
    async def test() -> None:
        heard: list[Any] = []
        connection, lane = Live().person()
        connection.on("close", lambda code: heard.append(["sync", code]))

        @connection.on("close")
        async def listener(code: int) -> None:
            await asyncio.sleep(0)
            heard.append(["async", code])

        for step in order.split("-"):
            if step == "close":
                connection.close(4000)
            elif step == "lose":
                lane.lose()
            else:
                connection.on("close", lambda code: heard.append(["late", code]))
            await idle()
        await idle()
        code = 4000 if order.startswith("close") else 1006
        late = [["late", code]] if "late" in order else []
        assert heard == [["sync", code], ["async", code], *late]

    run(test())


# What waits is bounded in bytes as well


def test_what_waits_is_bounded_in_bytes() -> None:
    async def test() -> None:
        connection, lane = Live(incoming_queue=100, max_payload=100_000).person()
        gate = asyncio.Semaphore(0)
        got: list[Any] = []

        async def listener(data: str) -> None:
            await gate.acquire()
            got.append(len(data))

        connection.on("message", listener)
        for _ in range(6):
            arrive(connection, "x" * 20_000)
        assert [lane.reading] == [False]
        gate.release()
        await idle()
        assert [lane.reading] == [False]  # a little at a time would pause and resume for each message
        gate.release()
        gate.release()
        await idle()
        assert lane.reading
        assert got == [20_000] * 3

    run(test())


def test_what_waits_is_decoded_when_its_turn_comes() -> None:
    """A message of many small parts takes many times its size when it is decoded."""

    async def test() -> None:
        decoded: list[bytes] = []

        def decode(payload: bytes) -> object:
            decoded.append(payload)
            if payload == b"wrong":
                raise InvalidMessage("wrong")
            return payload

        connection, _ = Live().person(decode=decode)
        got: list[Any] = []
        connection.on("invalid", lambda error: got.append(error.reason))
        arrive(connection, "1", "wrong", "3")
        assert decoded == []
        connection.on("message", got.append)
        await idle()
        assert got == [b"1", "wrong", b"3"]
        connection.off("message")
        arrive(connection, "wrong", "5")
        assert await connection.receive() == b"5"
        assert got == [b"1", "wrong", b"3", "wrong"]

    run(test())


# Order


def test_listeners_behind_an_asynchronous_one_wait_for_it_message_by_message() -> None:
    async def test() -> None:
        got: list[Any] = []
        connection, _ = Live().person()

        async def slow(data: object) -> None:
            await asyncio.sleep(0)
            got.append(["slow", data])

        connection.on("message", slow)
        connection.on("message", lambda data: got.append(["second", data]))
        connection.on("message", slow)
        arrive(connection, "1", "2")
        await idle()
        assert got == [[name, number] for number in (1, 2) for name in ("slow", "second", "slow")]

    run(test())


def test_a_listener_in_place_of_one_that_is_at_work_waits_for_it() -> None:
    async def test() -> None:
        got: list[Any] = []
        connection, _ = Live().person()
        go = asyncio.Event()

        async def first(data: object) -> None:
            await go.wait()
            got.append(["first", data])

        connection.on("message", first)
        arrive(connection, "1")
        connection.off("message", first)
        connection.on("message", lambda data: got.append(["second", data]))
        arrive(connection, "2")
        assert got == []
        go.set()
        await idle()
        assert got == [["first", 1], ["second", 2]]

    run(test())


def test_an_end_right_after_the_first_listener_was_added_takes_nothing_from_it() -> None:
    async def test() -> None:
        got: list[Any] = []
        connection, lane = Live().person()
        arrive(connection, "1", "2")
        connection.on("message", got.append)
        connection.on("close", lambda: got.append("close"))
        lane.lose()
        assert got == [1, 2, "close"]

    run(test())


def test_an_asynchronous_error_listener_runs_to_its_end_after_the_connections() -> None:
    async def test() -> None:
        told: list[object] = []
        connection, lane = Live().person()

        async def tell(error: Exception) -> None:
            await asyncio.sleep(0)
            told.append(str(error))

        async def handler() -> None:
            async for _ in connection:
                pass
            raise ValueError("after the end")

        connection.on("error", tell)
        running = asyncio.ensure_future(run_handler(connection, handler))
        await idle()
        lane.lose()
        await running
        await idle()
        assert told == ["after the end"]

    run(test())


def test_a_connection_that_has_ended_is_in_no_room() -> None:
    async def test() -> None:
        connection, lane = Live().person()
        connection.join("room")
        seen: list[list[str]] = []
        connection.on("close", lambda: seen.append(connection.rooms))
        lane.lose()
        assert seen == [["room"]]  # so that a close listener can say goodbye there
        assert connection.rooms == []

    run(test())


# Who may yet take what waits


def test_a_listener_at_work_may_leave_the_rest_to_another() -> None:
    async def test() -> None:
        got: list[Any] = []
        connection, _ = Live(incoming_queue=2).person()
        go = asyncio.Event()

        async def first(data: object) -> None:
            connection.off("message", first)
            await go.wait()
            connection.on("message", got.append)

        await run_handler(connection, lambda: connection.on("message", first))
        arrive(connection, *"12345")
        go.set()
        await idle()
        assert got == [2, 3, 4, 5]

    run(test())


def test_a_task_of_the_applications_own_that_reads_misses_nothing_while_it_is_busy() -> None:
    async def test() -> None:
        got: list[Any] = []
        connection, _ = Live(incoming_queue=2).person()
        go = asyncio.Event()

        async def read() -> None:
            async for data in connection:
                got.append(data)
                await go.wait()

        reader = asyncio.ensure_future(read())
        await run_handler(connection, lambda: None)
        await idle()
        arrive(connection, "1")
        await idle()
        arrive(connection, *"2345")
        go.set()
        await idle()
        assert got == [1, 2, 3, 4, 5]
        reader.cancel()

    run(test())


def test_a_close_listener_that_somebody_cancels_does_not_keep_timers_and_tasks() -> None:
    async def test() -> None:
        connection, lane = Live().person()
        listening: list[asyncio.Task[Any] | None] = []

        async def hangs() -> None:
            listening.append(asyncio.current_task())
            await asyncio.Event().wait()

        connection.on("close", hangs)
        owned = connection.own(asyncio.Event().wait())
        lane.lose()
        await idle()
        assert not owned.done()
        (task,) = listening
        assert task is not None
        task.cancel()
        await idle()
        assert owned.cancelled()

    run(test())
