from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from odac import Context, Odac
from odac.serving.protocols.websocket import WebSocketProtocol
from odac.wire.frames import TEXT, encode_masked_frame
from tests.unit.realtime.realtime_fakes import run

HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
HELLO = encode_masked_frame(TEXT, b"hello", b"abcd")


@pytest.mark.parametrize("early", range(1, len(HELLO)))
def test_what_the_loop_reads_while_a_connection_opens_stays_behind_what_came_early(early: int) -> None:
    """A transport that the loop has found readable hands over its data after the handshake's task, in the same turn."""
    odac = Odac()

    @odac.route.ws("/echo", token=False)
    def echo(odac: Context) -> None:
        odac.ws.on("message", odac.ws.send)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server, client = socket.socketpair()
        client.setblocking(False)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            client.send(HELLO[early:])
            await asyncio.sleep(0)  # this task's next step is queued before the loop looks at its sockets
            await odac(scope, receive, send)

        config = Config(app, ws=WebSocketProtocol, http="httptools", lifespan="off", log_config=None)
        config.load()
        async with odac.lifespan(odac):
            transport, _ = await loop.connect_accepted_socket(
                lambda: WebSocketProtocol(config, ServerState(), {}, loop), server
            )
            client.send(HANDSHAKE + HELLO[:early])
            received = b""
            while not received.endswith(b"\x81\x05hello"):
                data = await loop.sock_recv(client, 65_536)
                assert data, f"closed after {received!r}"
                received += data
            client.close()
            transport.abort()

    run(main())
