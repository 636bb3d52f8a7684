"""An app on a real server in a thread, clients for it, and a record of what its handlers report."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Literal, TypeVar

import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from odac import Odac
from odac.server import HttpProtocol, WebSocketProtocol
from odac.wire.frames import encode_masked_frame
from tests.integration.thread_clients import ThreadClient

T = TypeVar("T")
H = TypeVar("H", bound=Callable[..., Any])

DEADLINE = 30.0
"""Seconds after which a test that waits for something has failed; none of them waits for time to pass."""

KEY = "dGhlIHNhbXBsZSBub25jZQ=="

BYSTANDER = "/bystander"

Lane = Literal["direct", "asgi"]
Loop = Literal["asyncio", "uvloop"]


class Probe:
    """Events in the server's thread, in their order, for the test's thread."""

    def __init__(self) -> None:
        self._told: defaultdict[str, SimpleQueue[Any]] = defaultdict(SimpleQueue)

    def __call__(self, name: str, value: object = None) -> None:
        """Report an event."""
        self._told[name].put(value)

    def get(self, name: str, timeout: float = DEADLINE) -> Any:
        """Wait for the next event of this name; return its value."""
        try:
            return self._told[name].get(timeout=timeout)
        except Empty:
            raise AssertionError(f"{name!r} did not happen in {timeout} s") from None

    def take(self, name: str, count: int) -> list[Any]:
        """Wait for the next ``count`` events of this name."""
        return [self.get(name) for _ in range(count)]

    def so_far(self, name: str) -> list[Any]:
        """The reported events of this name that were not taken."""
        found = []
        while not self._told[name].empty():
            found.append(self._told[name].get())
        return found

    def clear(self) -> None:
        self._told.clear()


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class OpenRoutes:
    """``app.route.ws`` for routes without a token: ``@ws("/echo")``. It adds the bystander's route.

    Args:
        app: to which the routes are added.
        options: of every route.
    """

    def __init__(self, app: Odac, **options: Any) -> None:
        self._app = app
        self._options = options
        app.route.ws(BYSTANDER, lambda odac: odac.ws.on("message", odac.ws.send), token=False)

    def __call__(self, path: str, **options: Any) -> Callable[[H], H]:
        def register(handler: H) -> H:
            self._app.route.ws(path, handler, **{"token": False, **self._options, **options})
            return handler

        return register


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready.set()


class Client:
    """Connects to a server, with an independent client library or raw bytes.

    Args:
        port: of the server.
    """

    host = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self.port = port
        self._token: tuple[str, str] | None = None

    def connect(
        self,
        path: str,
        *,
        token: bool = False,
        v1: bool = False,
        subprotocols: Sequence[str] = (),
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> ClientConnection:
        """A connection of the independent client library.

        Args:
            path: with its query, if any.
            token: whether to offer a valid token, with the cookie that it belongs to.
            v1: whether to offer ``odac.v1``.
            subprotocols: to offer as well.
            headers: of the handshake.
            options: of ``websockets.sync.client.connect``.
        """
        offered = ["odac.v1"] * v1 + list(subprotocols)
        extra = dict(headers or {})
        if token:
            value, cookie = self.token()
            offered.append(f"odac-token-{value}")
            extra.setdefault("Cookie", cookie)
        settings: dict[str, Any] = {
            "compression": None,
            "ping_interval": None,
            "open_timeout": DEADLINE,
            "close_timeout": DEADLINE,
            "max_size": None,
            "proxy": None,
            "user_agent_header": None,
            "additional_headers": extra,
            **options,
        }
        if offered:
            settings["subprotocols"] = offered
        client: ClientConnection = connect(f"ws://{self.host}:{self.port}{path}", **settings)
        return client

    def token(self) -> tuple[str, str]:
        """A token, and the cookie of the session that it is bound to; the same for the server's whole life."""
        if self._token is None:
            answer = self.http("GET", "/odac/token")
            assert answer.status == 200
            self._token = answer.json["token"], answer.headers["set-cookie"].partition(";")[0]
        return self._token

    def http(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Answer:
        """An HTTP request and its answer."""
        with contextlib.closing(http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE)) as connection:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def raw(self, **options: Any) -> Raw:
        """A bare TCP connection."""
        return Raw(self.host, self.port, **options)


class Server(Client):
    """uvicorn in a thread, on a port that the system chose.

    Args:
        app: any ASGI app.
        lane: ``direct``: Odac's protocol class in ``ws=``; ``asgi``: one of uvicorn's.
        loop: the event loop.
        probe: what the app's handlers tell.
        plain: the direct lane without being asked: no class in ``ws=`` or ``http=``, and uvicorn's own defaults.
        config: further options of ``uvicorn.Config``. Nothing is put around the app, as under ``odac run``.
    """

    def __init__(
        self,
        app: Any,
        *,
        lane: Lane = "direct",
        loop: Loop = "asyncio",
        probe: Probe | None = None,
        plain: bool = False,
        **config: Any,
    ) -> None:
        super().__init__(0)
        self.app = app
        self.lane = lane
        self.probe = probe or Probe()
        ws_class: Any = WebSocketProtocol if lane == "direct" else "websockets-sansio"
        own: dict[str, Any] = {
            "host": self.host,
            "port": 0,
            "log_config": None,
            "lifespan": "on",
            "proxy_headers": False,
            "ws": ws_class,
        }
        if plain:
            own = {"host": self.host, "port": 0, "log_config": None}
        elif lane == "direct":
            own["http"] = HttpProtocol
        options = own | config
        self._server = _Uvicorn(uvicorn.Config(app, loop=loop, **options))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._server.run()
        finally:
            self._server.ready.set()

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._server.ready.wait(DEADLINE), "the server does not start"
        assert self._server.started, "the server has failed to start"
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(2 * DEADLINE)
        assert not self._thread.is_alive(), "the server does not stop"

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The server's event loop."""
        assert self._server.loop is not None
        return self._server.loop

    @property
    def ws_class(self) -> Any:
        """The protocol class that takes WebSockets now."""
        return self._server.config.ws_protocol_class

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the server's thread, as a callback of its loop."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(DEADLINE)

    def standstill(self, name: str) -> Any:
        """The last reported event of this name, once its handler reports no more."""
        last = self.probe.get(name)
        while True:
            try:
                last = self.probe.get(name, timeout=0.3)
            except AssertionError:
                # A busy machine may have held up the server that long: what can go on does so in its loop's next turns.
                for _ in range(20):
                    self.call(lambda: None)
                if not (more := self.probe.so_far(name)):
                    return last
                last = more[-1]

    def wait_until_empty(self) -> None:
        """Wait until the app, if it is Odac's, has no connection left."""
        if isinstance(self.app, Odac):
            hub, deadline = self.app._hub, time.monotonic() + DEADLINE
            while left := self.call(lambda: (hub.population, len(hub.connections), sorted(hub.open_rooms))):
                if left == (0, 0, []):
                    return
                assert time.monotonic() < deadline, f"connections and rooms stay behind: {left}"
                time.sleep(0.001)


class Raw:
    """A client that can send anything, valid or not."""

    def __init__(self, host: str, port: int, *, receive_buffer: int | None = None) -> None:
        self._host = f"{host}:{port}"
        self._socket = socket.socket()
        self._socket.settimeout(DEADLINE)
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.connect((host, port))
        self._received = b""

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def close(self) -> None:
        """Close the TCP connection with FIN, without a close frame."""
        self._socket.close()

    def reset(self) -> None:
        """Close the TCP connection with RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send_frame(self, opcode: int, payload: bytes, *, fin: bool = True) -> None:
        self.send(encode_masked_frame(opcode, payload, b"\x01\x02\x03\x04", fin=fin))

    def handshake(self, path: str, *lines: str, without: Sequence[str] = (), method: str = "GET") -> None:
        """Send a handshake, with further header lines and without others."""
        usual = {
            "host": f"Host: {self._host}",
            "upgrade": "Upgrade: websocket",
            "connection": "Connection: Upgrade",
            "key": f"Sec-WebSocket-Key: {KEY}",
            "version": "Sec-WebSocket-Version: 13",
        }
        kept = [line for name, line in usual.items() if name not in without]
        self.send("\r\n".join([f"{method} {path} HTTP/1.1", *kept, *lines, "", ""]).encode("latin-1"))

    def upgrade(self, path: str, *lines: str) -> None:
        """Send a handshake, and return when the connection is open."""
        self.handshake(path, *lines)
        status, _ = self.answer()
        assert status == 101, status

    def answer(self) -> tuple[int, dict[str, str]]:
        """The status and the headers of an HTTP answer; its body is not read."""
        while b"\r\n\r\n" not in self._received:
            self._receive()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split()[1]), headers

    def take_until(self, end: bytes) -> bytes:
        """Read up to these bytes, and return all including them."""
        while end not in self._received:
            self._receive()
        taken, found, self._received = self._received.partition(end)
        return taken + found

    def frame(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload."""
        self._need(2)
        length, start = self._received[1] & 0x7F, 2
        if length >= 126:
            start = 4 if length == 126 else 10
            self._need(start)
            length = int.from_bytes(self._received[2:start], "big")
        self._need(start + length)
        opcode, payload = self._received[0] & 0x0F, self._received[start : start + length]
        self._received = self._received[start + length :]
        return opcode, payload

    def close_code(self) -> int | None:
        """The code in the next close frame; None if the connection ends without one."""
        try:
            opcode, payload = self.frame()
        except ConnectionError:
            return None
        assert opcode == 8, (opcode, payload)
        return int.from_bytes(payload[:2], "big")

    def ends(self) -> bool:
        """Wait until the server has ended the connection."""
        with contextlib.suppress(ConnectionError):
            while True:
                self._receive()
        return True

    def _need(self, count: int) -> None:
        while len(self._received) < count:
            self._receive()

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server has ended the connection")
        self._received += data


def receive(client: ClientConnection | ThreadClient) -> Any:
    """The next message: JSON is parsed, other text and binary are returned as they are."""
    message = client.recv(DEADLINE)
    try:
        return json.loads(message) if isinstance(message, str) else message
    except ValueError:
        return message


def receive_all(client: ClientConnection, count: int) -> list[Any]:
    """The next ``count`` messages."""
    return [receive(client) for _ in range(count)]


def closing(client: ClientConnection) -> tuple[int | None, str]:
    """Wait for the connection's end, without a message before it: the code and the reason that the server sent."""
    try:
        message = client.recv(DEADLINE)
    except ConnectionClosed as error:
        return (error.rcvd.code, error.rcvd.reason) if error.rcvd is not None else (None, "")
    raise AssertionError(f"a message in front of the end: {message!r}")


def handshake_status(server: Client, path: str, *lines: str, **options: Any) -> int:
    """The HTTP status that answers a handshake."""
    with server.raw() as raw:
        raw.handshake(path, *lines, **options)
        return raw.answer()[0]


@contextlib.contextmanager
def everybody(*clients: ClientConnection) -> Iterator[tuple[ClientConnection, ...]]:
    """Close several clients at the end."""
    with contextlib.ExitStack() as stack:
        yield tuple(stack.enter_context(client) for client in clients)
