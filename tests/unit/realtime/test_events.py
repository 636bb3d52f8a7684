"""What becomes of messages that are invalid, and of what the application raises."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from odac.errors import Disconnected, InvalidMessage
from odac.protocol.codec import make_decoder
from odac.realtime.connection import Connection
from odac.realtime.handler import run_handler
from odac.wire.frames import TEXT
from tests.unit.realtime.realtime_fakes import Room, close_code, idle, lane_of, run

KINDS = [ValueError, SystemExit, KeyboardInterrupt, BaseExceptionGroup]


def error_of(kind: type[BaseException]) -> BaseException:
    return BaseExceptionGroup("several", [SystemExit()]) if kind is BaseExceptionGroup else kind("why")


class Inner(msgspec.Struct):
    y: int


class Move(msgspec.Struct):
    x: int
    inner: list[Inner] = []


def connect(**options: Any) -> Connection:
    return Room(loop=asyncio.get_running_loop()).connect(decode=make_decoder(Move), **options)


INVALID = [
    ('{"x":"a"}', "x"),
    ("{}", "x"),
    ('{"x":1,"inner":[{"y":1},{"y":"a"}]}', "inner[1].y"),
    ('{"x":1,"inner":[{}]}', "inner[0].y"),
    ("[]", ""),
    ("nonsense", ""),
]


@pytest.mark.parametrize(("text", "field"), INVALID)
def test_an_invalid_listener_gets_what_names_the_field_and_the_connection_goes_on(text: str, field: str) -> None:
    async def main() -> None:
        connection = connect()
        got: list[object] = []
        errors: list[object] = []
        invalid: list[InvalidMessage] = []
        connection.on("message", got.append)
        connection.on("error", errors.append)
        connection.on("invalid", invalid.append)
        connection.inbox.receive_text(text.encode())
        connection.inbox.receive_text(b'{"x":1}')
        assert connection.is_open
        assert [each.field for each in invalid] == [field]
        assert (got, errors) == ([Move(1)], [])

    run(main())


def test_without_an_invalid_listener_the_connection_is_closed_with_1007_whatever_listens_to_errors() -> None:
    async def main() -> None:
        connection = connect()
        errors: list[object] = []
        connection.on("message", lambda: None)
        connection.on("error", errors.append)
        connection.inbox.receive_text(b'{"x":"a"}')
        await idle()
        opcode, payload = lane_of(connection).frames[-1]
        assert close_code((opcode, payload)) == 1007
        assert b"`$.x`" in payload
        assert errors == []

    run(main())


@pytest.mark.parametrize("v1", [True, False])
@pytest.mark.parametrize("listens", [True, False])
def test_an_answer_goes_to_clients_that_understand_it(v1: bool, listens: bool) -> None:
    async def main() -> None:
        connection = connect(speaks_odac=v1, on_invalid="answer")
        got: list[object] = []
        invalid: list[InvalidMessage] = []
        connection.on("message", got.append)
        if listens:
            connection.on("invalid", invalid.append)
        connection.inbox.receive_text(b'{"x":"a"}')
        await idle()
        assert connection.is_open is (v1 or listens)
        assert len(invalid) == listens
        answers = [payload for opcode, payload in lane_of(connection).frames if opcode == TEXT]
        if v1:
            (answer,) = answers
            assert json.loads(answer[1:]) == [
                "invalid",
                {"field": "x", "reason": "Expected `int`, got `str` - at `$.x`"},
            ]
            connection.inbox.receive_text(b'{"x":1}')
            assert got == [Move(1)]
        else:
            assert answers == []

    run(main())


def test_an_answer_quotes_a_bounded_part_of_the_message() -> None:
    async def main() -> None:
        def decode(payload: bytes) -> object:
            raise InvalidMessage(f"Object contains unknown field `{payload.decode()}`")

        connection = Room(loop=asyncio.get_running_loop()).connect(decode=decode, speaks_odac=True, on_invalid="answer")
        connection.on("message", lambda: None)
        connection.inbox.receive_text(b"x" * 100_000)
        await idle()
        ((_, answer),) = lane_of(connection).frames
        assert len(answer) < 1200

    run(main())


def test_a_binary_message_is_invalid_where_the_route_takes_json() -> None:
    async def main() -> None:
        connection = connect(takes_binary=False)
        got: list[object] = []
        connection.on("message", got.append)
        connection.on("invalid", lambda error: got.append(error.reason))
        connection.inbox.receive_binary(b"\x00")
        assert got == ["a binary message, but the route expects JSON text"]
        silent = connect(takes_binary=False)
        silent.on("message", got.append)
        silent.inbox.receive_binary(b"\x00")
        await idle()
        assert close_code(lane_of(silent).frames[-1]) == 1007

    run(main())


def places(connection: Connection, error: BaseException) -> dict[str, Callable[[], object]]:
    """What makes the application raise, by where."""

    def fail(*_: object) -> None:
        raise error

    async def fail_later(*_: object) -> None:
        await asyncio.sleep(0)
        raise error

    def message(listener: Callable[..., object]) -> None:
        connection.on("message", listener)
        connection.inbox.receive_text(b'{"x":1}')

    def pong(listener: Callable[..., object]) -> None:
        connection.on("pong", listener)
        connection.receive_pong(b"")

    def own(coroutine: Coroutine[Any, Any, None]) -> None:
        connection.owned.create_task(coroutine)

    return {
        "message": lambda: message(fail),
        "async message": lambda: message(fail_later),
        "pong": lambda: pong(fail),
        "async pong": lambda: pong(fail_later),
        "timer": lambda: connection.owned.set_timer(0, fail),
        "async timer": lambda: connection.owned.set_timer(0, fail_later),
        "task": lambda: own(fail_later()),
    }


PLACES = ["message", "async message", "pong", "async pong", "timer", "async timer", "task"]


async def traced(caplog: pytest.LogCaptureFixture, error: BaseException) -> None:
    """Wait until the log has it, with its traceback."""
    while not any(each.exc_info and each.exc_info[1] is error for each in caplog.records):
        await asyncio.sleep(0.001)
    await idle()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("listens", [True, False])
def test_an_error_of_a_listener_is_logged_and_emitted_and_ends_one_connection_at_most(
    place: str, kind: type[BaseException], listens: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        connection, error = connect(), error_of(kind)
        told: list[object] = []
        if listens:
            connection.on("error", told.append)
        places(connection, error)[place]()
        await traced(caplog, error)
        assert told == [error] * listens
        assert connection.is_open is listens
        if not listens:
            assert close_code(lane_of(connection).frames[-1]) == 1011

    run(main())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize("listens", [True, False])
def test_an_error_of_the_handler_is_emitted_first_then_logged_and_ends_the_connection(
    asynchronous: bool, kind: type[BaseException], listens: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        connection, error = connect(), error_of(kind)
        told: list[object] = []

        async def later() -> None:
            await asyncio.sleep(0)
            raise error

        def handler() -> object:
            if asynchronous:
                return later()
            raise error

        if listens:
            connection.on("error", lambda each: told.append((each, connection.is_open)))
        await run_handler(connection, handler)
        await traced(caplog, error)
        assert told == [(error, True)] * listens
        assert close_code(lane_of(connection).frames[-1]) == 1011

    run(main())


def test_what_an_error_listener_raises_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        connection, error = connect(), SystemExit()

        def fail() -> None:
            raise error

        connection.on("error", fail)
        connection.events.failed(ValueError())
        await traced(caplog, error)
        assert close_code(lane_of(connection).frames[-1]) == 1011

    run(main())


@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize("listens", [True, False])
def test_what_a_close_listener_raises_closes_nothing(
    asynchronous: bool, listens: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        connection, error = connect(), ValueError()

        def fail(*_: object) -> None:
            raise error

        async def fail_later() -> None:
            await asyncio.sleep(0)
            raise error

        connection.on("close", fail_later if asynchronous else fail)
        if listens:
            connection.on("error", lambda: None)
        lane_of(connection).lose()
        await traced(caplog, error)

    run(main())
    assert [each.getMessage().partition(": ")[2] for each in caplog.records] == [
        "a listener raised after its connection had ended"
    ]


def test_the_log_says_what_becomes_of_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        connection = connect()
        for _ in range(2):
            connection.events.failed(ValueError())
        connection.events.handler_failed(ValueError())
        lane_of(connection).lose()
        connection.events.handler_failed(ValueError())

    run(main())
    assert [each.getMessage().partition(": ")[2] for each in caplog.records] == [
        "a listener raised; its connection is closed with 1011 (odac.ws.on('error', …) would keep it)",
        "a listener raised while its connection was closing",
        "its handler raised while its connection was closing",
        "its handler raised after its connection had ended",
    ]


def test_that_the_connection_has_ended_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        connection = connect()
        lane_of(connection).lose()
        connection.events.failed(Disconnected())
        connection.events.handler_failed(Disconnected())
        await idle()

    with caplog.at_level(logging.DEBUG):
        run(main())
    assert [each for each in caplog.records if each.name == "odac"] == []


def test_the_tracebacks_of_one_place_are_bounded_and_hide_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError

    def fail_elsewhere() -> None:
        raise ValueError

    async def main() -> None:
        for _ in range(600):
            await run_handler(connect(), fail)
        await run_handler(connect(), fail_elsewhere)

    run(main())
    assert [each.levelname for each in caplog.records] == ["ERROR"] * 11
    assert "more like this within 60 s are only counted" in caplog.records[9].getMessage()
    assert all(each.exc_info for each in caplog.records)
