"""Processes with a presence room, pages that are in it, and what each of them knows of the people in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from odac.client.presence import Rosters
from tests.integration.brokers.peers import Changes
from tests.integration.running import Running

REAL = bool(os.environ.get("ODAC_TEST_REAL_TIMES"))
SCALE = 1.0 if REAL else 0.1
"""Of the times of presence that the tested processes use: a tenth, unless ``make presence-faults`` runs the tests."""
GRACE = 20 * SCALE
GONE = 30 * SCALE
SETTLED = 35.0 if REAL else 20.0
"""Seconds until all views have to be equal; 35 are promised. With short times, only a busy machine takes a long time."""

APP = """
import os, socket, sys, time
from pathlib import Path

SCALE, SKEW = SCALE_VALUE, SKEW_VALUE
clock = time.time
time.time = lambda: clock() + SKEW
os.getpid = lambda: 7
socket.gethostname = lambda: "host"

from odac.cluster import bus
from odac.presence import others, room

bus.BrokerBus.__init__.__kwdefaults__["interval"] = bus.INTERVAL * SCALE
others.GONE_AFTER_SILENCE *= SCALE
others.GONE_UNSEEN *= SCALE
others.LATE = max(1.0, others.LATE * SCALE)
room.REPEAT, room.JITTER = room.REPEAT * SCALE, room.JITTER * SCALE

from odac import Limits, Odac, Presence

app = Odac(limits=Limits(drain_timeout=1.0))
app.rooms("room", presence=Presence(grace=GRACE_VALUE, limit=1000))

@app.authenticate
def authenticate(request):
    return request.query.get("user")

@app.route.auth.ws("/room", token=False, rate_limit=None)
async def in_room(odac):
    odac.ws.join("room", presence={"name": odac.request.query.get("user")})
    async for message in odac.ws:
        odac.ws.join("room", presence=message)

@app.route.ws("/ask", token=False)
async def ask(odac):
    odac.ws.send(await app.route.ws_server.presence("room"))
"""


class Process:
    """One process with its connections."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.pages: list[Page] = []

    def address(self, path: str) -> str:
        return f"ws{self.running.url.removeprefix('http')}{path}"

    async def members(self) -> tuple[dict[str, Any], bool]:
        """The result of ``ws_server.presence`` there: data by user, and whether it is complete."""
        async with connect(self.address("/ask"), open_timeout=30) as connection:
            users, _, complete = json.loads(await connection.recv())
        return {user: member[0] for user, member in users.items()}, complete

    def signal(self, number: signal.Signals) -> None:
        self.running.signal(number)


class Page:
    """One user's page, and the presence events that it got."""

    def __init__(self, processes: Processes, user: str) -> None:
        self.processes = processes
        self.user = user
        self.data: Any = {"name": user}
        self.process: Process | None = None
        self.left: list[str] = []
        self.joined: list[str] = []
        self.total = 0
        self._rosters = Rosters()
        self._connection: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def people(self) -> dict[str, Any]:
        """Data by user, as the page knows it."""
        return {person.data["name"]: person.data for person in self._rosters.people("room")}

    async def open(self, process: Process) -> None:
        self.process = process
        process.pages.append(self)
        self._connection = await connect(
            process.address(f"/room?user={quote(self.user)}"),
            subprotocols=[Subprotocol("odac.v1")],
            ping_interval=None,
            open_timeout=30,
        )
        if self.data != {"name": self.user}:
            await self._connection.send(json.dumps(self.data))
        self._reading = asyncio.create_task(self._read(self._connection))

    async def say(self, **data: Any) -> None:
        assert self._connection is not None
        self.data = {"name": self.user, **data}
        await self._connection.send(json.dumps(self.data))

    async def _read(self, connection: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                if not isinstance(message, str) or not message.startswith("\x1e"):
                    continue
                kind, *values = json.loads(message[1:])
                if kind == "ping":
                    await connection.send('\x1e["pong"]')
                change = self._rosters.receive(kind, values)
                if change is not None:
                    self.total = change.total
                    self.left += [person.data["name"] for person in change.left]
                    self.joined += [person.data["name"] for person in change.joined]
                    self.processes.change()

    async def closed(self) -> None:
        """Wait until the server has closed the connection."""
        assert self._reading is not None
        await asyncio.wait_for(asyncio.shield(self._reading), 30)
        self.forget()

    async def close(self, code: int = 1000) -> None:
        assert self._connection is not None
        await self._connection.close(code)
        self.forget()

    def lose(self) -> None:
        """Abort the connection."""
        assert self._connection is not None
        self._connection.transport.abort()
        self.forget()

    def forget(self) -> None:
        self._rosters.lost()
        if self.process is not None:
            self.process.pages.remove(self)
            self.process = None


class Processes(Changes):
    """All processes and their pages."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.all: list[Process] = []
        self._stack = contextlib.AsyncExitStack()

    async def process(self, broker: str, skew: float = 0.0) -> Process:
        folder = Path(tempfile.mkdtemp(dir=self.directory))
        source = (
            APP.replace("SCALE_VALUE", repr(SCALE))
            .replace("SKEW_VALUE", repr(skew))
            .replace("GRACE_VALUE", repr(GRACE))
        )
        running = await asyncio.to_thread(lambda: Running(folder, source, environment={"ODAC_BROKER": broker}))
        self._stack.push_async_callback(asyncio.to_thread, running.__exit__, None, None, None)
        process = Process(running)
        self.all.append(process)
        return process

    async def page(self, user: str, process: Process) -> Page:
        page = Page(self, user)
        await page.open(process)
        return page

    @property
    def pages(self) -> list[Page]:
        return [page for process in self.all for page in process.pages]

    async def kill(self, process: Process) -> list[Page]:
        """Kill a process with SIGKILL; return its pages, which have lost their connections."""
        pages = list(process.pages)
        self.all.remove(process)
        process.running.process.kill()
        for page in pages:
            await page.closed()
        return pages

    async def same(self) -> None:
        """Wait until every page and every process knows exactly the users with an open page."""
        expected = {page.user: page.data for page in self.pages}
        views: dict[str, Any] = {}

        async def look() -> bool:
            views.clear()
            for number, page in enumerate(self.pages):
                views[f"page {number} of {page.user}"] = page.people, page.total == len(expected)
            for number, process in enumerate(self.all):
                views[f"process {number}"] = await process.members()
            return all(view == (expected, True) for view in views.values())

        try:
            async with asyncio.timeout(SETTLED):
                while not await look():
                    await asyncio.sleep(0.05)
        except TimeoutError:
            wrong = {who: view for who, view in views.items() if view != (expected, True)}
            raise AssertionError(f"expected everywhere {expected}, but {wrong}") from None

    def nobody_left(self, *but: str) -> None:
        """Check that no page got an event that another user than those named has left."""
        for page in self.pages:
            assert set(page.left) <= set(but), (page.user, page.left)

    async def aclose(self) -> None:
        for process in self.all:
            with contextlib.suppress(ProcessLookupError):
                process.signal(signal.SIGCONT)
        for page in list(self.pages):
            page.lose()
        await self._stack.aclose()
