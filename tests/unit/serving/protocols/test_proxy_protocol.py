from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from odac.config import Limits
from odac.errors import HandshakeError
from odac.serving.protocols.proxy_protocol import Introduction, ProxiedProtocol, read_introduction
from odac.serving.protocols.reception import RefusedConnection
from tests.unit.realtime.realtime_fakes import idle, run
from tests.unit.serving.protocols.fake_server import FakeServer, Transport

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def version_2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


IPV4 = socket.inet_aton("192.0.2.1") + socket.inet_aton("10.0.0.1") + struct.pack("!HH", 56324, 443)
IPV6 = socket.inet_pton(socket.AF_INET6, "2001:db8::1") * 2 + struct.pack("!HH", 56324, 443)

GOOD = [
    (b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n", ("192.0.2.1", 56324)),
    (b"PROXY TCP6 2001:db8::1 ::1 56324 443\r\n", ("2001:db8::1", 56324)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
    (version_2(0x21, 0x11, IPV4), ("192.0.2.1", 56324)),
    (version_2(0x21, 0x11, IPV4 + b"\x04\x00\x05hello"), ("192.0.2.1", 56324)),
    (version_2(0x21, 0x21, IPV6), ("2001:db8::1", 56324)),
    (version_2(0x20, 0x00, b""), None),
    (version_2(0x20, 0x11, IPV4), None),
    (version_2(0x21, 0x31, b"/" * 216), None),
]


@pytest.mark.parametrize(("header", "client"), GOOD)
def test_a_header_is_read_as_soon_as_it_is_complete(header: bytes, client: tuple[str, int] | None) -> None:
    assert read_introduction(header + GET) == Introduction(len(header), client)
    for end in range(len(header)):
        assert read_introduction(header[:end]) is None


@pytest.mark.parametrize(
    "data",
    [
        GET,
        b"\x16\x03\x01",
        b"\r\n\r\nGET",
        b"PROXY TCP4 192.0.2.1 10.0.0.1 56324\r\n",
        b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 65536\r\n",
        b"PROXY TCP4 192.0.2.1 10.0.0.1 -1 443\r\n",
        b"PROXY TCP4 2001:db8::1 ::1 56324 443\r\n",
        b"PROXY TCP4  192.0.2.1 10.0.0.1 56324 443\r\n",
        b"PROXY UDP4 192.0.2.1 10.0.0.1 56324 443\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4 192.0.2.1\xff 10.0.0.1 56324 443\r\n",
        b"PROXY UNKNOWN " + b"x" * 100,
        version_2(0x11, 0x11, IPV4),
        version_2(0x22, 0x11, IPV4),
        version_2(0x21, 0x11, IPV4[:-1]),
        version_2(0x21, 0x21, IPV4),
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 60_000),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(HandshakeError) as refused:
        read_introduction(data)
    assert refused.value.status == 400


async def tells(scope: Any, receive: Any, send: Any) -> None:
    body = repr(scope["client"]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def connect(peer: str, limits: Limits | None = None) -> Transport:
    proxies: Any = ProxyHeadersMiddleware(tells, "10.0.0.0/8").trusted_hosts
    return FakeServer(tells, limits or Limits(), protocol=ProxiedProtocol, proxies=proxies)(peer)


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize(("header", "client"), GOOD)
def test_the_app_sees_the_client(header: bytes, client: tuple[str, int] | None, step: int) -> None:
    async def main() -> None:
        transport = connect("10.0.0.1")
        data = header + GET
        for at in range(0, len(data), step):
            transport.receive(data[at : at + step])
        await idle()
        assert transport.statuses == [200]
        assert repr(client or ("10.0.0.1", 1)).encode() in transport.written

    run(main())


def test_a_trusted_proxy_that_sends_none_is_refused() -> None:
    async def main() -> None:
        transport = connect("10.0.0.1")
        transport.receive(GET)
        assert transport.statuses == [400]
        assert b"send-proxy-v2" in transport.written
        assert isinstance(transport.get_protocol(), RefusedConnection)

    run(main())


def test_anybody_else_is_served_without_and_not_believed() -> None:
    async def main() -> None:
        transport = connect("203.0.113.9")
        transport.receive(GET)
        await idle()
        assert b"203.0.113.9" in transport.written
        transport = connect("203.0.113.9")
        transport.receive(GOOD[0][0] + GET)
        assert transport.statuses == [400]
        assert b"--proxy-protocol" in transport.written

    run(main())


def test_connections_are_counted_by_the_clients_address() -> None:
    async def main() -> None:
        first = connect("10.0.0.1", Limits(connections_per_ip=1))
        reception = first.get_protocol().reception
        first.receive(GOOD[0][0] + GET)
        await idle()
        assert reception.take_place(first, ("192.0.2.1", 9)) is None
        assert reception.take_place(first, ("192.0.2.2", 9)) is not None

    run(main())
