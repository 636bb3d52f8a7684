from __future__ import annotations

import asyncio
from typing import Any

import pytest

from odac.client.events import MOST_WAITING, Events
from odac.client.invalid import Invalid
from odac.errors import Disconnected
from tests.unit.client.client_fakes import idle, run


def test_listeners_are_called_in_order_with_what_they_take() -> None:
    async def test() -> None:
        events = Events()
        seen: list[Any] = []
        events.on("close", lambda code, reason: seen.append((code, reason)))
        events.on("close", lambda code: seen.append(code))
        events.on("close", lambda: seen.append("none"))
        events.post("close", 1000, "bye")
        events.finish(1000, "bye")
        await events.run()
        assert seen == [(1000, "bye"), 1000, "none"]

    run(test())


def test_one_event_at_a_time() -> None:
    async def test() -> None:
        events = Events()
        seen: list[Any] = []
        gate = asyncio.Event()

        async def slow(data: object) -> None:
            seen.append(("begin", data))
            await gate.wait()
            seen.append(("end", data))

        events.on("message", slow)
        events.on("close", lambda: seen.append("close"))
        events.post("message", 1)
        events.post("message", 2)
        events.post("close", 1000, "")
        events.finish(1000, "")
        running = asyncio.create_task(events.run())
        await idle()
        assert seen == [("begin", 1)]
        gate.set()
        await running
        assert seen == [("begin", 1), ("end", 1), ("begin", 2), ("end", 2), "close"]

    run(test())


def test_off_removes_one_or_all() -> None:
    async def test() -> None:
        events = Events()
        seen: list[Any] = []

        def first() -> None:
            seen.append("first")

        for handler in (first, first, lambda: seen.append("second")):
            events.on("open", handler)
        events.off("open", first)
        events.on("error", lambda: seen.append("error"))
        events.off("error", None)
        events.off("error", None)
        events.post("open")
        events.finish(1000, "")
        await events.run()
        assert seen == ["second"]

    run(test())


def test_unknown_events_and_unfit_handlers() -> None:
    events = Events()
    with pytest.raises(ValueError, match="use one of open, message"):
        events.on("mesage", print)
    with pytest.raises(ValueError, match="mesage"):
        events.off("mesage", None)
    with pytest.raises(TypeError, match="needs 2"):
        events.on("message", lambda a, b: None)


def test_an_exception_goes_to_the_error_listeners() -> None:
    async def test() -> None:
        events = Events()
        seen: list[Any] = []

        def fail() -> None:
            raise ZeroDivisionError

        async def fail_later() -> None:
            await asyncio.sleep(0)
            raise KeyError

        events.on("message", fail)
        events.on("message", fail_later)
        events.on("message", lambda data: seen.append(data))
        events.on("error", lambda error: seen.append(type(error)))
        events.post("message", "x")
        events.finish(1000, "")
        await events.run()
        assert seen == [ZeroDivisionError, KeyError, "x"]

    run(test())


def test_an_unhandled_exception_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        events = Events()

        def fail() -> None:
            raise ZeroDivisionError

        events.on("open", fail)
        events.post("open")
        events.on("error", fail)
        events.post("error", OSError("first"))
        events.finish(1000, "")
        await events.run()

    run(test())
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [
        ZeroDivisionError,
        ZeroDivisionError,
    ]


def test_an_error_without_a_listener_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        events = Events()
        events.post("error", TimeoutError())
        events.finish(1000, "")
        await events.run()

    run(test())
    assert [record.getMessage() for record in caplog.records] == ["TimeoutError"]


def test_messages_wait_for_the_first_listener() -> None:
    async def test() -> None:
        events = Events()
        seen: list[Any] = []
        running = asyncio.create_task(events.run())
        for number in range(5):
            await events.message(number)
        await idle()
        events.on("message", seen.append)
        await events.message(5)
        events.finish(1000, "")
        await running
        assert seen == [0, 1, 2, 3, 4, 5]

    run(test())


def test_messages_wait_for_the_first_reader_and_then_go_to_both() -> None:
    async def test() -> None:
        events = Events()
        seen: list[Any] = []
        running = asyncio.create_task(events.run())
        await events.message(0)
        await idle()
        assert await events.receive() == 0
        events.on("message", seen.append)
        await events.message(1)
        assert await events.receive() == 1
        events.finish(4001, "no")
        await running
        with pytest.raises(Disconnected, match="4001: no"):
            await events.receive()
        assert seen == [1]

    run(test())


def test_what_nobody_takes_stops_the_reading_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        events = Events()
        seen: list[Any] = []
        taken = 0

        async def feed() -> None:
            nonlocal taken
            for number in range(200):
                await events.message(number)
                taken += 1

        running, feeding = asyncio.create_task(events.run()), asyncio.create_task(feed())
        await idle()
        assert MOST_WAITING <= taken <= 2 * MOST_WAITING + 1
        assert "nothing takes them" in caplog.text
        assert len(caplog.records) == 1
        events.on("message", seen.append)
        await feeding
        events.finish(1000, "")
        await running
        assert seen == list(range(200))

    run(test())


def test_a_slow_reader_stops_the_reading() -> None:
    async def test() -> None:
        events = Events()
        taken = 0

        async def feed() -> None:
            nonlocal taken
            for number in range(200):
                await events.message(number)
                taken += 1
            events.finish(1000, "")

        tasks = [asyncio.create_task(events.run()), asyncio.create_task(feed())]
        got = [await events.receive()]
        await idle()
        assert taken <= 2 * MOST_WAITING + 2
        while len(got) < 200:
            got.append(await events.receive())
        await asyncio.gather(*tasks)
        assert got == list(range(200))

    run(test())


def test_an_end_is_handled_although_no_task_reads() -> None:
    async def test() -> None:
        events = Events()
        seen: list[Any] = []
        events.on("close", seen.append)
        running = asyncio.create_task(events.run())
        feeding = asyncio.create_task(_feed(events, 200))
        await idle()
        assert not feeding.done()
        events.release()
        await feeding
        events.post("close", 1000, "")
        events.finish(1000, "")
        await running
        assert seen == [1000]
        assert [await events.receive() for _ in range(200)] == list(range(200))

    run(test())


async def _feed(events: Events, count: int) -> None:
    for number in range(count):
        await events.message(number)


def test_receive_in_a_listener_would_wait_for_itself() -> None:
    async def test() -> None:
        events = Events()
        seen: list[Any] = []
        events.on("open", events.receive)
        events.on("error", lambda error: seen.append(str(error)))
        events.post("open")
        events.finish(1000, "")
        await events.run()
        assert len(seen) == 1
        assert "receive() in a listener" in seen[0]

    run(test())


def test_a_cancelled_runner_frees_its_readers() -> None:
    async def test() -> None:
        events = Events()
        running, reading = asyncio.create_task(events.run()), asyncio.create_task(events.receive())
        await idle()
        running.cancel()
        with pytest.raises(Disconnected):
            await reading

    run(test())


@pytest.mark.parametrize("event", ["message", "error", "open"])
def test_a_listener_that_awaits_a_cancelled_task_is_a_listeners_error(
    event: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        events = Events()
        seen: list[Any] = []

        async def listener(*_: object) -> None:
            task = asyncio.create_task(asyncio.sleep(60))
            await asyncio.sleep(0)
            task.cancel()
            await task

        events.on(event, listener)
        events.on("close", lambda code: seen.append(code))
        if event != "error":
            events.on("error", lambda error: seen.append(type(error)))
        running = asyncio.create_task(events.run())
        events.post(event, *([] if event == "open" else ["x"]))
        events.post("close", 1000, "")
        events.finish(1000, "")
        await running
        assert seen == ([1000] if event == "error" else [asyncio.CancelledError, 1000])

    run(test())
    assert ("a listener for 'error' raised" in caplog.text) == (event == "error")


def test_the_listeners_own_task_can_be_cancelled() -> None:
    async def test() -> None:
        events = Events()
        begun = asyncio.Event()

        async def listener() -> None:
            begun.set()
            await asyncio.Event().wait()

        events.on("open", listener)
        running = asyncio.create_task(events.run())
        events.post("open")
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    run(test())


def test_the_log_says_once_that_the_server_dropped_a_message(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        events = Events()
        heard: list[Any] = []
        events.post("invalid", Invalid("to", "first"))
        events.post("invalid", Invalid("to", "second"))
        running = asyncio.create_task(events.run())
        await idle()
        events.on("invalid", heard.append)
        events.post("invalid", Invalid("to", "third"))
        events.finish(1000, "")
        await running
        assert heard == [Invalid("to", "third")]

    run(test())
    (record,) = caplog.records
    assert "on('invalid', …)" in record.getMessage()
    assert "'first'" in record.getMessage()
