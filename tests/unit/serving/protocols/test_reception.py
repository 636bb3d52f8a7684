from __future__ import annotations

import asyncio
from typing import Any

import pytest

from odac.config import Limits
from odac.serving.protocols.reception import Reception
from tests.unit.realtime.realtime_fakes import run
from tests.unit.serving.protocols.fake_server import FakeServer
from tests.unit.serving.protocols.test_http import GET, silent

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def test_a_server_has_one_reception() -> None:
    async def main() -> None:
        server, loop = FakeServer(silent), asyncio.get_running_loop()
        one = Reception.of(server.config, server.state, loop, Limits())
        assert Reception.of(server.config, server.state, loop, Limits()) is one
        assert Reception.of(server.config, FakeServer(silent).state, loop, Limits()) is not one

    run(main())


@pytest.mark.parametrize("other", ["203.0.113.9", "::ffff:203.0.113.9"])
def test_http_connections_of_one_address_are_counted(other: str) -> None:
    async def main() -> None:
        server = FakeServer(silent, Limits(connections_per_ip=1))
        one, two, elsewhere = server("203.0.113.9"), server(other), server("203.0.113.10")
        for each in (one, two, elsewhere):
            each.receive(GET)
        assert [each.statuses for each in (one, two, elsewhere)] == [[], [503], []]
        one.lose()
        again = server(other)
        again.receive(GET)
        assert again.statuses == []

    run(main())


def test_connections_of_a_trusted_proxy_are_its_clients() -> None:
    async def main() -> None:
        server = FakeServer(silent, Limits(connections_per_ip=1), proxy_headers=True, forwarded_allow_ips="10.0.0.1")
        proxy = [server("10.0.0.1") for _ in range(3)]
        for each in proxy:
            each.receive(GET)
        assert [each.statuses for each in proxy] == [[], [], []]

    run(main())


def test_a_handshake_gives_its_place_back_and_is_refused_where_there_is_none() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        await receive()

    async def main() -> None:
        server = FakeServer(app, Limits(max_connections=2, connections_per_ip=1))
        one, two, three = server(), server("203.0.113.10"), server("203.0.113.11")
        one.receive(HANDSHAKE)
        assert len(Reception.of(server.config, server.state, asyncio.get_running_loop(), Limits()).addresses) == 0
        two.receive(HANDSHAKE)
        three.receive(HANDSHAKE)
        assert three.statuses == [503]
        for each in (one, two, three):
            each.lose()
        await asyncio.gather(*server.state.tasks)

    run(main())
