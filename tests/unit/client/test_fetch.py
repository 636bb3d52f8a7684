from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from odac.client.address import Address
from odac.client.fetch import MAX_BODY, Response, get
from tests.unit.client.client_fakes import run


@asynccontextmanager
async def server(
    answer: bytes, requests: list[bytes], *, tls: ssl.SSLContext | None = None, hold: bool = False
) -> AsyncIterator[Address]:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            for byte in (answer[at : at + 7] for at in range(0, len(answer), 7)):
                writer.write(byte)
            if hold:
                assert await reader.read() == b""
        except ConnectionError:
            pass
        finally:
            writer.close()
            closed.set()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        yield Address.parse(
            f"{'wss' if tls else 'ws'}://localhost:{port}/chat" if tls else f"ws://127.0.0.1:{port}/chat"
        )
        await closed.wait()


async def ask(answer: bytes, *, hold: bool = False) -> tuple[Response, bytes]:
    requests: list[bytes] = []
    async with server(answer, requests, hold=hold) as address:
        result = await get(address, "/odac/token", [("X-Key", "k"), ("Cookie", "a=1")], None)
    return result, requests[0]


def test_the_request() -> None:
    answer, request = run(
        ask(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\nhi", hold=True)
    )
    assert re.fullmatch(
        rb"GET /odac/token HTTP/1.1\r\nHost: 127.0.0.1:\d+\r\nConnection: close\r\nAccept: application/json\r\nX-Key: k\r\nCookie: a=1\r\n\r\n",
        request,
    )
    assert (answer.status, answer.body) == (200, b"hi")
    assert answer.header("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n", 200, b"hi!"),
        (b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, b""),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\nContent-Length: 0\r\n\r\n", 302, b""),
    ],
)
def test_answers(answer: bytes, status: int, body: bytes) -> None:
    result, _ = run(ask(answer))
    assert (result.status, result.body) == (status, body)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(200_000),
        b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 40_000,
    ],
    ids=["nothing", "not http", "short body", "short head", "long body", "long head"],
)
def test_what_is_no_answer(answer: bytes) -> None:
    with pytest.raises(ConnectionError):
        run(ask(answer))


def test_the_largest_body() -> None:
    result, _ = run(ask(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MAX_BODY + bytes(MAX_BODY)))
    assert len(result.body) == MAX_BODY


def test_a_server_that_does_not_answer_is_let_go_of() -> None:
    async def test() -> None:
        requests: list[bytes] = []
        async with server(b"HTTP/1.1 200 OK\r\n", requests, hold=True) as address:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await get(address, "/odac/token", [], None)
        # the server saw the end of the connection, or the block above would not have ended

    run(test())


def test_an_unreachable_server() -> None:
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        run(get(Address.parse("ws://127.0.0.1:1/"), "/odac/token", [], None))


def test_over_tls() -> None:
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)

    async def test(context: ssl.SSLContext | None) -> Response:
        requests: list[bytes] = []
        async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", requests, tls=server_side) as address:
            return await get(address, "/", [], context)

    assert run(test(client_side)).body == b"hi"


def test_an_untrusted_certificate() -> None:
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_side)

    async def test() -> None:
        listening = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=server_side)
        async with listening:
            with pytest.raises(ssl.SSLCertVerificationError):
                await get(Address.parse(f"wss://localhost:{listening.sockets[0].getsockname()[1]}/"), "/", [], None)

    run(test())
