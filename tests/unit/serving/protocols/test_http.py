from __future__ import annotations

from typing import Any

from odac.config import Limits
from odac.serving.protocols.http_connection import HttpConnection
from odac.serving.protocols.reception import RefusedConnection
from tests.unit.realtime.realtime_fakes import run
from tests.unit.serving.protocols.fake_server import FakeServer

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def silent(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await receive()


def test_a_head_is_collected_and_then_another_protocol_has_the_connection() -> None:
    async def main() -> None:
        server = FakeServer(silent)
        transport = server()
        first = transport.get_protocol()
        for index in range(len(GET)):
            assert transport.get_protocol() is first
            transport.receive(GET[index : index + 1])
        assert isinstance(transport.get_protocol(), HttpConnection)
        assert server.state.connections == {transport.get_protocol()}
        transport.lose()
        assert not server.state.connections

    run(main())


def test_what_is_no_request_is_refused() -> None:
    async def main() -> None:
        server = FakeServer(silent)
        transport = server()
        transport.receive(b"\x16\x03\x01")
        assert transport.statuses == [400]
        assert isinstance(transport.get_protocol(), RefusedConnection)
        transport.receive(GET)
        assert transport.statuses == [400]
        transport.lose()
        assert not server.state.connections

    run(main())


def test_a_head_that_does_not_come_in_time_ends_the_connection() -> None:
    async def main() -> None:
        transport = FakeServer(silent, Limits(handshake_timeout=5))()
        transport.receive(GET[:5])
        transport.get_protocol().expire()
        assert transport.aborted

    run(main())


def test_connections_without_a_request_take_no_place() -> None:
    async def main() -> None:
        server = FakeServer(silent, Limits(max_connections=2))
        waiting = [server() for _ in range(5)]
        served = [server() for _ in range(2)]
        for each in served:
            each.receive(GET)
        assert [each.statuses for each in served] == [[], []]
        waiting[0].receive(GET)
        assert waiting[0].statuses == [503]
        assert b"Retry-After: 5" in waiting[0].written
        served[0].lose()
        waiting[1].receive(GET)
        assert waiting[1].statuses == []

    run(main())
