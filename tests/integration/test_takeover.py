"""Servers without options for Odac: the lane of each connection, and that the rest of the server works as before."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import trustme
import uvicorn
from fastapi import FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect, unix_connect

from odac import Odac
from odac.server import WebSocketProtocol
from tests.integration.harness import DEADLINE, Client, Server, receive

ROOT = Path(__file__).parents[2]
DIRECT, ASGI = "DirectLane", "AsgiLane"
LOOPS = ["asyncio", "uvloop"]


def made(**options: Any) -> Odac:
    """An app that tells each connection its lane."""
    app = Odac(secret="x" * 40, **options)

    @app.route.ws("/lane", token=False)
    def lane(odac: Any) -> None:
        odac.ws.on("message", odac.ws.send)
        odac.ws.send(type(odac.ws.lane).__name__)

    return app


def lane_of(server: Client, path: str = "/lane") -> Any:
    with server.connect(path) as client:
        told = receive(client)
        client.send("ping")
        assert client.recv(DEADLINE) == "ping"
        return told


def lanes(server: Client, path: str = "/lane", count: int = 3) -> list[Any]:
    return [lane_of(server, path) for _ in range(count)]


# Around, below and inside other apps


def alone(**options: Any) -> tuple[Any, str]:
    return made(**options), "/lane"


def around_fastapi(**options: Any) -> tuple[Any, str]:
    return made(http=host(None), **options), "/lane"


def below_fastapi(**options: Any) -> tuple[Any, str]:
    app = made(**options)
    site = host(app.lifespan)
    site.mount("/rt", app)
    return site, "/rt/lane"


def below_starlette_with_middleware(**options: Any) -> tuple[Any, str]:
    async def passing(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    app = made(**options)
    layers = [Middleware(BaseHTTPMiddleware, dispatch=passing), Middleware(SessionMiddleware, secret_key="x" * 40)]
    return Starlette(routes=[Mount("/rt", app)], middleware=layers, lifespan=app.lifespan), "/rt/lane"


def host(lifespan: Any) -> FastAPI:
    site = FastAPI(lifespan=lifespan)

    @site.get("/page")
    def page() -> dict[str, str]:
        return {"page": "here"}

    @site.websocket("/own")
    async def own(ws: WebSocket) -> None:
        await ws.accept(subprotocol="mine" if "mine" in ws.scope["subprotocols"] else None)
        async for text in ws.iter_text():
            if text == "bye":
                await ws.close(4321, "as you wish")
                return
            await ws.send_json({"got": text, "state": sorted(ws.scope["state"])})

    return site


APPS: list[Callable[..., tuple[Any, str]]] = [alone, around_fastapi, below_fastapi, below_starlette_with_middleware]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("build", APPS, ids=lambda build: build.__name__)
def test_every_connection_has_the_direct_lane(build: Any, http: Any, loop: Any) -> None:
    app, path = build()
    with Server(app, plain=True, loop=loop, http=http) as server:
        assert lanes(server, path) == [DIRECT] * 3


@pytest.mark.parametrize("build", APPS, ids=lambda build: build.__name__)
def test_an_app_may_leave_the_server_unchanged(build: Any) -> None:
    app, path = build(takeover=False)
    with Server(app, plain=True) as server:
        assert lanes(server, path, 2) == [ASGI] * 2
        assert server.call(lambda: server.ws_class.__module__).startswith("uvicorn.")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("build", APPS, ids=lambda build: build.__name__)
def test_without_a_lifespan_all_connections_but_the_first_have_it(build: Any, loop: Any) -> None:
    app, path = build()
    with Server(app, plain=True, loop=loop, lifespan="off") as server:
        assert lanes(server, path) == [ASGI, DIRECT, DIRECT]


def test_a_request_that_reaches_the_app_is_enough_without_a_lifespan() -> None:
    with Server(made(), plain=True, lifespan="off") as server:
        assert server.http("GET", "/odac/health").status == 200
        assert lanes(server) == [DIRECT] * 3


def test_a_connection_that_was_accepted_before_has_it_too() -> None:
    """A browser keeps its HTTP connections, and asks for the upgrade on a new one or on one of them."""
    app, path = below_fastapi()
    with Server(app, plain=True, lifespan="off") as server, server.raw() as kept:
        kept.send(b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n")
        kept.take_until(b'{"page":"here"}')
        assert lane_of(server, path) == ASGI  # the app starts with this one
        kept.upgrade(path)
        assert kept.frame() == (1, DIRECT.encode())


def test_the_hosts_own_websockets_work_as_before() -> None:
    app, path = below_fastapi()
    with Server(app, plain=True) as server:
        assert lane_of(server, path) == DIRECT
        assert server.http("GET", "/page").json == {"page": "here"}
        with server.connect("/own", subprotocols=["mine"], compression="deflate") as client:
            assert client.subprotocol == "mine"
            assert [each.name for each in client.protocol.extensions] == ["permessage-deflate"]
            client.send("x" * 5000)
            assert receive(client)["got"] == "x" * 5000
            client.send("bye")
            with pytest.raises(Exception, match="4321"):
                client.recv(DEADLINE)
        with pytest.raises(InvalidStatus) as refused:
            server.connect("/nowhere")
        assert refused.value.response.status_code == 403


def test_options_of_the_server_hold_for_the_hosts_own_websockets() -> None:
    app, _ = below_fastapi()
    with (
        Server(app, plain=True, ws_per_message_deflate=False, ws_max_size=1000) as server,
        server.connect("/own", compression="deflate") as client,
    ):
        assert client.protocol.extensions == []
        client.send("x" * 2000)
        with pytest.raises(Exception, match="1009"):
            client.recv(DEADLINE)


@pytest.mark.parametrize("chosen", ["websockets-sansio", "wsproto"])
def test_a_class_that_was_chosen_stays(chosen: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "odac"), Server(made(), plain=True, ws=chosen) as server:
        assert lanes(server, count=2) == [ASGI] * 2
    [line] = [each for each in caplog.messages if "ASGI lane" in each]
    assert f"--ws was set to {chosen}" in line
    assert "--ws odac.server:WebSocketProtocol" in line


def test_odacs_own_class_in_the_seat_is_left_there(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, "odac"),
        Server(made(), plain=True, ws=WebSocketProtocol) as server,
    ):
        assert lanes(server, count=2) == [DIRECT] * 2
        assert server.ws_class is WebSocketProtocol
    # Other tests of the process may have left uvicorn's access log on, which names the path.
    own = [each.getMessage() for each in caplog.records if each.name.startswith("odac")]
    assert not [each for each in own if "lane" in each]


def test_no_websocket_reaches_an_app_whose_server_accepts_none(caplog: pytest.LogCaptureFixture) -> None:
    with Server(made(), plain=True, ws="none") as server:
        with pytest.raises(InvalidStatus):
            server.connect("/lane")
        assert server.http("GET", "/odac/health").status == 200
    assert any("--ws none" in each for each in caplog.messages)


def test_a_server_of_an_unknown_version_stays_as_it_is(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn, "__version__", "1.2.3")
    with Server(made(), plain=True) as server:
        assert lanes(server) == [ASGI] * 3
    [line] = [each for each in caplog.messages if "ASGI lane" in each]
    assert "uvicorn 1.2.3" in line
    assert "odac run" in line


def test_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate, key, roots = (tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem"))
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(roots)
    context = ssl.create_default_context(cafile=roots)
    with Server(made(), plain=True, ssl_certfile=str(certificate), ssl_keyfile=str(key)) as server:
        for _ in range(2):
            with connect(f"wss://localhost:{server.port}/lane", ssl=context, proxy=None) as client:
                assert receive(client) == DIRECT


def test_over_a_unix_socket(short_directory: Path) -> None:
    path = str(short_directory / "takeover.sock")
    with Server(made(), plain=True, host=None, port=0, uds=path):
        for _ in range(2):
            with unix_connect(path, "ws://localhost/lane") as client:
                assert receive(client) == DIRECT


def test_the_limit_of_concurrent_requests_still_refuses_requests() -> None:
    with Server(made(http=host(None)), plain=True, limit_concurrency=2) as server:
        with server.connect("/lane") as one:
            assert receive(one) == DIRECT
            assert server.http("GET", "/page").status == 503
        server.wait_until_empty()
        deadline = time.monotonic() + DEADLINE
        while server.http("GET", "/page").status != 200:
            assert time.monotonic() < deadline


def test_headers_of_a_trusted_proxy_are_believed() -> None:
    app = Odac(secret="x" * 40)

    @app.route.ws("/who", token=False)
    def who(odac: Any) -> None:
        odac.ws.send([type(odac.ws.lane).__name__, odac.request.ip, odac.request.secure])

    forwarded = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    with Server(app, plain=True) as server, server.connect("/who", headers=forwarded) as client:
        told = receive(client)
    assert told == [DIRECT, "203.0.113.9", True]


def test_handshakes_are_in_the_access_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "uvicorn.access"):
        logging.getLogger("uvicorn.access").propagate = True
        with Server(made(), plain=True) as server:
            assert lane_of(server) == DIRECT
            server.wait_until_empty()
    assert any('"WebSocket /lane HTTP/1.1" 101' in each for each in caplog.messages)


def test_stopping_the_server_closes_connections_and_stops_the_app() -> None:
    app = made()
    with contextlib.ExitStack() as stack:
        with Server(app, plain=True) as server:
            client = stack.enter_context(server.connect("/lane"))
            assert receive(client) == DIRECT
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(DEADLINE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code in (1001, 1012)
    assert not app.is_running


# Several apps and servers


def test_several_apps_in_one_server() -> None:
    one, two = made(), made(takeover=False)

    @contextlib.asynccontextmanager
    async def both(_: Any) -> AsyncIterator[None]:
        async with one.lifespan(), two.lifespan():
            yield

    site = Starlette(routes=[Mount("/one", one), Mount("/two", two)], lifespan=both)
    with Server(site, plain=True) as server:
        assert lanes(server, "/one/lane", 2) + lanes(server, "/two/lane", 2) == [DIRECT] * 4


def test_two_servers_on_one_event_loop_and_one_of_another_app() -> None:
    """Only the server that serves the app is touched."""

    async def other(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] != "websocket"
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan")

    first = [uvicorn.Server(_config(made())), uvicorn.Server(_config(other))]
    classes: list[Any] = []
    ready = threading.Event()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for each in first:
                group.create_task(each.serve())
            while not all(each.started for each in first):
                await asyncio.sleep(0.01)
            classes.extend(each.config.ws_protocol_class for each in first)
            ready.set()
            for each in first:
                each.should_exit = True

    asyncio.run(main())
    assert ready.is_set()
    assert issubclass(classes[0], WebSocketProtocol)
    assert not issubclass(classes[1], WebSocketProtocol)


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None)


def test_an_eager_task_finds_its_server() -> None:
    eager: Any = getattr(asyncio, "eager_task_factory", None)
    if eager is None:
        pytest.skip("not for this one: Python 3.11 begins no task at once")
    server = uvicorn.Server(_config(made()))

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(eager)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        assert issubclass(cast(type, server.config.ws_protocol_class), WebSocketProtocol)
        server.should_exit = True
        await serving

    asyncio.run(main())


# As people start them

SITE = """
    from fastapi import FastAPI
    from odac import Odac

    rt = Odac(secret="x" * 40)

    @rt.route.ws("/lane", token=False)
    def lane(odac):
        odac.ws.on("message", odac.ws.send)
        odac.ws.send(type(odac.ws.lane).__name__)

    app = FastAPI(lifespan=rt.lifespan)
    app.mount("/rt", rt)

    @app.get("/ready")
    def ready():
        return "yes"

    if __name__ == "__main__":
        import os, uvicorn
        uvicorn.run(app, fd=int(os.environ["LISTENER"]))
"""

COMMANDS = {
    "uvicorn": ["-m", "uvicorn", "main:app", "--fd", "FD"],
    "uvicorn --workers 2": ["-m", "uvicorn", "main:app", "--fd", "FD", "--workers", "2"],
    "uvicorn --reload": ["-m", "uvicorn", "main:app", "--fd", "FD", "--reload"],
    "uvicorn.run(app)": ["main.py"],
    "gunicorn, uvicorn-worker": ["-m", "gunicorn", "main:app", "-k", "uvicorn_worker.UvicornWorker", "-b", "fd://FD"],
    "gunicorn, h11": ["-m", "gunicorn", "main:app", "-k", "uvicorn_worker.UvicornH11Worker", "-b", "fd://FD"],
    "gunicorn, uvicorn.workers, 2 workers": [
        *("-m", "gunicorn", "main:app", "-k", "uvicorn.workers.UvicornWorker", "-w", "2", "-b", "fd://FD")
    ],
    "fastapi run": ["-m", "fastapi", "run", "main.py", "--port", "PORT"],
    "fastapi dev": ["-m", "fastapi", "dev", "main.py", "--port", "PORT"],
}


@pytest.fixture(params=COMMANDS)
def started(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    (tmp_path / "main.py").write_text(textwrap.dedent(SITE))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, number = listener.getsockname()[1], listener.fileno()
        line = [each.replace("PORT", str(port)).replace("FD", str(number)) for each in COMMANDS[request.param]]
        by_number = "FD" in " ".join(COMMANDS[request.param]) or request.param == "uvicorn.run(app)"
        if not by_number:
            listener.close()
        process = subprocess.Popen(
            [sys.executable, *line],
            cwd=tmp_path,
            env={**os.environ, "LISTENER": str(number), "PYTHONPATH": str(ROOT / "src"), "HOME": str(tmp_path)},
            pass_fds=(number,) if by_number else (),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    client = Client(port)
    try:
        _wait_for(process, client)
        yield client
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], client: Client) -> None:
    deadline = time.monotonic() + 2 * DEADLINE
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server has ended"
        with contextlib.suppress(OSError):
            if client.http("GET", "/ready").status == 200:
                return
        time.sleep(0.05)
    raise AssertionError("the server does not answer")


@pytest.mark.slow
def test_as_people_start_it(started: Client) -> None:
    assert lanes(started, "/rt/lane", 8) == [DIRECT] * 8
