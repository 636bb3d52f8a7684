"""Stopping: every client gets a close, what was sent is written, and the process ends within its limits."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM, Signals

import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.integration.running import DEADLINE, Running, until

APP = """
import asyncio, time
from odac import Limits, Odac
from pathlib import Path

async def page(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("app shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        print("socket of the inner app open", flush=True)
        print("inner app told", await receive(), flush=True)
    else:
        await receive()
        print("request begun", flush=True)
        while not Path("answer").exists():
            await asyncio.sleep(0.02)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

app = Odac(http=page, limits=Limits(drain_timeout=2, close_timeout=2, rate_limit=None))

@app.route.ws("/echo", token=False)
def echo(odac):
    odac.ws.on("message", odac.ws.send)

@app.route.ws("/count", token=False)
def count(odac):
    odac.ws.join("all")
    odac.ws.on("close", lambda code, reason: print("closed", code, flush=True))
    @odac.ws.on("message")
    def start(data):
        for number in range(data):
            odac.ws.send(number)

sent = 0

@app.route.ws("/load", token=False)
async def load(odac):
    odac.ws.join("load")

async def produce():
    global sent
    while app.route.ws_server.client_count:
        for _ in range(5):
            app.route.ws_server.to_room("load", sent)
            sent += 1
        await asyncio.sleep(0.01)

@app.route.ws("/start-load", token=False)
async def start_load(odac):
    global task
    task = asyncio.get_running_loop().create_task(produce())
    odac.ws.send("started")
    await odac.ws.receive()

@app.route.ws("/endless", token=False)
async def endless(odac):
    print("handler begun", flush=True)
    while True:
        await asyncio.sleep(3600)

@app.route.ws("/stubborn", token=False)
async def stubborn(odac):
    print("handler begun", flush=True)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print("handler cancelled", flush=True)

@app.route.ws("/thread", token=False)
async def thread(odac):
    print("handler begun", flush=True)
    await asyncio.to_thread(time.sleep, 600)
"""

V1 = {"subprotocols": ["odac.v1"]}


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Running]:
    return lambda *arguments, **more: Running(tmp_path, APP, *arguments, **more)


def end_of(client: ClientConnection) -> tuple[list[str], int]:
    """What still comes, and the close code."""
    received: list[str] = []
    with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - until it ends
        while True:
            received.append(str(client.recv(DEADLINE)))
    assert closed.value.rcvd is not None, "the connection was cut"
    return received, closed.value.rcvd.code


@pytest.mark.parametrize("number", [SIGTERM, SIGINT, SIGHUP], ids=lambda number: number.name)
def test_every_client_gets_drain_and_1001(start: Callable[..., Running], number: Signals) -> None:
    with (
        start() as running,
        running.connect("/echo", **V1) as modern,
        running.connect("/echo") as plain,
    ):
        hello = modern.recv(DEADLINE)
        assert isinstance(hello, str)
        assert hello.startswith('\x1e["hello"')
        running.signal(number)
        received, code = end_of(modern)
        assert code == 1001
        kind, delay = json.loads(received[-1].removeprefix("\x1e"))
        assert kind == "drain"
        assert 0 <= delay <= 2000
        assert end_of(plain) == ([], 1001)
        assert running.wait() == 0
        assert "app shut down" in running.text
        assert "Traceback" not in running.text


def test_what_is_queued_is_flushed(tmp_path: Path) -> None:
    """One and a half megabytes for a client that has not begun to read."""
    # It may take its time on a busy machine: what it has not read after close_timeout is dropped.
    limits = "close_timeout=60, rate_limit=None, outgoing_buffer=64_000_000"
    source = APP.replace("close_timeout=2, rate_limit=None", limits)
    source = source.replace("odac.ws.send(number)", "odac.ws.send(f'{number:0100}')")
    messages = 15_000
    with Running(tmp_path, source) as running, running.connect("/count", max_queue=4) as client:
        client.send(json.dumps(messages))
        assert client.recv(DEADLINE) == f"{0:0100}"
        running.signal(SIGTERM)
        received, code = end_of(client)
        assert code == 1001
        assert received == [f"{number:0100}" for number in range(1, messages)]
        assert running.wait() == 0
        running.line(r"^closed 1001$")


def test_under_load_nothing_is_lost(start: Callable[..., Running]) -> None:
    """A room gets hundreds of messages a second while SIGTERM comes: every member has them all until its turn has come."""
    members = 20

    async def receive(url: str, opened: asyncio.Event, busy: asyncio.Event) -> tuple[list[int], int]:
        numbers: list[int] = []
        async with connect_async(f"ws{url.removeprefix('http')}/load", open_timeout=DEADLINE) as client:
            opened.set()
            try:
                async for message in client:
                    numbers.append(int(message))
                    if len(numbers) == 200:
                        busy.set()
            except ConnectionClosed:
                pass
        assert client.close_code is not None
        return numbers, client.close_code

    async def main(running: Running) -> list[tuple[list[int], int]]:
        busy = [asyncio.Event() for _ in range(members)]
        opened = [asyncio.Event() for _ in range(members)]
        tasks = [asyncio.create_task(receive(running.url, *each)) for each in zip(opened, busy, strict=True)]
        for each in opened:
            await each.wait()
        async with connect_async(f"ws{running.url.removeprefix('http')}/start-load", open_timeout=DEADLINE) as starter:
            assert await starter.recv() == "started"
            for each in busy:
                await each.wait()
            running.signal(SIGTERM)
            return await asyncio.gather(*tasks)

    with start() as running:
        results = asyncio.run(asyncio.wait_for(main(running), 2 * DEADLINE))
        assert running.wait() == 0
    assert {code for _, code in results} == {1001}
    first = results[0][0]
    assert first == list(range(first[0], first[0] + len(first)))
    for numbers, _ in results:
        assert numbers == list(range(numbers[0], numbers[-1] + 1))


def test_each_connection_is_used_until_its_turn(start: Callable[..., Running]) -> None:
    """Half a second for 250 clients: until then each is answered, and what it sends is not lost."""

    async def echo(url: str, opened: asyncio.Event) -> tuple[float, int]:
        async with connect_async(f"ws{url.removeprefix('http')}/echo", open_timeout=DEADLINE) as client:
            opened.set()
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await client.send("x")
                    assert await client.recv() == "x"
                    await asyncio.sleep(0.05)
        assert client.close_code is not None
        return time.monotonic(), client.close_code

    async def main(running: Running) -> list[tuple[float, int]]:
        opened = [asyncio.Event() for _ in range(250)]
        tasks = [asyncio.create_task(echo(running.url, each)) for each in opened]
        for each in opened:
            await each.wait()
        running.signal(SIGTERM)
        return await asyncio.gather(*tasks)

    with start() as running:
        results = asyncio.run(asyncio.wait_for(main(running), 2 * DEADLINE))
        assert running.wait() == 0
    assert {code for _, code in results} == {1001}
    moments = sorted(moment for moment, _ in results)
    assert moments[-1] - moments[0] > 0.3


@pytest.mark.parametrize(
    ("path", "seconds"),
    [
        pytest.param("/endless", 2, id="waits for ever"),
        pytest.param("/stubborn", 3 + 1 + 5, id="ignores its cancellation"),
        pytest.param("/thread", 3 + 5, id="waits for a thread"),
    ],
)
def test_a_handler_that_goes_on_does_not_hold_it(start: Callable[..., Running], path: str, seconds: float) -> None:
    """After the close timeout it is cancelled; what does not end even then is left behind."""
    with start() as running, running.connect(path) as client:
        running.line("handler begun")
        running.signal(SIGTERM)
        began = time.monotonic()
        assert end_of(client) == ([], 1001)
        assert running.wait() == 0
        assert time.monotonic() - began < seconds + 15  # left alone, it would go on for ten minutes
        assert "app shut down" in running.text


def test_a_client_that_does_not_answer_the_close_frame(start: Callable[..., Running]) -> None:
    with start() as running, socket.create_connection(("127.0.0.1", running.port), DEADLINE) as client:
        client.sendall(
            b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert client.recv(1024).startswith(b"HTTP/1.1 101 ")
        running.signal(SIGTERM)
        began = time.monotonic()
        assert client.recv(1024)[:4] == b"\x88\x18\x03\xe9"
        assert running.wait() == 0
        assert time.monotonic() - began > 1.5


def test_a_client_that_connected_before_is_accepted_and_drained(start: Callable[..., Running]) -> None:
    """Between connecting and its request, nobody is turned away: another process may have the port by then."""
    with start() as running, running.connect("/endless"):
        running.line("handler begun")
        with socket.create_connection(("127.0.0.1", running.port), DEADLINE) as client:
            running.signal(SIGTERM)
            until(lambda: not _listens(running.port), "it has begun to stop")
            client.sendall(
                b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            received = b""
            while b"\x88\x18\x03\xe9the server is stopping" not in received:
                data = client.recv(1024)
                assert data, received
                received += data
            assert received.startswith(b"HTTP/1.1 101 ")
        assert running.wait() == 0


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("second", [SIGTERM, SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("first", [SIGTERM, SIGINT], ids=lambda number: number.name)
def test_a_second_signal_ends_at_once(start: Callable[..., Running], first: Signals, second: Signals) -> None:
    with start() as running, running.connect("/stubborn") as client:
        running.line("handler begun")
        running.signal(first)
        assert end_of(client)[1] == 1001
        running.signal(second)
        assert running.wait() == 128 + second
        assert "app shut down" not in running.text  # nothing in order, and so nothing that takes time
        assert "Traceback" not in running.text


def test_a_request_under_way_is_answered_and_health_says_503(start: Callable[..., Running]) -> None:
    def ask(connection: http.client.HTTPConnection, path: str) -> http.client.HTTPResponse:
        connection.request("GET", path)
        return connection.getresponse()

    with start() as running:
        slow = http.client.HTTPConnection("127.0.0.1", running.port, timeout=DEADLINE)
        balancer = http.client.HTTPConnection("127.0.0.1", running.port, timeout=DEADLINE)
        slow.request("GET", "/")
        running.line("request begun")
        before = ask(balancer, "/odac/health")
        assert (before.status, json.load(before)["status"]) == (200, "ok")
        running.signal(SIGTERM)
        running.line("waiting for")  # it has begun to stop, and waits for the request
        after = ask(balancer, "/odac/health")
        assert (after.status, json.load(after)["status"]) == (503, "unavailable")
        assert after.getheader("connection") == "close"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", running.port), DEADLINE).close()
        (running.folder / "answer").touch()
        answer = slow.getresponse()
        assert answer.read() == b"done"
        assert running.wait() == 0
        slow.close()
        balancer.close()


def test_sockets_of_the_inner_app_are_closed(start: Callable[..., Running]) -> None:
    with start() as running, running.connect("/inner") as client:
        running.line("socket of the inner app open")
        running.signal(SIGTERM)
        assert end_of(client)[1] == 1012
        assert running.wait() == 0
        running.line("inner app told .*websocket.disconnect")


def test_stopping_does_not_wait_for_idle_connections(start: Callable[..., Running]) -> None:
    with start() as running, socket.create_connection(("127.0.0.1", running.port), DEADLINE) as silent:
        idle = http.client.HTTPConnection("127.0.0.1", running.port, timeout=DEADLINE)
        idle.request("GET", "/odac/health")
        idle.getresponse().read()
        assert running.stop() == 0
        assert "waiting for" not in running.text
        assert silent.recv(1) == b""
        idle.close()


def test_ctrl_c_while_the_app_is_imported(tmp_path: Path) -> None:
    source = "import time\nprint('importing', flush=True)\ntime.sleep(600)\n"
    with Running(tmp_path, source, ready=False) as running:
        running.line("importing")
        assert running.stop(SIGINT) == 130
        assert "Traceback" not in running.text


# ---- reload


def test_reload(start: Callable[..., Running]) -> None:
    """A change starts the app again on the same port; neither an open connection nor a handler without end delays it."""
    with start("--reload") as running, running.connect("/endless") as client, running.connect("/echo", **V1) as other:
        assert "wait" not in running.text
        changed = APP.replace('odac.ws.on("message", odac.ws.send)', 'odac.ws.send("changed")')
        (running.folder / "app.py").write_text(changed)
        running.line(r"changed: app\.py")
        assert end_of(client)[1] == 1001
        assert end_of(other)[1] == 1001
        with running.connect("/echo") as again:
            assert again.recv(DEADLINE) == "changed"
        (running.folder / "app.py").write_text(changed + "\nbroken(")
        running.line(r"SyntaxError")
        running.line(r"waiting for a change")
        (running.folder / "app.py").write_text(APP)
        with running.connect("/echo") as again:
            again.send("as before")
            assert again.recv(DEADLINE) == "as before"
            running.signal(SIGINT)
            assert end_of(again)[1] == 1001
        assert running.wait() == 0
        assert "Traceback" not in running.text


def test_reload_of_an_app_that_is_wrong_from_the_start(tmp_path: Path) -> None:
    with Running(tmp_path, "app = 1", "--reload", ready=False) as running:
        running.line("it must be an Odac app")
        running.line("waiting for a change")
        (tmp_path / "app.py").write_text(APP)
        running.url = running.line(r"(http://\S+) \(Ctrl-C")[1]
        with running.connect("/echo") as client:
            client.send("hello")
            assert client.recv(DEADLINE) == "hello"
        assert running.stop() == 0
