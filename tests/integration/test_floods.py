"""What a client can cause any number of times writes a few lines to the log, not one for each time."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from odac.notices import LINES
from tests.integration.running import DEADLINE, Running

TIMES = 600

APP = """
import sys

from odac import Odac


async def http(scope, receive, send):
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "http":
        print(scope["path"], file=sys.stderr, flush=True)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
    elif scope["path"] == "/raises":
        await send({"type": "websocket.accept"})
        raise RuntimeError("broken for everyone")
    elif scope["path"] != "/silent":
        await send({"type": "websocket.close"})


app = Odac(http=http)


@app.middleware("nobody")
async def nobody(odac):
    return False


@app.middleware("broken")
async def broken(odac):
    raise RuntimeError("broken for everyone")


@app.route.ws("/echo", token=False)
async def echo(odac):
    odac.ws.on("message", odac.ws.send)


@app.route.ws("/secret")
async def secret(odac):
    odac.ws.on("message", odac.ws.send)


@app.route.ws("/broken", token=False)
async def raises(odac):
    raise RuntimeError("broken for everyone")


app.route.use("nobody").ws("/nobody", echo, token=False)
app.route.use("broken").ws("/broken-gate", echo, token=False)
"""


def handshake(path: str, *lines: str, version: str = "13") -> bytes:
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    fields = ("Upgrade: websocket", "Connection: Upgrade", key, f"Sec-WebSocket-Version: {version}", *lines)
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *fields, "", ""]).encode()


FLOODS = {
    "malformed requests": (
        [
            b"\x16\x03\x01 hello\r\n\r\n",
            b"hello\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            handshake("/echo", version="7"),
            handshake("/echo").replace(b"Sec-WebSocket-Key", b"Sec-Other"),
        ],
        LINES,
    ),
    "a foreign origin": ([handshake("/echo", "Origin: http://evil.example")], LINES),
    "the middleware raises": ([handshake("/broken-gate")], LINES),
    "the handler raises": ([handshake("/broken")], LINES),
    "the wrapped app raises": ([handshake("/raises")], LINES),
    "the wrapped app does not answer": ([handshake("/silent")], LINES),
    "no such route": ([handshake("/none")], 1),
    "no token, no entry": ([handshake("/secret"), handshake("/nobody")], 0),
}
"""What is sent, and how many entries the log has of it within a minute; a path without a route is logged once."""


def send(running: Running, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=DEADLINE) as peer:
        peer.sendall(data)
        assert peer.recv(1024).startswith(b"HTTP/1.1 ")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("floods"), APP) as each:
        yield each


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_is_a_few_entries_of_the_log(running: Running, flood: str) -> None:
    provocations, entries = FLOODS[flood]
    before = len(running.output)
    for _ in range(TIMES // len(provocations)):
        for provocation in provocations:
            send(running, provocation)
    end = "/end-of-" + flood.replace(" ", "-")
    send(running, f"GET {end} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    running.line(f"^{end}$")
    found = [line for line in running.output[before:] if re.match("(DEBUG|INFO|WARNING|ERROR|CRITICAL):", line)]
    assert len(found) == entries, found[: 2 * LINES]
    assert entries != LINES or found[-1].endswith("[more like this within 60 s are only counted]")
