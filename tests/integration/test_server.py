"""``odac run`` in one process: what it serves, and what it refuses before it calls the app."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM

import pytest
import trustme
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect, unix_connect

from tests.integration.running import DEADLINE, Running, until
from tests.integration.thread_clients import ThreadClients

HANDSHAKE_TIMEOUT = 2.0

APP = f"""
import asyncio
import gc

from odac import Limits, Odac

async def page(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError("no lifespan here")
    if scope["type"] == "websocket":
        await receive()
        await send({{"type": "websocket.close"}})
        return
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message.get("more_body"):
            break
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}})
    if scope["path"] == "/slow":
        await send({{"type": "http.response.body", "body": body[:1], "more_body": True}})
        await asyncio.sleep({HANDSHAKE_TIMEOUT} + 1)  # longer than anything that the server has a limit for
        body = body[1:]
    await send({{"type": "http.response.body", "body": body}})

app = Odac(http=page, limits=Limits(handshake_timeout={HANDSHAKE_TIMEOUT}, max_headers=40, max_header_bytes=4096))

@app.route.ws("/echo", token=False)
def echo(odac):
    odac.ws.on("message", odac.ws.send)

@app.route.ws("/spared", token=False)
def spared(odac):
    odac.ws.send(gc.get_freeze_count())

@app.route.ws("/whoami", token=False)
def whoami(odac):
    odac.ws.send({{"ip": odac.request.ip, "scheme": odac.request.scope["scheme"]}})
"""

HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
HELLO = b"\x81\x85\0\0\0\0hello"  # masked with zeros
HELLO_BACK = b"\x81\x05hello"


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "asyncio":
        # The current directory comes first on the module path: here, uvloop is not installed.
        (folder / "uvloop.py").write_text("raise ImportError('not here')\n")
    with Running(folder, APP, "--log-level", "debug") as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.text


class Raw:
    """A client that sends what it likes."""

    def __init__(self, running: Running) -> None:
        self._socket = socket.create_connection(("127.0.0.1", running.port), timeout=DEADLINE)
        self.received = b""

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def take_until(self, end: bytes) -> bytes:
        """What comes, up to these bytes and with them."""
        while end not in self.received:
            data = self._socket.recv(65_536)
            assert data, f"closed after {self.received!r}"
            self.received += data
        taken, self.received = self.received[: self.received.index(end) + len(end)], self.received.partition(end)[2]
        return taken

    def take_all(self) -> bytes:
        """What comes until the server closes."""
        try:
            while data := self._socket.recv(65_536):
                self.received += data
        except ConnectionResetError:
            pass
        return self.received


def answer(running: Running, request: bytes) -> bytes:
    with Raw(running) as client:
        client.send(request)
        return client.take_all()


def test_the_start_prints_the_addresses(running: Running) -> None:
    text = running.text
    assert re.search(r"^app:app on http://127\.0\.0\.1:\d+ \(Ctrl-C stops it\)$", text, re.MULTILINE), text
    assert f"client script  {running.url}/odac/odac.js" in text
    assert re.search(r"routes +/echo$", text, re.MULTILINE), text
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=DEADLINE)
    connection.request("GET", "/odac/odac.js")
    script = connection.getresponse()
    assert script.status == 200
    assert b"Odac" in script.read()
    connection.close()


def test_messages_go_back_and_forth(running: Running) -> None:
    with running.connect("/echo") as client:
        client.send("hello")
        assert client.recv(DEADLINE) == "hello"


def test_it_takes_as_many_open_files_as_it_may_have(tmp_path: Path) -> None:
    few = """
import resource
from odac import Odac

HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, HARD))  # as a shell hands it on
app = Odac()

@app.route.ws("/limit", token=False)
def limit(odac):
    odac.ws.send(resource.getrlimit(resource.RLIMIT_NOFILE)[0] == HARD)
"""
    with Running(tmp_path, few) as running:
        with running.connect("/limit") as client:
            assert client.recv(DEADLINE) == "true"
        assert running.stop() == 0


@pytest.mark.parametrize("pieces", [1, 2, 7, 10_000], ids=lambda count: f"{count} pieces")
def test_frames_right_behind_the_handshake_arrive(running: Running, pieces: int) -> None:
    """uvicorn drops what is in one segment with the handshake."""
    with Raw(running) as client:
        data = HANDSHAKE + b"\r\n" + HELLO * 3
        step = max(1, len(data) // pieces)
        for start in range(0, len(data), step):
            client.send(data[start : start + step])
        assert client.take_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        assert client.take_until(HELLO_BACK * 3) == HELLO_BACK * 3


def test_a_handshake_on_a_connection_that_has_carried_requests(running: Running) -> None:
    with Raw(running) as client:
        for _ in range(3):
            client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
            assert client.take_until(b"abc").startswith(b"HTTP/1.1 200 ")
        client.send(HANDSHAKE + b"\r\n" + HELLO)
        assert client.take_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        assert client.take_until(HELLO_BACK) == HELLO_BACK


def test_requests_in_one_segment_and_in_pieces(running: Running) -> None:
    one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    with Raw(running) as client:
        client.send(one * 5 + one[:20])
        for _ in range(5):
            assert client.take_until(b"abc").startswith(b"HTTP/1.1 200 ")
        client.send(one[20:])
        assert client.take_until(b"abc").startswith(b"HTTP/1.1 200 ")
        for byte in b"\r\n" + one:  # RFC 9112 section 2.2: an empty line before the request line is ignored
            client.send(bytes([byte]))
        assert client.take_until(b"abc").startswith(b"HTTP/1.1 200 ")


def test_a_handshake_right_behind_a_request_is_answered_after_it(running: Running) -> None:
    with Raw(running) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" + HANDSHAKE + b"\r\n" + HELLO)
        assert client.take_until(b"abc").startswith(b"HTTP/1.1 200 ")
        assert client.take_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        assert client.take_until(HELLO_BACK) == HELLO_BACK


CHUNKS = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n1;a=b\r\na\r\n02\r\nbc\r\n0\r\nT: 1\r\n\r\n"


@pytest.mark.parametrize("step", [1, 3, 10_000])
def test_requests_of_every_framing_behind_each_other(running: Running, step: int) -> None:
    data = (
        CHUNKS
        + b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        + CHUNKS
        + b"POST /?q HTTP/1.2\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\nabc"
        + b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n"
        + CHUNKS
    )
    with Raw(running) as client:
        for start in range(0, len(data), step):
            client.send(data[start : start + step])
        for _ in range(4):
            assert client.take_until(b"abc").startswith(b"HTTP/1.1 200 ")
        assert b"content-length: 0" in client.take_until(b"\r\n\r\n")
        assert client.take_until(b"abc").startswith(b"HTTP/1.1 200 ")


def test_requests_sent_ahead_cost_no_memory(running: Running) -> None:
    """One request is parsed at a time, and what comes behind it is not read while it is answered."""

    def resident() -> int:
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{running.pid}/status").read_text())[1])  # type: ignore[index]

    before = resident()
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(Raw(running))
            client._socket.setblocking(False)
            slow = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
            try:
                for _ in range(200):
                    client._socket.send(slow + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
            except BlockingIOError:
                pass
        until(lambda: running.open_files() > 10, "all are connected")
        time.sleep(0.5)
        assert resident() - before < 30_000, "KB"


def test_a_client_that_takes_no_answer_is_cut_off(running: Running) -> None:
    body = b"x" * 30_000_000
    with Raw(running) as client:
        client._socket.settimeout(HANDSHAKE_TIMEOUT * 2 + DEADLINE / 2)
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        running.line("the client read less than")
        assert len(client.take_all()) < len(body)
    with Raw(running) as client:  # one that takes it, however slowly, gets all of it
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        time.sleep(HANDSHAKE_TIMEOUT / 2)
        assert client.take_until(body[:1000] * 30_000).startswith(b"HTTP/1.1 200 ")


def test_an_absolute_target_names_the_host(running: Running) -> None:
    absolute = (
        HANDSHAKE.replace(b"GET /echo", b"GET HTTP://Site.example:80/echo?x") + b"Origin: http://site.example\r\n\r\n"
    )
    with Raw(running) as client:
        client.send(absolute + HELLO)
        assert client.take_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        assert client.take_until(HELLO_BACK) == HELLO_BACK
    assert answer(running, absolute.replace(b"site.example\r", b"127.0.0.1\r")).startswith(b"HTTP/1.1 403 ")
    for target in (b"http://x", b"https://x/a", b"http://x?q"):
        received = answer(running, b"GET %s HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n" % target)
        assert received.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "upgrade",
    [
        b"Upgrade: not-websocket\r\nConnection: Upgrade\r\n",
        b"Upgrade: websocket\r\n",
        b"Upgrade: websocket\r\nConnection: keep-alive\r\n",
    ],
)
def test_a_request_without_an_upgrade_is_an_ordinary_one(running: Running, upgrade: bytes) -> None:
    one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n" + upgrade + b"\r\nabc"
    with Raw(running) as client:
        client.send(one * 2)
        for _ in range(2):
            assert client.take_until(b"abc").startswith(b"HTTP/1.1 200 ")
    over_1_0 = answer(running, HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"/echo", b"/") + b"\r\n")
    assert over_1_0.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "request_", [HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.2"), HANDSHAKE.replace(b"127.0.0.1", b"example.com:")]
)
def test_unusual_handshakes_that_are_valid(running: Running, request_: bytes) -> None:
    with Raw(running) as client:
        client.send(request_ + b"\r\n")
        assert client.take_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = b"x" * 4097
MANY = b"".join(b"h%d: v\r\n" % index for index in range(41))


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, id="one-word"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", 400, id="TLS-to-plain-port"),
        pytest.param(b"GET /\r\n\r\n", 400, id="no-version"),
        pytest.param(b"GET  / HTTP/1.1\r\n\r\n", 400, id="two-spaces"),
        pytest.param(b"GET / HTTP/1.1\nHost: x\n\n", 400, id="bare-LF"),
        pytest.param(b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, id="HTTP/2.0"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, id="HTTP/2-preface"),
        pytest.param(b"GET / HTTP/1.1\r\nHost x\r\n\r\n", 400, id="header-without-colon"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400, id="folded-header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, id="space-before-colon"),
        pytest.param(b"GET /" + LONG + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, id="long-path"),
        pytest.param(b"GET /" + LONG, 414, id="long-path-unfinished"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\na: " + LONG + b"\r\n\r\n", 431, id="long-header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\na: " + LONG, 431, id="long-header-unfinished"),
        pytest.param(b"GET / HTTP/1.1\r\n" + MANY + b"\r\n", 431, id="many-headers"),
        pytest.param(b"GET / HTTP/1.1\r\n" + MANY, 431, id="many-headers-unfinished"),
        pytest.param(HANDSHAKE + MANY + b"\r\n", 431, id="handshake-many-headers"),
        pytest.param(HANDSHAKE + b"a: " + LONG + b"\r\n\r\n", 431, id="handshake-long-header"),
        pytest.param(HANDSHAKE.replace(b"GET", b"POST") + b"\r\n", 405, id="handshake-POST"),
        pytest.param(HANDSHAKE.replace(b"13", b"8") + b"\r\n", 426, id="handshake-version-8"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no-Host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n", 400, id="two-Hosts"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a/b@c\r\n\r\n", 400, id="malformed-Host"),
        pytest.param(b"GET http://a@b/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="malformed-authority"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, id="gzip"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400, id="gzip-last"),
        pytest.param(b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 400, id="chunked-in-1.0"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
            400,
            id="both-framings",
        ),
        pytest.param(CHUNKED + b"zz\r\n", 400, id="no-chunk-size"),
        pytest.param(re.sub(rb"Sec-WebSocket-Key.*\r\n", b"", HANDSHAKE) + b"\r\n", 400, id="handshake-no-key"),
        pytest.param(HANDSHAKE.replace(b"/echo", b"/nowhere") + b"\r\n", 403, id="handshake-that-the-app-declines"),
    ],
)
def test_what_is_refused(running: Running, request_: bytes, status: int) -> None:
    received = answer(running, request_)
    assert received.startswith(b"HTTP/1.1 %d " % status), received[:200]
    assert b"\r\nconnection: close\r\n" in received.lower()
    with running.connect("/echo") as client:
        client.send("still there")
        assert client.recv(DEADLINE) == "still there"


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, id="one-word"),
        pytest.param(b"GET / HTTP/1.1\r\n" + MANY + b"\r\n", 431, id="many-headers"),
        pytest.param(HANDSHAKE.replace(b"13", b"8") + b"\r\n", 426, id="handshake-version-8"),
    ],
)
def test_what_comes_behind_a_refused_request_is_not_answered(running: Running, refused: bytes, status: int) -> None:
    further = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert answer(running, further).startswith(b"HTTP/1.1 200 ")
    with Raw(running) as client:
        client.send(refused + further)
        first = client.take_until(b"\r\n\r\n")
        client.send(further)
        rest = client.take_all()
    assert first.startswith(b"HTTP/1.1 %d " % status)
    assert re.search(rb"HTTP/1\.1 [0-9]", rest) is None


def test_refused_requests_fill_no_log(running: Running) -> None:
    before = running.text.count("was refused")
    for number in range(30):
        with Raw(running) as client:
            client.send(b"nonsense\r\n\r\n" if number % 2 else HANDSHAKE.replace(b"Host: 127.0.0.1\r\n", b"") + b"\r\n")
            assert client.take_all().startswith(b"HTTP/1.1 400 ")
    running.line("was refused")
    assert running.text.count("was refused") - before <= 10


def test_the_answer_reaches_a_client_that_still_sends(running: Running) -> None:
    """Closing while there are bytes to read would reset the connection, and take the answer with it."""
    with Raw(running) as client:
        client.send(b"GET / HTTP/1.1\r\n" + b"".join(b"h%d: v\r\n" % index for index in range(20_000)))
        assert client.take_until(b"(max_header_bytes)").startswith(b"HTTP/1.1 431 ")


def test_small_chunks_and_trailers(running: Running) -> None:
    with Raw(running) as client:
        client.send(CHUNKED)
        for _ in range(3000):
            client.send(b"1\r\na\r\n")
        client.send(b"0\r\nX-Trailer: t\r\n\r\n")
        assert client.take_until(b"a" * 3000).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("part", [b"0\r\nX: " + b"x" * 5000, b"5;" + b"e" * 5000, b"0\r\n" + b"a: b\r\n" * 1000])
def test_endless_trailers_and_extensions_are_refused(running: Running, part: bytes) -> None:
    """The parser would keep a header without end for as long as it grows."""
    with Raw(running) as client:
        client.send(CHUNKED)
        client.send(part)
        with contextlib.suppress(OSError):
            for _ in range(10_000):
                client.send(part[-1000:])
        assert client.take_all()[:13] in (b"HTTP/1.1 400 ", b""), "the answer may be lost, as the client still sends"


@pytest.mark.parametrize(
    "kind",
    [
        "nothing",
        "half a request line",
        "half a handshake",
        "a byte at a time",
        "half of a second request",
        "empty lines",
        "empty lines behind a request",
        "half of a body",
        "a body a byte at a time",
    ],
)
def test_slow_clients_are_closed_in_time(running: Running, kind: str) -> None:
    """From the first byte on, in all: a byte now and then does not buy more time."""
    clients = 50
    until(lambda: running.open_files() < 40, "files of earlier tests are closed")
    before = running.open_files()
    raw = [Raw(running) for _ in range(clients)]
    ended = threading.Event()
    started = time.monotonic()
    try:
        if kind == "half a request line":
            for client in raw:
                client.send(b"GET /ec")
        elif kind == "half a handshake":
            for client in raw:
                client.send(HANDSHAKE)
        elif kind == "half of a second request":
            for client in raw:
                client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
                client.take_until(b"abc")
            started = time.monotonic()
            for client in raw:
                client.send(b"POST / HTTP/1.1\r\nHo")
        elif kind == "half of a body":
            for client in raw:
                client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\nabc")
        else:
            begun, drops = {
                "nothing": (b"", b""),
                "a byte at a time": (b"", HANDSHAKE),
                "empty lines": (b"", b"\r\n" * 100),
                "empty lines behind a request": (
                    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
                    b"\r\n" * 100,
                ),
                "a body a byte at a time": (CHUNKED, b"1\r\na\r\n" * 100),
            }[kind]
            for client in raw if begun else ():
                client.send(begun)
                if kind.startswith("empty"):
                    client.take_until(b"abc")
            started = time.monotonic()
            threading.Thread(target=_drip, args=(raw, drops, ended)).start()
        for client in raw:
            assert client.take_all() == b""
        took = time.monotonic() - started
        assert took <= HANDSHAKE_TIMEOUT + 1 + DEADLINE / 2, f"{took:.2f} s"
        assert took >= HANDSHAKE_TIMEOUT * 0.9
        until(lambda: running.open_files() <= before, "file descriptors are back at the baseline")
    finally:
        ended.set()
        for client in raw:
            client.__exit__()


def test_a_request_may_take_any_time_to_be_answered(running: Running) -> None:
    with Raw(running) as client:
        for _ in range(2):
            client.send(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
            assert client.take_until(b"abc").startswith(b"HTTP/1.1 200")


def test_a_body_that_keeps_coming_may_take_its_time(running: Running) -> None:
    with Raw(running) as client:
        client.send(CHUNKED)
        begun = time.monotonic()
        size = 0
        while time.monotonic() - begun < 2.5 * HANDSHAKE_TIMEOUT:
            client.send(b"1f4\r\n" + b"a" * 500 + b"\r\n")
            size += 500
            time.sleep(0.2)
        client.send(b"0\r\n\r\n")
        assert client.take_until(b"a" * size).startswith(b"HTTP/1.1 200 ")


def _drip(clients: list[Raw], drops: bytes, ended: threading.Event) -> None:
    for index in range(len(drops)):
        for client in clients:
            try:
                client.send(drops[index : index + 1])
            except OSError:
                return
        if ended.wait(0.2):
            return


def test_a_thousand_bytes_at_once_cost_no_more_in_single_bytes(running: Running) -> None:
    with Raw(running) as client:
        client._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in HANDSHAKE + b"cookie: " + b"c" * 1000 + b"\r\n\r\n" + HELLO:
            client.send(bytes([byte]))
        assert client.take_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        assert client.take_until(HELLO_BACK) == HELLO_BACK


@pytest.mark.parametrize("messages", [100, 101], ids=["at the limit", "past it"])
def test_a_close_frame_counts_when_the_rate_limit_is_reached(running: Running, messages: int) -> None:
    """The closing handshake is over at once, not when its time is."""
    with Raw(running) as client:
        client.send(HANDSHAKE + b"\r\n")
        client.take_until(b"\r\n\r\n")
        begun = time.monotonic()
        client.send(HELLO * messages + b"\x88\x82\0\0\0\0\x03\xe8")
        code = client.take_all().removeprefix(HELLO_BACK * 100)[2:4]
        assert int.from_bytes(code) == (1000 if messages == 100 else 1008)
        assert time.monotonic() - begun < 9  # close_timeout is 10


# ---- other ways to listen


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_tls(tmp_path: Path, authority: trustme.CA) -> None:
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with Running(tmp_path, APP, "--ssl-certfile", "both.pem") as running, ThreadClients(trust) as clients:
        assert running.url.startswith("https://")
        url = f"wss{running.url.removeprefix('https')}"
        assert json.loads(clients.open(f"{url}/whoami").recv(DEADLINE))["scheme"] == "wss"
        # One that never finishes its TLS handshake has no more time than one that never finishes its request.
        with Raw(running) as silent:
            begun = time.monotonic()
            silent.send(b"\x16\x03\x01")
            silent.take_all()
            assert time.monotonic() - begun < HANDSHAKE_TIMEOUT + DEADLINE
        client = clients.open(f"{url}/echo")
        running.stop()
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(DEADLINE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Running(tmp_path, APP, "--uds", str(path)) as running:
        assert f"unix:{path}" in running.text
        with unix_connect(str(path), "ws://localhost/echo") as client:
            client.send("hello")
            assert client.recv(DEADLINE) == "hello"
        assert running.stop() == 0
        assert not path.exists()


def test_the_socket_of_a_server_that_crashed_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Running(tmp_path, APP, "--uds", str(path)) as running:
        running.process.kill()
        running.wait()
        assert path.exists()
    with Running(tmp_path, APP, "--uds", str(path)) as running:
        with unix_connect(str(path), "ws://localhost/echo"):
            pass
        with Running(tmp_path, "", "--uds", str(path), ready=False) as second:
            assert second.wait() == 1
            assert "in use" in second.text


@pytest.mark.parametrize(
    ("arguments", "ip", "scheme"),
    [
        pytest.param((), "127.0.0.1", "ws", id="off"),
        pytest.param(("--proxy-headers",), "198.51.100.7", "wss", id="on"),
        pytest.param(("--proxy-headers", "--forwarded-allow-ips", "192.0.2.1"), "127.0.0.1", "ws", id="untrusted-peer"),
        pytest.param(("--proxy-headers", "--forwarded-allow-ips", "127.0.0.0/8"), "198.51.100.7", "wss", id="network"),
    ],
)
def test_proxy_headers(tmp_path: Path, arguments: tuple[str, ...], ip: str, scheme: str) -> None:
    headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7", "X-Forwarded-Proto": "https"}
    with (
        Running(tmp_path, APP, *arguments) as running,
        connect(f"ws{running.url.removeprefix('http')}/whoami", additional_headers=headers) as client,
    ):
        assert json.loads(client.recv(DEADLINE)) == {"ip": ip, "scheme": scheme}


def test_what_lives_as_long_as_the_process_is_not_collected_again(running: Running) -> None:
    with running.connect("/spared") as client:
        assert int(client.recv(DEADLINE)) > 10_000


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_app_whose_start_up_fails(tmp_path: Path, workers: str) -> None:
    source = """
from contextlib import asynccontextmanager
from odac import Odac
from starlette.applications import Starlette

@asynccontextmanager
async def lifespan(app):
    raise RuntimeError("the database is not there")
    yield

app = Odac(http=Starlette(lifespan=lifespan))
"""
    with Running(tmp_path, source, "--workers", workers, ready=False) as running:
        assert running.wait() == 1
        assert "odac: the app's start-up failed: RuntimeError: the database is not there" in running.text
        assert 'app.py, line 8: raise RuntimeError("the database is not there")' in running.text
        assert "Traceback" not in running.text


def test_the_access_log_is_off_unless_asked_for(tmp_path: Path) -> None:
    for arguments, lines in ((), 0), (("--access-log",), 1):
        with Running(tmp_path, APP, *arguments) as running:
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=DEADLINE)
            connection.request("GET", "/odac/health?x=1")
            assert connection.getresponse().read()
            connection.close()
            assert running.stop() == 0
            assert len(re.findall(r'"GET /odac/health\?x=1 HTTP/1\.1" 200', running.text)) == lines


def test_the_access_log_has_the_answer_to_each_handshake_and_the_end_of_each_connection(tmp_path: Path) -> None:
    app = APP.replace(
        'await send({"type": "websocket.close"})',
        """
        if scope["path"] == "/inner":
            await send({"type": "websocket.accept"})
            await receive()
            return
        await send({"type": "websocket.close"})""",
    )
    with Running(tmp_path, app, "--access-log") as running:
        with running.connect("/echo?token=secret") as client:
            client.close(4321)
        with running.connect("/inner?token=secret") as client:
            client.close(4322)
        with pytest.raises(InvalidStatus):
            running.connect("/%1b[31mnowhere?token=secret")
        with pytest.raises(InvalidStatus):
            running.connect("/echo", origin="https://evil.example")
        for line in (
            r'127\.0\.0\.1:\d+ "WebSocket /echo HTTP/1\.1" 101 Switching Protocols$',
            r'"WebSocket closed /echo HTTP/1\.1" 4321 ?$',
            r'"WebSocket /inner HTTP/1\.1" 101 Switching Protocols$',
            r'"WebSocket closed /inner HTTP/1\.1" 4322 ?$',
            r'"WebSocket /\\x1b\[31mnowhere HTTP/1\.1" 403 Forbidden$',
            r'"WebSocket /echo HTTP/1\.1" 403 Forbidden$',
        ):
            running.line(line)
        assert running.stop() == 0
        assert "secret" not in running.text
    with Running(tmp_path, app) as running:
        with running.connect("/echo"):
            pass
        assert running.stop() == 0
        assert "WebSocket " not in running.text


def test_modules_of_the_app_named_as_pythons_own(tmp_path: Path) -> None:
    """They come first for what is imported later, and do not keep a worker from starting."""
    (tmp_path / "selectors.py").write_text("raise RuntimeError('the wrong one')")
    for workers in ("1", "2"):
        with Running(
            tmp_path, APP, command=("-P", "-m", "odac", "run", "app:app", "--port", "0", "--workers", workers)
        ) as running:
            assert running.stop() == 0


def test_both_protocols_in_uvicorn_itself(tmp_path: Path) -> None:
    """Without ``odac run``: as uvicorn's own options name them."""
    classes = ("--http", "odac.server:HttpProtocol", "--ws", "odac.server:WebSocketProtocol")
    command = ("-m", "uvicorn", *classes, "--port", "0", "app:app")
    with Running(tmp_path, APP, command=command, ready=False) as running:
        running.url = running.line(r"running on (http://\S+)")[1]
        assert answer(running, b"GET / HTTP/2.0\r\n\r\n").startswith(b"HTTP/1.1 505 ")
        with Raw(running) as idle:
            idle.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
            assert idle.take_until(b"abc").startswith(b"HTTP/1.1 200 ")
            with running.connect("/echo") as client:
                client.send("hello")
                assert client.recv(DEADLINE) == "hello"
                running.signal(SIGTERM)
                with pytest.raises(ConnectionClosed) as closed:
                    client.recv(DEADLINE)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1001
        running.wait()


def test_run_from_a_program(tmp_path: Path) -> None:
    """``odac.server.run(app)``, with the object itself; it returns after an orderly stop."""
    source = APP + (
        "\nif __name__ == '__main__':\n    from odac.server import run\n    run(app, port=0)\n    print('returned')\n"
    )
    (tmp_path / "program.py").write_text(source)
    starter = "import runpy, sys; runpy.run_path('program.py', run_name='__main__')"
    with Running(tmp_path, "", target="unused", ready=False, command=("-c", starter)) as running:
        url = running.line(r"on (http://\S+)")[1]
        with connect(f"ws{url.removeprefix('http')}/echo") as client:
            client.send("hello")
            assert client.recv(DEADLINE) == "hello"
        assert running.stop() == 0
        assert "returned" in running.text
