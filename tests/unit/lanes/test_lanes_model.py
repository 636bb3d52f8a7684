"""The programs of the delivery's model, over both lanes on a real event loop: real sockets, and a server that takes its
time.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections.abc import Sequence
from typing import Any, Literal
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odac.config import Limits
from odac.lanes.asgi import AsgiLane
from odac.lanes.direct import DirectLane
from odac.realtime.connection import Connection
from odac.realtime.hub import Hub
from odac.realtime.policy import Policy
from odac.wire import deflate
from odac.wire.frames import BINARY, CLOSE, TEXT
from odac.wire.parser import Parser
from tests.parsing import feed_all
from tests.unit.realtime import test_delivery_model as model
from tests.unit.realtime.realtime_fakes import DEADLINE, Frame, idle

EXAMPLES = int(os.environ.get("ODAC_EXAMPLES", "40"))
BIG = {"small": 0, "medium": 3_000, "big": 9_000}
"""Sizes that fill a socket's buffer within one program."""

Kind = Literal["direct", "deflate", "asgi"]
kinds = st.lists(st.sampled_from(["direct", "direct", "deflate", "asgi"]), min_size=model.PEOPLE, max_size=model.PEOPLE)


class DirectPeer:
    """The far end of a direct lane, on a socket pair with small buffers."""

    def __init__(self) -> None:
        self.here, self._there = socket.socketpair()
        self.here.setblocking(False)
        self._there.setblocking(False)
        self.here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self._got = b""
        self.reads = True

    async def connect(self, hub: Hub, limits: Limits, *, compressed: bool, speaks_odac: bool) -> Connection:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=self.here)
        negotiated = deflate.negotiate(["permessage-deflate"]) if compressed else None
        lane = DirectLane(transport, limits, negotiated, set())
        connection = Connection(hub, lane, Policy("/test", limits), speaks_odac=speaks_odac)
        lane.attach(connection)
        return connection

    def read(self) -> None:
        if self.reads:
            try:
                while data := self._there.recv(65536):
                    self._got += data
            except BlockingIOError:
                pass

    @property
    def frames(self) -> list[Frame]:
        parser = Parser(10**9, 1, deflate.Inflater(10**9), masked=False)
        frames = list(feed_all(parser, self._got))
        assert parser.error is None
        return frames

    def close(self) -> None:
        self._there.close()


class AsgiPeer:
    """A server that takes messages only while its client reads."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.reads = True
        self._may_send = asyncio.Event()
        self._may_send.set()
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._serving: asyncio.Task[None] | None = None

    async def send(self, message: dict[str, Any]) -> None:
        await self._may_send.wait()
        if message["type"] == "websocket.close":
            self.frames.append((CLOSE, message["code"].to_bytes(2, "big")))
        elif message.get("text") is not None:
            self.frames.append((TEXT, message["text"].encode()))
        else:
            self.frames.append((BINARY, message["bytes"]))

    async def receive(self) -> dict[str, Any]:
        return await self._incoming.get()

    async def connect(self, hub: Hub, limits: Limits, *, compressed: bool, speaks_odac: bool) -> Connection:
        lane = AsgiLane(self.receive, self.send, limits)
        connection = Connection(hub, lane, Policy("/test", limits), speaks_odac=speaks_odac)
        lane.attach(connection)
        self._serving = asyncio.ensure_future(lane.serve())
        return connection

    def read(self) -> None:
        if self.reads:
            self._may_send.set()
        else:
            self._may_send.clear()

    def close(self) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1006})


class LiveRun(model.Run):
    """A program under way over real lanes."""

    def __init__(self, home: Sequence[set[str]], limits: Limits) -> None:
        self.hub = Hub(limits)
        self.hub.start(asyncio.get_running_loop())
        self.room = type("", (), {"hub": self.hub})()
        self.corked = None
        self._numbers = itertools.count()
        self._home = home
        self._limits = limits
        self.connections = []
        self.model = []
        self.peers: list[DirectPeer | AsgiPeer] = []

    async def connect(self, setup: Sequence[dict[str, bool]], lanes: Sequence[Kind]) -> None:
        for kind, each in zip(lanes, setup, strict=True):
            peer = AsgiPeer() if kind == "asgi" else DirectPeer()
            connection = await peer.connect(
                self.hub, self._limits, compressed=kind == "deflate", speaks_odac=each["speaks_odac"]
            )
            self.hub.population += 1
            if each["admitted"]:
                self.hub.add(connection)
            self.peers.append(peer)
            self.connections.append(connection)
            self.model.append(model.Expected(each["speaks_odac"], each["admitted"]))
        for index, names in enumerate(self._home):
            for name in sorted(names):
                self.join(index, name)

    async def follow(self, steps: Sequence[model.Step]) -> None:
        for step in steps:
            if step[0] == "tick":
                await self.settle()
            else:
                self.play([step])

    async def settle(self) -> None:
        for _ in range(3):
            await idle()
            for peer in self.peers:
                peer.read()

    def tick(self) -> None:
        raise AssertionError("time passes in follow()")

    def lose(self, index: int) -> None:
        each = self.model[index]
        if not each.lost and self.corked != index:
            self.connections[index].lane.abort()
            each.lost = True
            each.is_open = False

    def stall(self, index: int, room: int) -> None:
        self.peers[index].reads = False
        self.peers[index].read()

    def grant(self, index: int, room: int | None) -> None:
        self.peers[index].reads = True
        self.peers[index].read()

    async def read_all(self) -> None:
        """Everybody reads until all has come."""
        for peer in self.peers:
            peer.reads = True
        async with asyncio.timeout(DEADLINE):
            while any(
                not each.lost and len(peer.frames) < len(each.frames)
                for peer, each in zip(self.peers, self.model, strict=True)
            ):
                await self.settle()
        await self.settle()

    async def close_all(self) -> None:
        for peer in self.peers:
            peer.close()
        async with asyncio.timeout(DEADLINE):
            while self.hub.population:
                await asyncio.sleep(0)
        await idle()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@given(setup=model.setups, home=model.homes, lanes=kinds, program=model.programs)
@settings(max_examples=EXAMPLES, deadline=None)
def test_every_lane_sends_what_the_program_says(
    loop: str, setup: list[dict[str, bool]], home: list[set[str]], lanes: list[Kind], program: list[model.Step]
) -> None:
    async def test() -> LiveRun:
        run = LiveRun(home, Limits(outgoing_buffer=10**9, close_timeout=60))
        await run.connect(setup, lanes)
        await run.follow(program)
        await run.read_all()
        await run.close_all()
        return run

    factory = None
    if loop == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop
    with patch.object(model, "SIZES", BIG), asyncio.Runner(loop_factory=factory) as runner:
        run = runner.run(test())
    for peer, each in zip(run.peers, run.model, strict=True):
        got = peer.frames
        assert got == (each.frames[: len(got)] if each.lost else each.frames)
