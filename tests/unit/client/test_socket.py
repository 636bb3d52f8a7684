"""The library's client as the client uses it, against a server of the same library in the same event loop."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from odac.client.address import Address
from odac.client.errors import HandshakeRefused
from odac.client.socket import Socket, dialer
from odac.errors import Disconnected
from odac.protocol.codec import encode, encode_binary
from tests.unit.realtime.realtime_fakes import run

Test = Callable[[Socket], Awaitable[None]]


def ignore(cookies: Iterable[str]) -> None: ...


def over(
    handler: Callable[[ServerConnection], Awaitable[None]],
    test: Test,
    *,
    answer: Callable[[ServerConnection, Request], Response | None] | None = None,
    store_cookies: Callable[[Iterable[str]], None] = ignore,
    now: Callable[[], float] | None = None,
) -> None:
    """Run a test with a socket that is connected to a server with this handler."""

    async def main() -> None:
        async with serve(
            handler, "127.0.0.1", 0, process_request=answer, subprotocols=[Subprotocol("odac.v1")]
        ) as server:
            port = server.sockets[0].getsockname()[1]
            dial = dialer(None, now or asyncio.get_running_loop().time)
            address = Address.parse(f"ws://127.0.0.1:{port}/chat")
            await test(await dial(address, ["odac.v1"], [("X-Key", "7")], store_cookies))

    run(main())


async def echo(peer: ServerConnection) -> None:
    async for message in peer:
        await peer.send(message)


def test_messages_both_ways() -> None:
    async def test(socket: Socket) -> None:
        assert socket.subprotocol == "odac.v1"
        assert socket.write(encode({"a": 1}))
        assert socket.write(encode_binary(b"\x00\x01"))
        assert [await socket.receive(), await socket.receive()] == ['{"a":1}', b"\x00\x01"]
        await socket.close(1000, "done")
        assert not socket.write(encode("too late"))

    over(echo, test)


def test_the_servers_close_is_raised_behind_its_messages() -> None:
    async def leave(peer: ServerConnection) -> None:
        await peer.send("last")
        await peer.close(4001, "out")

    async def test(socket: Socket) -> None:
        assert await socket.receive() == "last"
        for _ in range(2):
            with pytest.raises(Disconnected) as caught:
                await socket.receive()
            assert (caught.value.code, caught.value.reason) == (4001, "out")

    over(leave, test)


@pytest.mark.parametrize("side", ["server", "client"])
def test_an_end_without_a_close_frame_is_1006(side: str) -> None:
    async def vanish(peer: ServerConnection) -> None:
        if side == "server":
            peer.transport.abort()
        await peer.wait_closed()

    async def test(socket: Socket) -> None:
        if side == "client":
            socket.abort()
        with pytest.raises(Disconnected) as caught:
            await socket.receive()
        assert caught.value.code == 1006

    over(vanish, test)


def test_what_the_client_cannot_take_has_the_code_that_it_closed_with() -> None:
    async def garbage(peer: ServerConnection) -> None:
        peer.transport.write(b"\x81\x01\xff")  # text that is not UTF-8
        await peer.wait_closed()

    async def test(socket: Socket) -> None:
        with pytest.raises(Disconnected) as caught:
            await socket.receive()
        assert caught.value.code == 1007

    over(garbage, test)


def test_a_refusal_has_its_status_and_its_cookies_are_kept() -> None:
    cookies: list[str] = []
    seen: list[Any] = []

    def refuse(peer: ServerConnection, request: Request) -> Response:
        seen.append(request.headers["X-Key"])
        response = peer.respond(503, "full")
        response.headers["Set-Cookie"] = "a=1"
        response.headers["Set-Cookie"] = "b=2"
        return response

    async def never(socket: Socket) -> None:
        raise AssertionError("connected")

    with pytest.raises(HandshakeRefused) as caught:
        over(echo, never, answer=refuse, store_cookies=cookies.extend)
    assert caught.value.status == 503
    assert cookies == ["a=1", "b=2"]
    assert seen == ["7"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"220 mail.example.org ready\r\n\r\n", "did not answer the handshake as a WebSocket server does"),
        (b"", "the connection ended before the server answered the handshake"),
        (b"HTTP/1.1 101 Switching Pro", "the connection ended before the server answered the handshake"),
    ],
    ids=["another protocol", "nothing", "half an answer"],
)
def test_what_is_no_answer_to_a_handshake_is_a_connection_error_that_quotes_nothing(
    answer: bytes, message: str
) -> None:
    async def main() -> None:
        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            dial = dialer(None, asyncio.get_running_loop().time)
            with pytest.raises(ConnectionError, match=message) as caught:
                await dial(Address.parse(f"ws://127.0.0.1:{port}/"), [], [("Cookie", "secret")], ignore)
            assert caught.value.__suppress_context__
            assert "secret" not in str(caught.value)

    run(main())


def test_anything_that_arrives_is_heard_also_the_answer_to_a_probe() -> None:
    clock = [1.0]

    async def quiet(peer: ServerConnection) -> None:
        await peer.wait_closed()

    async def test(socket: Socket) -> None:
        assert socket.last_received == 1.0
        clock[0] = 5.0
        socket.probe()
        while socket.last_received != 5.0:
            await asyncio.sleep(0)
        await socket.close()
        socket.probe()  # of a closed one, nothing

    over(quiet, test, now=lambda: clock[0])


def test_a_full_buffer_is_waited_for_and_an_end_ends_the_wait() -> None:
    async def deaf(peer: ServerConnection) -> None:
        await peer.wait_closed()

    async def test(socket: Socket) -> None:
        await socket.writable()
        noise = os.urandom(1 << 19)  # which compression does not shrink
        for _ in range(40):  # more than the kernel and the server take before the next turn of the loop
            socket.write(encode_binary(noise))
        waiting = asyncio.ensure_future(socket.writable())
        await asyncio.sleep(0)
        assert not waiting.done()
        socket.abort()
        await waiting

    over(deaf, test)


def test_the_librarys_trace_shows_no_header(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def test(socket: Socket) -> None:
        await socket.close()

    over(echo, test)
    assert not [record for record in caplog.records if record.name.startswith("odac.client") and record.levelno <= 10]
