"""What an echo, a delivery and a handshake cost, in calls and bytes instead of time: the same on every machine, however
busy. A test fails where a change makes one of them dearer; if the change is worth it, raise the limit and say why.

Counted are the calls of Odac's own functions, and the calls of built-in ones out of them. The limits are those of
CPython 3.11; later versions may make fewer, because a comprehension is no call there.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

import odac
from odac import Odac
from odac.config import Limits
from odac.lanes.collector import collector
from odac.lanes.direct import DirectLane
from odac.realtime import identity
from odac.realtime.connection import Connection
from odac.realtime.hub import Hub
from odac.realtime.policy import Policy
from odac.routing.router import Router
from odac.security.secret import Secrets
from odac.security.session import Sessions
from odac.security.token import Tokens
from odac.serving.protocols.http import HttpProtocol
from odac.serving.protocols.websocket import WebSocketProtocol
from odac.speedups import COMPILED
from odac.wire.frames import BINARY, TEXT, encode_masked_frame

SECRET = "0123456789abcdef0123456789abcdef"
OWN = str(Path(odac.__file__).parent)
MEMBERS = 20

LIMITS = {
    # calls of Odac's own functions and of built-in ones: with the accelerator, and without
    "echo": (4, 33),
    "echo, binary": (4, 34),
    "delivery": (0, 1),
    "message to a room": (21, 26),
    "handshake": (101, 164),
    "handshake, cookie, token and middleware": (164, 270),
    "end": (30, 26),
}
BYTES = {"idle connection": 820, "idle connection, cookie, token and middleware": 890}
"""Of Python objects, including the fake transport and the application's listener. The figures vary a little with when
sets and dicts grow.
"""


def calls(function: Callable[[], object]) -> Counter[str]:
    """The calls that a function leads to, by name."""
    found: Counter[str] = Counter()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if frame.f_code.co_filename.startswith(OWN):
            if event == "call":
                found[frame.f_code.co_qualname] += 1
            elif event == "c_call":
                found[f"built-in {getattr(argument, '__qualname__', argument)}"] += 1

    before = sys.getprofile()
    gc.disable()  # what it frees meanwhile may call functions
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
        gc.enable()
    return found


def check(name: str, found: Counter[str], times: int = 1) -> None:
    """Fail where there were more calls than may be."""
    total = found.total() / times
    most = LIMITS[name][0 if COMPILED else 1]
    listed = "\n".join(f"{count / times:6.2f} {each}" for each, count in found.most_common())
    assert total <= most, f"{name}: {total} calls, and may be {most}\n{listed}"


class FakeSocket:
    """The socket of a connection: what is written to it is gone."""

    family = socket.AF_INET

    def __init__(self, fileno: int) -> None:
        self._fileno = fileno

    def fileno(self) -> int:
        return self._fileno


class FakeTransport:
    """As much of a transport as a connection asks for."""

    __slots__ = ("info", "protocol")

    def __init__(self, fileno: int) -> None:
        address = ("127.0.0.1", 8000)
        self.info = {"socket": FakeSocket(fileno), "sockname": address, "peername": address}

    def get_extra_info(self, name: str) -> object:
        return self.info.get(name)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def set_write_buffer_limits(self, high: int, low: int) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None: ...


@pytest.fixture
def null() -> Iterator[int]:
    """A descriptor that takes all that is written."""
    fileno = os.open(os.devnull, os.O_WRONLY)
    yield fileno
    os.close(fileno)


class Rooms:
    """A hub and its connections, on a loop that does not run."""

    def __init__(self, loop: asyncio.AbstractEventLoop, null: int) -> None:
        self.limits = Limits()
        self.policy = Policy("/", self.limits)
        self.null = null
        self.hub = Hub(self.limits)
        self.hub.start(loop)

    def connect(self) -> Connection:
        transport: Any = FakeTransport(self.null)
        lane = DirectLane(transport, self.limits, None, set())
        connection = Connection(self.hub, lane, self.policy)
        lane.attach(connection)
        self.hub.add(connection)
        return connection


@pytest.fixture
def rooms(null: int) -> Iterator[Rooms]:
    loop = asyncio.new_event_loop()
    yield Rooms(loop, null)
    loop.close()


@pytest.mark.parametrize(("name", "opcode"), [("echo", TEXT), ("echo, binary", BINARY)])
def test_an_echo(rooms: Rooms, name: str, opcode: int) -> None:
    connection = rooms.connect()
    connection.on("message", connection.send)
    receive: Callable[[bytes], None] = connection.lane.data_received  # type: ignore[attr-defined]
    frame = encode_masked_frame(opcode, b'"' + b"x" * 62 + b'"', b"mask")
    receive(frame)
    check(name, calls(lambda: receive(frame)))


def test_a_delivery(rooms: Rooms) -> None:
    sender = rooms.connect().to("room")

    def cost(members: int) -> Counter[str]:
        for _ in range(members):
            rooms.connect().join("room")
        rooms.hub.delivery.flush()
        sender.send({"text": "x"})
        rooms.hub.delivery.flush()

        def once() -> None:
            sender.send({"text": "x"})
            rooms.hub.delivery.flush()

        return calls(once)

    few = cost(1)
    check("message to a room", few)
    check("delivery", cost(MEMBERS) - few, MEMBERS)


class Door:
    """An app behind its server's classes, without a server."""

    def __init__(self, null: int) -> None:
        self.null = null
        self.app = app = Odac(secret=SECRET)
        app.middleware("nothing")(lambda odac: True)

        def echo(odac: Any) -> None:
            odac.ws.on("message", odac.ws.send)

        app.route.ws("/", echo, token=False)
        app.route.use("nothing").ws("/guarded", echo)
        self.config = Config(app, http=HttpProtocol, ws=WebSocketProtocol, proxy_headers=False, access_log=False)
        self.config.load()
        self.config.loaded_app = app  # as it is under odac run
        self.state = ServerState()
        secrets = Secrets(SECRET)
        sessions = Sessions(secrets)
        session = sessions.create()
        head = (
            "GET {} HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{}\r\n"
        )
        self.bare = head.format("/", "").encode()
        self.guarded = head.format(
            "/guarded",
            f"Sec-WebSocket-Protocol: odac.v1, odac-token-{Tokens(secrets).issue(session.id)}\r\n"
            f"Cookie: {sessions.find({}, False).name}={sessions.encode(session)}\r\n",
        ).encode()

    def open(self, request: bytes) -> FakeTransport:
        """One connection, through its handshake."""
        transport: Any = FakeTransport(self.null)
        transport.protocol = HttpProtocol(self.config, self.state, {}, asyncio.get_running_loop())
        transport.protocol.connection_made(transport)
        transport.protocol.data_received(request)
        assert isinstance(transport.protocol, DirectLane)
        return cast("FakeTransport", transport)


@pytest.fixture
def as_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live connections are left out of garbage collections, as under ``odac run``."""
    monkeypatch.setattr(collector, "spares", COMPILED)
    monkeypatch.setattr(collector, "has_spared", COMPILED)


@pytest.mark.parametrize("name", ["handshake", "handshake, cookie, token and middleware"])
@pytest.mark.usefixtures("as_a_server")
def test_a_handshake_and_its_end(null: int, name: str) -> None:
    async def count() -> tuple[Counter[str], Counter[str]]:
        door = Door(null)
        await door.app.startup()
        request = door.bare if name == "handshake" else door.guarded
        identity._drawn.clear()
        identity.new_id()  # draws many ids at once: not while the calls are counted
        for _ in range(3):
            door.open(request).protocol.connection_lost(None)
        opened: list[FakeTransport] = []
        opening = calls(lambda: opened.append(door.open(request)))
        ending = calls(lambda: opened[0].protocol.connection_lost(None))
        await door.app.shutdown()
        return opening, ending

    opening, ending = asyncio.run(count())
    check(name, opening)
    check("end", ending)


@pytest.mark.parametrize("kind", ["", ", cookie, token and middleware"])
def test_an_idle_connection(null: int, kind: str) -> None:
    many = 512

    async def measure() -> float:
        door = Door(null)
        await door.app.startup()
        request = door.guarded if kind else door.bare
        none: dict[str, Any] = {}
        kept = [door.open(request) for _ in range(64)]
        gc.collect()
        tracemalloc.start()
        try:
            kept += [door.open(request) for _ in range(many)]
            for transport in kept:
                transport.info = none
            gc.collect()
            used = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        for transport in kept:
            transport.protocol.connection_lost(None)
        await door.app.shutdown()
        return used / many

    used = asyncio.run(measure())
    name = f"idle connection{kind}"
    assert used <= BYTES[name], f"{name}: {used:.0f} bytes, and may be {BYTES[name]}"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="not for this one: the limits are those of Python 3.11")
@pytest.mark.usefixtures("as_a_server")
def test_one_call_more_is_noticed(rooms: Rooms, null: int, monkeypatch: pytest.MonkeyPatch) -> None:
    here: dict[str, Any] = {"original": Router.match}
    source = "def match(self, path):\n    return original(self, path)\n"
    exec(compile(source, f"{OWN}/added.py", "exec"), here)
    monkeypatch.setattr(Router, "match", here["match"])
    with pytest.raises(AssertionError, match=r"handshake: \d+(\.0)? calls, and may be"):
        test_a_handshake_and_its_end(null, "handshake")


def test_one_call_more_for_each_message_is_noticed(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    here: dict[str, Any] = {"original": Connection.send}
    source = "def send(self, data):\n    return original(self, data)\n"
    exec(compile(source, f"{OWN}/added.py", "exec"), here)
    monkeypatch.setattr(Connection, "send", here["send"])
    with pytest.raises(AssertionError, match=r"echo: \d+(\.0)? calls, and may be"):
        test_an_echo(rooms, "echo", TEXT)
