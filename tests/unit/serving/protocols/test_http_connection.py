from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from odac.config import Limits
from odac.serving.protocols.http_connection import HttpConnection
from tests.unit.realtime.realtime_fakes import run
from tests.unit.serving.protocols.fake_server import FakeServer, Transport, turns

GET = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"


class App:
    """Answers a request once it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        self.asked.append((scope["path"], body))
        await self.go.wait()
        self.go.clear()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


def connected(test: Callable[[Transport, App], Coroutine[Any, Any, None]], **limits: Any) -> None:
    """Run a test with a connection to an app."""

    async def main() -> None:
        app = App()
        server = FakeServer(app, Limits(**limits))
        transport = server()
        await test(transport, app)
        transport.lose()
        tasks = list(server.state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main())


def test_one_request_is_parsed_at_a_time() -> None:
    async def test(transport: Transport, app: App) -> None:
        transport.receive(POST % 1 + GET % 2 + POST % 3)
        await turns()
        for number in (1, 2, 3):
            assert len(app.asked) == number
            assert transport.reading is (number == 3), "nothing is read behind what is waiting"
            app.go.set()
            await turns()
        assert app.asked == [("/1", b"abc"), ("/2", b""), ("/3", b"abc")]
        assert transport.statuses == [200] * 3

    connected(test)


def test_an_app_that_asks_for_more_does_not_have_more_read() -> None:
    async def test(transport: Transport, app: App) -> None:
        transport.receive(GET % 1 + GET % 2)
        await turns()
        connection = transport.get_protocol()
        assert isinstance(connection, HttpConnection)
        waiting = asyncio.ensure_future(connection.cycle.receive())
        await turns()
        assert not transport.reading
        waiting.cancel()

    connected(test)


@pytest.mark.parametrize(("held", "aborted"), [(100_000, True), (99_000, True), (90_000, False), (0, False)])
def test_a_client_that_takes_too_little_of_an_answer_is_cut_off(held: int, aborted: bool) -> None:
    async def test(transport: Transport, app: App) -> None:
        transport.receive(GET % 1)
        await turns()
        transport.held = 100_000
        connection = transport.get_protocol()
        connection.pause_writing()
        assert connection._answer.is_watched
        transport.held = held
        connection._answer.expire()
        assert transport.aborted is aborted
        assert connection._answer.is_watched is (held > 0 and not aborted)

    connected(test, handshake_timeout=10)


def test_a_client_that_makes_room_is_not_cut_off() -> None:
    async def test(transport: Transport, app: App) -> None:
        transport.receive(GET % 1)
        await turns()
        transport.held = 100_000
        connection = transport.get_protocol()
        connection.pause_writing()
        connection.resume_writing()
        connection._answer.expire()
        assert not transport.aborted
        connection._answer.expire()
        assert transport.aborted

    connected(test, handshake_timeout=10)


def test_a_broken_body_of_a_request_that_is_being_answered_ends_the_connection() -> None:
    async def test(transport: Transport, app: App) -> None:
        transport.receive(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await turns()
        transport.receive(b"nonsense\r\n")
        assert transport.statuses == [400]
        app.go.set()
        await turns()
        assert transport.statuses == [400]

    connected(test)


def test_a_handshake_on_a_kept_connection_is_sent_away_while_the_server_stops() -> None:
    """A proxy asks another process then; a kept connection would lead every client back to the one that stops."""

    async def test(transport: Transport, app: App) -> None:
        transport.receive(GET % 1)
        await turns()
        app.go.set()
        await turns()
        transport.get_protocol().reception.stopping = True
        transport.receive(
            b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert transport.statuses == [200, 503]
        assert b"Retry-After: 1" in transport.written

    connected(test)
