"""The ASGI lane under other servers, and uvicorn's other WebSocket classes: the same behaviour, as far as these servers
allow it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from odac.close_codes import CloseCode, is_retryable
from tests.integration.harness import DEADLINE, Client, closing, everybody, receive, receive_all

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
START = 20.0
"""Seconds that a server may take to start, with its imports, on a busy machine."""
HYPERCORNS_GRACE = 3.0
"""Seconds: the default of its ``--graceful-timeout``."""


def command(kind: str, listener: socket.socket) -> list[str]:
    """The command line of a server for an open socket, or for its port where the server wants to open its own."""
    app = "tests.integration.served:app"
    host, port = listener.getsockname()
    arguments = {
        "hypercorn": ["hypercorn", app, "--bind", f"fd://{listener.fileno()}", "--log-level", "warning"],
        "granian": [
            "granian",
            app,
            "--interface",
            "asgi",
            "--host",
            host,
            "--port",
            str(port),
            "--log-level",
            "warning",
        ],
        "daphne": ["daphne", app, "--fd", str(listener.fileno()), "--verbosity", "0"],
        "websockets": ["uvicorn", app, "--fd", str(listener.fileno()), "--ws", "websockets", "--log-level", "warning"],
        "wsproto": ["uvicorn", app, "--fd", str(listener.fileno()), "--ws", "wsproto", "--log-level", "warning"],
    }[kind]
    return [sys.executable, "-m", *arguments]


_WRONG = ("Exception in ASGI application", "closing handshake failed", "never retrieved", "never awaited")
"""What uvicorn and asyncio log where the lane asks for something that may not be."""


KINDS = ["hypercorn", "granian", "daphne", "websockets", "wsproto"]


@contextlib.contextmanager
def running(kind: str, folder: Path) -> Iterator[tuple[Client, subprocess.Popen[bytes]]]:
    log = folder / "log"
    if kind != "daphne" and os.name == "nt":
        pytest.skip("no sockets to hand over")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        line = command(kind, listener)
        if kind == "granian":
            listener.close()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        handed = () if kind == "granian" else (listener.fileno(),)
        with log.open("wb") as output:
            process = subprocess.Popen(line, cwd=ROOT, env=environment, pass_fds=handed, stderr=output)
    try:
        client = Client(port)
        wait_for(process, client)
        yield client, process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert not [line for line in log.read_text().splitlines() if any(each in line for each in _WRONG)]


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(request.param, tmp_path_factory.mktemp(request.param)) as (client, _):
        yield client


def wait_for(process: subprocess.Popen[bytes], client: Client) -> None:
    """Until the server answers."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server has ended"
        try:
            if client.http("GET", "/odac/health").status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the server does not answer")


def test_every_kind_of_message(server: Client) -> None:
    with server.connect("/kinds") as client:
        assert [client.recv(DEADLINE) for _ in range(3)] == ['{"a":1}', "text", b"binary"]


@pytest.mark.parametrize("size", [0, 125, 126, 70_000, 900_000])
def test_an_async_echo(server: Client, size: int) -> None:
    with server.connect("/iterate") as client:
        client.send('"' + "x" * size + '"')
        assert receive(client) == ["got", "x" * size]
        for number in range(50):
            client.send(str(number))
        assert receive_all(client, 50) == [["got", number] for number in range(50)]


def test_rooms_and_direct_messages_in_order(server: Client) -> None:
    with everybody(server.connect("/room/1"), server.connect("/room/2"), server.connect("/watch")) as (a, b, c):
        assert [receive(each) for each in (a, b, c)] == [{"id": 1}, {"id": 2}, "ready"]
        a.send('"data"')
        assert receive_all(a, 3) == [1, 2, 3]
        assert receive_all(b, 3) == [2, "data", 4]
        assert receive(c) == 4


def test_close_codes(server: Client) -> None:
    with server.connect("/close") as client:
        assert receive(client) == "last words"
        assert closing(client) in ((4242, "reason"), (4242, ""))  # Daphne leaves the reason out
    with server.connect("/auth") as client:
        assert closing(client)[0] == 4001
    with server.connect("/forbidden") as client:
        assert closing(client)[0] == 4003
    with server.connect("/token") as client:
        assert closing(client)[0] == 4002
    with server.connect("/raises") as client:
        client.send("x")
        assert closing(client)[0] == 1011
    # Daphne sends no such codes: a client still comes back where it should, and only there.
    with server.connect("/close/1013") as client:
        assert closing(client)[0] in (1013, 1011)
    with server.connect("/close/1008") as client:
        assert closing(client)[0] in (1008, 1000)


def test_authentication_and_tokens(server: Client) -> None:
    with server.connect("/auth", headers={"X-User": "ada"}) as client:
        assert receive(client) == {"a": 1}
    with server.connect("/token", token=True) as client:
        assert receive(client) == {"a": 1}


def test_odac_v1(server: Client) -> None:
    with server.connect("/kinds", v1=True) as client:
        assert client.subprotocol == "odac.v1"
        assert str(client.recv(DEADLINE)).startswith('\x1e["hello",')
        assert receive(client) == {"a": 1}


def test_refusals_before_the_upgrade(server: Client) -> None:
    with pytest.raises(InvalidStatus) as failure, server.connect("/nothing"):
        pass
    assert failure.value.response.status_code in (403, 404)
    with pytest.raises(InvalidStatus) as failure, server.connect("/kinds", headers={"Origin": "https://evil.example"}):
        pass
    assert failure.value.response.status_code == 403


def test_http(server: Client) -> None:
    assert server.http("GET", "/odac/odac.js").status == 200
    assert server.http("GET", "/kinds").status == 426
    assert server.http("GET", "/nothing").status == 404


@pytest.mark.parametrize("how", ["close", "reset", "close frame"])
def test_a_peer_that_leaves(server: Client, how: str) -> None:
    with server.connect("/watch") as watcher:
        assert receive(watcher) == "ready"
        with server.raw() as raw:
            raw.upgrade("/gone")
            assert raw.frame() == (1, b"ready")
            if how == "close frame":
                raw.send_frame(8, b"\x10\x01")
                assert raw.ends()  # uvicorn's older class tells of it when TCP has ended
            else:
                getattr(raw, how)()
        kind, code = receive(watcher)
        assert kind == "left"
        # What a server makes of an end without a close frame differs, and Hypercorn never tells the code of one.
        assert code in ((0x1001, 1006) if how == "close frame" else (1005, 1006))


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_stops_ends_connections_with_what_clients_come_back_after(kind: str, tmp_path: Path) -> None:
    """docs/how-to/deployment.md says which code it is. A server's own way of stopping is no final word to a client."""
    with running(kind, tmp_path) as (server, process), server.connect("/watch") as client:
        assert receive(client) == "ready"
        process.send_signal(signal.SIGTERM)
        if kind == "hypercorn" and sys.version_info >= (3, 12):
            # It awaits the server's wait_closed(), which since Python 3.12 returns only when all connections have ended.
            with pytest.raises(TimeoutError):
                client.recv(HYPERCORNS_GRACE + 2)
            client.close()
            process.wait(DEADLINE)
            return
        with pytest.raises(ConnectionClosed) as end:
            client.recv(DEADLINE)
        code = CloseCode.ABNORMAL if end.value.rcvd is None else end.value.rcvd.code
        assert is_retryable(code)
        process.wait(DEADLINE)
