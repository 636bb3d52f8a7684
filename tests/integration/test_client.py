"""The Python client over real sockets: against Odac in its own process, and against the ``websockets`` library."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme
import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

import odac
from odac.client import ClientConnection, HandshakeRefused
from odac.client import socket as socket_module
from odac.client.interactive import main as interactive
from odac.client.tokens import Tokens

T = TypeVar("T")

DEADLINE = 30.0
SECRET = "a secret of the tests, long enough to be one"

APP = """
import asyncio, os, time
from starlette.responses import JSONResponse, PlainTextResponse
from odac import Limits, Odac
from odac.security.secret import Secrets
from odac.security.token import Tokens

secret = os.environ["TEST_SECRET"]
stale = Tokens(Secrets(secret), clock=lambda: time.time() - 3600)

app = Odac(secret, limits=Limits(rate_limit=None, drain_timeout=0.5, outgoing_buffer=64 * 1024 * 1024))

@app.route.ws("/echo")
def echo(odac):
    odac.ws.on("message", odac.ws.send)

@app.route.auth.ws("/secure")
async def secure(odac):
    odac.ws.send(await odac.auth.user())

@app.route.ws("/close/{code:int}", token=False)
def close(odac):
    odac.ws.close(odac.request.data.url["code"], "as asked")

@app.route.ws("/count/{n:int}", token=False)
async def count(odac):
    for number in range(odac.request.data.url["n"]):
        await odac.ws.send({"n": number})
    odac.ws.close()

@app.route.ws("/collect", token=False)
async def collect(odac):
    seen = []
    async for data in odac.ws:
        if data == "report":
            odac.ws.send(seen)
        else:
            seen.append(data)

@app.route.ws("/request", token=False)
def request(odac):
    odac.ws.send([odac.request.header("x-key"), odac.request.cookie("lang"), odac.request.query.get("page"), odac.request.header("origin")])

@app.middleware("greeter")
async def greeter(odac):
    odac.ws.send("from the middleware")
    await asyncio.sleep(0.01)

@app.route.use("greeter").ws("/greeted")
def greeted(odac):
    odac.ws.send("from the handler")

served_stale = set()

async def outer(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/login":
        from starlette.requests import Request
        response = PlainTextResponse("in")
        app.auth.login(response, {"id": 7}, Request(scope))
        await response(scope, receive, send)
        return
    # the first token of each client that asks for it so has run out already
    if scope["type"] == "http" and scope["path"] == "/odac/token":
        headers = dict(scope["headers"])
        mark = headers.get(b"x-stale")
        if mark is not None and mark not in served_stale:
            served_stale.add(mark)
            from odac.request import Request
            session = app.auth.sessions.load(Request(scope)) or app.auth.sessions.create()
            response = JSONResponse({"token": stale.issue(session.id)})
            app.auth.sessions.set_cookie(response, session, False)
            await response(scope, receive, send)
            return
    await app(scope, receive, send)
"""


class Server:
    """Odac in a process of its own."""

    def __init__(self, folder: Path, port: int = 0, secret: str = SECRET) -> None:
        (folder / "served.py").write_text(APP)
        code = f"from odac.server import run; run('served:outer', port={port}, app_dir={str(folder)!r}, log_level='warning')"
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", code],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"TEST_SECRET": secret, "PYTHONPATH": str(Path(odac.__file__).parents[1])},
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", first)
        assert found, f"the server did not start: {first!r}"
        self.port = int(found[1])

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def stop(self, sign: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(sign)
        self.process.wait(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("app"))
    yield running
    running.stop(signal.SIGKILL)


def on_asyncio(test: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(bounded(test))


def on_uvloop(test: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(bounded(test))


async def bounded(test: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(DEADLINE):
        return await test


Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[on_asyncio, on_uvloop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return request.param  # type: ignore[no-any-return]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Happened:
    """Waits for a client's events."""

    def __init__(self, ws: ClientConnection, event: str) -> None:
        self.all: list[tuple[Any, ...]] = []
        self._more = asyncio.Event()
        ws.on(event, self._note)

    def _note(self, *arguments: Any) -> None:
        self.all.append(arguments)
        self._more.set()

    async def times(self, count: int) -> None:
        while len(self.all) < count:
            self._more.clear()
            await self._more.wait()


# Against Odac


def test_messages_of_every_kind(server: Server, run: Run) -> None:
    async def test() -> None:
        async with odac.connect(server.url("/echo")) as ws:
            assert ws.connected
            assert ws.state == odac.ReadyState.OPEN
            assert ws.id
            everything: list[Any] = [
                {"a": [1, None, "é"]},
                [],
                7,
                1.5,
                True,
                None,
                "text",
                "é",
                "",
                "\x1e[]",
                '\x1e["ping"]',
                b"\0\xff",
                b"",
            ]
            for data in everything:
                assert ws.send(data)
                assert await ws.receive() == data
            big = "x" * 1_000_000
            await ws.send(big)
            assert await ws.receive() == big
        assert (ws.connected, ws.state, ws.close_code) == (False, odac.ReadyState.CLOSED, 1000)

    run(test())


def test_nothing_is_left_behind(server: Server) -> None:
    async def test() -> None:
        async with odac.connect(server.url("/echo")) as ws:
            await ws.send("warm up")
            await ws.receive()
        before = descriptors()
        for _ in range(5):
            async with odac.connect(server.url("/echo")):
                pass
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await odac.connect(server.url("/echo"))
        assert asyncio.all_tasks() == {asyncio.current_task()}
        # transports close in the loop's next turns
        for _ in range(100):
            if descriptors() == before:
                break
            await asyncio.sleep(0)
        assert descriptors() == before

    on_asyncio(test())


def test_ten_thousand_messages_in_order(server: Server, run: Run) -> None:
    async def test() -> None:
        async with odac.connect(server.url("/echo")) as ws:

            async def feed() -> None:
                for number in range(10_000):
                    await ws.send({"n": number})

            feeding = asyncio.ensure_future(feed())
            for number in range(10_000):
                assert await ws.receive() == {"n": number}
            await feeding

    run(test())


def test_ten_thousand_messages_to_a_listener(server: Server) -> None:
    async def test() -> None:
        got: list[int] = []
        ws = odac.connect(server.url("/count/10000"), token=False)

        @ws.on("message")
        async def take(data: dict[str, int]) -> None:
            if data["n"] % 1000 == 0:
                await asyncio.sleep(0)
            got.append(data["n"])

        ended = Happened(ws, "close")
        async with ws:
            await ended.times(1)
        assert got == list(range(10_000))
        assert ended.all == [(1000, "")]

    on_asyncio(test())


def test_sends_that_are_not_awaited_keep_their_order(server: Server) -> None:
    async def test() -> None:
        ws = odac.connect(server.url("/collect"), token=False)
        for number in range(200):
            ws.send(number)  # queued: there is no connection yet
        async with ws:
            for number in range(200, 5000):
                assert ws.send(number)
            ws.send("report")
            assert await ws.receive() == list(range(5000))

    on_asyncio(test())


def test_iterating_directly(server: Server) -> None:
    async def test() -> None:
        assert [data["n"] async for data in odac.connect(server.url("/count/3"), token=False)] == [0, 1, 2]

    on_asyncio(test())


def test_a_refused_client(server: Server, run: Run) -> None:
    async def test() -> None:
        with pytest.raises(odac.Disconnected, match="4001: Unauthorized"):
            await odac.connect(server.url("/secure"))
        with pytest.raises(odac.Disconnected, match="4002"):
            await odac.connect(server.url("/echo"), token=False)
        with pytest.raises(HandshakeRefused, match="no WebSocket route") as caught:
            await odac.connect(server.url("/nowhere"))
        assert caught.value.status == 404
        with pytest.raises(HandshakeRefused) as caught:
            await odac.connect(server.url("/echo"), headers={"Origin": "http://evil.example"})
        assert caught.value.status == 403
        with pytest.raises(HandshakeRefused, match="prefix="):
            await odac.connect(server.url("/echo"), prefix="/elsewhere")

    run(test())


def test_the_session_is_kept(server: Server) -> None:
    async def test() -> None:
        from odac.client.address import Address
        from odac.client.fetch import get

        answer = await get(Address.parse(server.url("/")), "/login", [], None)
        name, _, value = answer.header("set-cookie")[0].partition(";")[0].partition("=")
        async with odac.connect(server.url("/secure"), cookies={name: value}) as ws:
            assert await ws.receive() == {"id": 7}

    on_asyncio(test())


def test_what_a_middleware_sends_comes_first(server: Server) -> None:
    async def test() -> None:
        async with odac.connect(server.url("/greeted")) as ws:
            assert [await ws.receive(), await ws.receive()] == ["from the middleware", "from the handler"]

    on_asyncio(test())


def test_headers_cookies_and_query(server: Server) -> None:
    async def test() -> None:
        url = server.url("/request?page=2")
        async with odac.connect(url, headers={"X-Key": "k"}, cookies={"lang": "de"}, token=False) as ws:
            assert await ws.receive() == ["k", "de", "2", None]

    on_asyncio(test())


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1008, 1009, 4000, 4001, 4003, 4321])
def test_a_final_code_is_final(server: Server, code: int) -> None:
    async def test() -> None:
        ws = odac.connect(server.url(f"/close/{code}"), token=False)
        again = Happened(ws, "reconnecting")
        with contextlib.suppress(odac.Disconnected):
            async with ws:
                assert [data async for data in ws] == []
        assert (ws.close_code, ws.close_reason) == (code, "as asked")
        assert again.all == []

    on_asyncio(test())


@pytest.mark.parametrize("code", [1001, 1002, 1011, 1012, 1013])
def test_a_passing_code_is_not(server: Server, code: int) -> None:
    async def test() -> None:
        ws = odac.connect(server.url(f"/close/{code}"), token=False, reconnect_delay=0.01, max_reconnect_attempts=2)
        closes = Happened(ws, "close")
        with contextlib.suppress(odac.Disconnected):
            async with ws:
                assert [data async for data in ws] == []
        assert closes.all == [(code, "as asked")] * 3

    on_asyncio(test())


def test_a_token_that_has_run_out_is_replaced(server: Server, run: Run) -> None:
    async def test() -> None:
        ws = odac.connect(server.url("/echo"), headers={"X-Stale": os.urandom(8).hex()})
        closes = Happened(ws, "close")
        ws.send("kept")
        async with ws:
            assert await ws.receive() == "kept"
            assert closes.all == [(4002, "Invalid or missing token")]

    run(test())


# The server goes, and comes back


def test_a_killed_server_and_its_successor(tmp_path: Path, run: Run) -> None:
    first = Server(tmp_path)
    successor: list[Server] = []

    async def test() -> None:
        async with odac.connect(first.url("/echo"), reconnect_delay=0.2, max_reconnect_attempts=None) as ws:
            closes, opens = Happened(ws, "close"), Happened(ws, "open")
            await ws.send("before")
            assert await ws.receive() == "before"
            old = ws.id
            first.stop(signal.SIGKILL)
            await closes.times(1)
            assert closes.all[0] == (1006, "")
            for number in range(100):
                assert ws.send({"queued": number})
            # another secret: sessions and tokens of before are worth nothing to it
            successor.append(await asyncio.to_thread(Server, tmp_path, first.port, SECRET[::-1]))
            await opens.times(1)
            assert ws.id != old
            assert [await ws.receive() for _ in range(100)] == [{"queued": number} for number in range(100)]

    try:
        run(test())
    finally:
        for each in (first, *successor):
            each.stop(signal.SIGKILL)


def test_a_draining_server_sets_the_delay_of_the_retry(tmp_path: Path) -> None:
    first = Server(tmp_path)
    successor: list[Server] = []

    async def test() -> None:
        async with odac.connect(first.url("/echo"), reconnect_delay=0.1, max_reconnect_attempts=None) as ws:
            closes, opens, waits = Happened(ws, "close"), Happened(ws, "open"), Happened(ws, "reconnecting")
            first.process.send_signal(signal.SIGTERM)
            await closes.times(1)
            assert closes.all[0] == (1001, "the server is stopping")
            await waits.times(1)
            assert 1.0 <= waits.all[0][1] < 1.5  # what a server that is alone says: about what its restart takes
            assert await asyncio.to_thread(first.process.wait, DEADLINE) == 0
            successor.append(await asyncio.to_thread(Server, tmp_path, first.port))
            await opens.times(1)
            await ws.send("again")
            assert await ws.receive() == "again"

    try:
        on_asyncio(test())
    finally:
        for each in (first, *successor):
            each.stop(signal.SIGKILL)


def test_a_server_that_comes_later(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]  # bound and not listening: connections are refused

        async def test() -> None:
            ws = odac.connect(f"ws://127.0.0.1:{port}/echo", reconnect_delay=0.1, max_reconnect_attempts=None)
            errors = Happened(ws, "error")
            opening = asyncio.ensure_future(ws)
            await errors.times(2)
            assert all(isinstance(error, ConnectionRefusedError) for (error,) in errors.all)
            reserved.close()
            later = await asyncio.to_thread(Server, tmp_path, port)
            try:
                await opening
                await ws.send("finally")
                assert await ws.receive() == "finally"
                await ws.close()
            finally:
                later.stop(signal.SIGKILL)

        on_asyncio(test())


# Against a server of another make


@asynccontextmanager
async def other_server(
    handler: Callable[[ServerConnection], Coroutine[Any, Any, None]],
    process_request: Callable[[ServerConnection, Request], Response | None] | None = None,
    **options: Any,
) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0, process_request=process_request, **options) as running:
        yield f"127.0.0.1:{next(iter(running.sockets)).getsockname()[1]}"


async def echoing(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


def test_a_server_without_odac_v1(run: Run) -> None:
    async def test() -> None:
        async with other_server(echoing) as address, odac.connect(f"ws://{address}/", token=False) as ws:
            assert ws.id is None
            for data in ({"a": 1}, "text", "\x1e[]", b"\0"):
                ws.send(data)
                assert await ws.receive() == data

    run(test())


def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    def elsewhere(ws: ServerConnection, request: Request) -> Response | None:
        asked.append(request.path)
        response = ws.respond(302, "")
        response.headers["Location"] = "/other"
        return response

    async def test() -> None:
        async with other_server(echoing, elsewhere) as address:
            with pytest.raises(HandshakeRefused) as caught:
                await odac.connect(f"ws://{address}/first", token=False)
        assert caught.value.status == 302
        assert asked == ["/first"]

    on_asyncio(test())


def test_a_busy_server_is_retried_later() -> None:
    answers = iter([503, 429, 500])

    def busy(ws: ServerConnection, request: Request) -> Response | None:
        status = next(answers, None)
        return None if status is None else ws.respond(status, "busy\n")

    async def test() -> None:
        async with other_server(echoing, busy) as address:
            ws = odac.connect(f"ws://{address}/", token=False, reconnect_delay=0.01)
            errors = Happened(ws, "error")
            async with ws:
                assert [(error.status, error.reason) for (error,) in errors.all] == [
                    (503, "busy"),
                    (429, "busy"),
                    (500, "busy"),
                ]

    on_asyncio(test())


def test_cookies_of_the_handshake_itself_are_kept() -> None:
    seen: list[str | None] = []

    def answer(ws: ServerConnection, request: Request) -> Response | None:
        seen.append(request.headers.get("Cookie"))
        return None

    def set_cookie(ws: ServerConnection, request: Request, response: Response) -> None:
        response.headers["Set-Cookie"] = "sticky=node-1; Path=/"

    async def once(ws: ServerConnection) -> None:
        await ws.close(1012 if len(seen) == 1 else 1000)

    async def test() -> None:
        async with other_server(once, answer, process_response=set_cookie) as address:
            async for _ in odac.connect(f"ws://{address}/chat", token=False, reconnect_delay=0.01):
                pytest.fail("it says nothing")
        assert seen == [None, "sticky=node-1"]

    on_asyncio(test())


def test_a_message_too_big_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_module, "MAX_PAYLOAD", 1000)

    async def shouting(ws: ServerConnection) -> None:
        await ws.send("x" * 1001)
        await ws.wait_closed()

    async def test() -> None:
        async with other_server(shouting) as address, odac.connect(f"ws://{address}/", token=False) as ws:
            assert [data async for data in ws] == []
            assert ws.close_code == 1009

    on_asyncio(test())


def test_text_that_is_no_utf8_is_the_end() -> None:
    async def mumbling(ws: ServerConnection) -> None:
        await ws.send(b"\xff\xfe", text=True)
        await ws.wait_closed()

    async def test() -> None:
        async with other_server(mumbling) as address, odac.connect(f"ws://{address}/", token=False) as ws:
            assert [data async for data in ws] == []
            assert ws.close_code == 1007

    on_asyncio(test())


def test_a_server_that_does_not_read_makes_the_sender_wait() -> None:
    async def test() -> None:
        gate = asyncio.Event()
        got: list[int] = []

        async def deaf(ws: ServerConnection) -> None:
            await gate.wait()
            got.extend([len(message) async for message in ws])

        async with other_server(deaf) as address, odac.connect(f"ws://{address}/", token=False) as ws:
            block = os.urandom(500_000)  # zeros would be compressed to nothing
            sent = 0
            waiting = None
            while waiting is None and sent < 100:
                sending = asyncio.ensure_future(ws.send(block))
                sent += 1
                done, _ = await asyncio.wait([sending], timeout=0.2)
                waiting = None if done else sending
            assert waiting is not None, "50 MB went into buffers"
            gate.set()
            assert await waiting is True
            await ws.close()
        assert got == [500_000] * sent

    on_asyncio(test())


def test_a_server_that_never_answers_the_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_module, "CLOSE_TIMEOUT", 0.1)

    async def test() -> None:
        async def handshake_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            from websockets.utils import accept_key

            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            key = re.search(r"Sec-WebSocket-Key: (\S+)", head)
            assert key
            writer.write(
                f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_key(key[1])}\r\n\r\n".encode()
            )
            with contextlib.suppress(ConnectionError):
                while await reader.read(1000):
                    pass
            writer.close()

        listening = await asyncio.start_server(handshake_only, "127.0.0.1", 0)
        async with listening:
            begun = time.monotonic()
            async with odac.connect(f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/", token=False) as ws:
                pass
            assert ws.close_code == 1006
            assert time.monotonic() - begun < 5
        assert asyncio.all_tasks() - {asyncio.current_task()} == set()

    on_asyncio(test())


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"],
    ids=["nothing", "ssh", "no key"],
)
def test_what_is_no_websocket_server(answer: bytes) -> None:
    async def test() -> None:
        async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        listening = await asyncio.start_server(rude, "127.0.0.1", 0)
        async with listening:
            with pytest.raises(ConnectionError, match="handshake"):
                await odac.connect(
                    f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/", token=False, auto_reconnect=False
                )

    on_asyncio(test())


def test_over_tls() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    def token(ws: ServerConnection, request: Request) -> Response | None:
        if request.path != "/odac/token":
            return None
        response = ws.respond(200, json.dumps({"token": "abc"}))
        response.headers["Set-Cookie"] = "__Host-odac=s; Path=/; Secure; HttpOnly"
        return response

    async def show(ws: ServerConnection) -> None:
        assert ws.request is not None
        await ws.send(json.dumps([ws.request.headers["Cookie"], ws.request.headers["Sec-WebSocket-Protocol"]]))
        await ws.wait_closed()

    async def test() -> None:
        async with other_server(show, token, ssl=context, select_subprotocol=lambda ws, offered: None) as address:
            url = f"wss://localhost:{address.rpartition(':')[2]}/"
            async with odac.connect(url, ssl=trusting) as ws:
                assert await ws.receive() == ["__Host-odac=s", "odac.v1, odac-token-abc"]
            with pytest.raises(ssl.SSLCertVerificationError):
                await odac.connect(url)
            with pytest.raises(ssl.SSLCertVerificationError):
                await odac.connect(url, token=False)

    on_asyncio(test())


def test_no_secret_is_logged(server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.DEBUG)
    tokens: list[str] = []
    fresh = Tokens.fresh

    async def spying(self: Any) -> str:
        tokens.append(await fresh(self))
        return tokens[-1]

    monkeypatch.setattr(Tokens, "fresh", spying)

    async def test() -> None:
        async with odac.connect(server.url("/echo"), cookies={"private": "cookie-value"}) as ws:
            await ws.send("hello")
            await ws.receive()
        with pytest.raises(odac.Disconnected):
            await odac.connect(server.url("/secure"))

    on_asyncio(test())
    assert len(tokens) == 2
    assert not any(token in caplog.text for token in tokens)
    assert "cookie-value" not in caplog.text


# odac connect


class Terminal:
    """The interactive client's input and output."""

    def __init__(self) -> None:
        self.input, self._keyboard = os.pipe()
        self.output = io.StringIO()

    def type(self, *lines: str) -> None:
        os.write(self._keyboard, "".join(f"{line}\n" for line in lines).encode())

    def hang_up(self) -> None:
        if self._keyboard >= 0:
            os.close(self._keyboard)
            self._keyboard = -1

    @property
    def lines(self) -> list[str]:
        """What was printed, without the time."""
        for line in self.output.getvalue().splitlines():
            assert re.match(r"\d\d:\d\d:\d\d ", line)
        return [line[9:] for line in self.output.getvalue().splitlines()]


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    opened = Terminal()
    yield opened
    opened.hang_up()
    os.close(opened.input)


def test_talking_line_by_line(server: Server, terminal: Terminal) -> None:
    terminal.type('{"text": "hi"}', "plain", "", '"quoted"', "7")
    terminal.hang_up()
    assert interactive(server.url("/echo?key=hidden"), stdin=terminal.input, stdout=terminal.output) == 0
    lines = terminal.lines
    assert re.fullmatch(r"· connected to ws://127\.0\.0\.1:\d+/echo as \S+; a line is a message, Ctrl-D ends", lines[0])
    assert lines[-1] == "· closed with 1000 (normal closure)"
    assert [line for line in lines if line[0] == "→"] == ['→ {"text": "hi"}', "→ plain", '→ "quoted"', "→ 7"]
    assert [line for line in lines if line[0] == "←"] == ['← {"text":"hi"}', "← plain", "← quoted", "← 7"]


def test_it_goes_through_a_forward_proxy(server: Server, terminal: Terminal) -> None:
    asked: list[str] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head.partition("\r\n")[0])
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65_536):
                    target.write(data)
                target.close()

        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

    async def test() -> None:
        async with await asyncio.start_server(tunnel, "127.0.0.1", 0) as listening:
            proxy = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            # A name that only the proxy knows, so that the straight way cannot be taken by mistake.
            talk = partial(interactive, "ws://odac.invalid/echo", proxy=proxy)
            assert await asyncio.to_thread(talk, stdin=terminal.input, stdout=terminal.output) == 0
            wrong = partial(interactive, "ws://odac.invalid/echo", proxy="socks5://127.0.0.1:1")
            assert await asyncio.to_thread(wrong, stdin=terminal.input, stdout=terminal.output) == 2

    terminal.type("hello")
    terminal.hang_up()
    on_asyncio(test())
    assert asked == ["CONNECT odac.invalid:80 HTTP/1.1"] * 2  # for the token, and for the connection
    assert "← hello" in terminal.lines
    assert terminal.lines[-1].startswith("! proxy=, or the environment's, must be http://")


def test_a_file_as_input(server: Server, terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("one\r\ntwo")
    with (tmp_path / "lines").open() as file:
        assert interactive(server.url("/echo"), stdin=file.fileno(), stdout=terminal.output) == 0
    assert terminal.lines[-3:] == ["← one", "← two", "· closed with 1000 (normal closure)"]


def test_control_characters_do_not_reach_the_terminal(terminal: Terminal) -> None:
    async def test() -> str:
        async def sly(ws: ServerConnection) -> None:
            await ws.send("\x1b]0;owned\x07\nline\t\u202e")
            await ws.send(bytes(range(40)))
            await ws.close()

        async with other_server(sly) as address:
            assert (
                await asyncio.to_thread(
                    interactive, f"http://{address}/", token=False, stdin=terminal.input, stdout=terminal.output
                )
                == 0
            )
        return terminal.output.getvalue()

    shown = on_asyncio(test())
    assert "\x1b" not in shown
    assert terminal.lines[1] == "← \\x1b]0;owned\\x07\\nline\t\\u202e"
    assert terminal.lines[2].startswith("← 40 bytes: 00 01 02")
    assert terminal.lines[2].endswith("1f …")


def test_errors_are_sentences(server: Server, terminal: Terminal) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        closed_port = reserved.getsockname()[1]
        cases = [
            (f"ws://127.0.0.1:{closed_port}/echo", 1, r"! Nothing listens at ws://\S+: is the server running\?"),
            (
                server.url("/nowhere"),
                1,
                r"! The server answered ws://\S+ with HTTP 404: There is no WebSocket route at this path\.",
            ),
            (
                server.url("/secure"),
                1,
                r"! The server closed the connection with 4001 \(not authenticated\): Unauthorized\.",
            ),
            (server.url("/close/1013"), 1, None),
            ("example.com", 2, r"! 'example.com' is not a WebSocket URL: write ws://.*"),
        ]
        for url, status, sentence in cases:
            before = len(terminal.lines)
            assert interactive(url, stdin=terminal.input, stdout=terminal.output, reconnect=False) == status
            if sentence is not None:
                assert re.fullmatch(sentence, terminal.lines[-1]), terminal.lines[before:]


def test_ctrl_c_closes(server: Server, tmp_path: Path) -> None:
    code = f"import sys; from odac.client.interactive import main; sys.exit(main({server.url('/echo')!r}))"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert "connected to" in process.stdout.readline()
        process.stdin.write("hello\n")
        process.stdin.flush()
        assert "→ hello" in process.stdout.readline()
        assert "← hello" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        try:
            rest, _ = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
    assert process.returncode == 0
    assert rest.splitlines()[-1].endswith("closed with 1000 (normal closure)")
    assert "Traceback" not in rest


def test_the_server_restarts_while_somebody_talks(tmp_path: Path, terminal: Terminal) -> None:
    first = Server(tmp_path)
    started = [first]
    result: list[int] = []
    talking = threading.Thread(
        target=lambda: result.append(interactive(first.url("/echo"), stdin=terminal.input, stdout=terminal.output))
    )
    talking.start()
    try:
        _wait_for(terminal, "connected", 1)
        first.stop()
        started.append(Server(tmp_path, first.port))
        _wait_for(terminal, "connected", 2)
        terminal.type("again")
        _wait_for(terminal, "← again", 1)
    finally:
        terminal.hang_up()
        talking.join(DEADLINE)
        for each in started:
            each.stop(signal.SIGKILL)
    assert result == [0]
    assert any(line.startswith("· closed with 1001") for line in terminal.lines)
    assert any(line.startswith("· connecting again in") for line in terminal.lines)


def _wait_for(terminal: Terminal, text: str, count: int) -> None:
    deadline = time.monotonic() + DEADLINE
    while sum(text in line for line in terminal.lines) < count:
        assert time.monotonic() < deadline, terminal.lines
        time.sleep(0.01)
