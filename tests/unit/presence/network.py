"""Processes that tell each other who is in their rooms, over a network that loses what a test says; time is virtual."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from odac.presence.ports import Viewer
from odac.presence.roster import News
from odac.presence.rules import Presence
from odac.presence.service import PresenceService
from odac.realtime.ports import Subsystem

BEAT = 3.0
PATIENCE = 10.5


class Timer:
    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self.call = None


class VirtualLoop:
    """The part of an event loop that presence uses, on a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._due: list[tuple[float, int, Timer]] = []
        self._ids = itertools.count()

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[..., object], *arguments: object) -> Timer:
        timer = Timer(lambda: call(*arguments))
        heapq.heappush(self._due, (self.now + delay, next(self._ids), timer))
        return timer

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            self.now, _, timer = heapq.heappop(self._due)
            if timer.call is not None:
                timer.call()
        self.now = end

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()


@dataclass
class Page:
    """A connection and what its page has drawn."""

    id: str
    person: str
    process: Process
    speaks_odac: bool = True
    people: dict[str, bytes] = field(default_factory=dict)
    total: int = 0
    events: list[tuple[str, str]] = field(default_factory=list)
    first: News | None = None
    room: str = "room"

    def told(self, news: News) -> None:
        self.first = self.first or news
        self.total = news.total
        if news.people is None or news.left is None:
            self.people = {}
            return
        if news.whole:
            self.events += [("left", person) for person in self.people.keys() - dict(news.people).keys()]
            self.people = dict(news.people)
        for person, data in news.people:
            if not news.whole:
                self.events.append(("joined" if person not in self.people else "changed", person))
            self.people[person] = data
        for person in news.left:
            self.events.append(("left", person))
            del self.people[person]


class Process:
    """One process: its presence, and its line to the others."""

    def __init__(self, network: Network, origin: bytes, skew: float) -> None:
        self.network = network
        self.origin = origin
        self.connected = True
        self.alive = True
        self.heard: dict[bytes, float] = {}
        self.silent: set[bytes] = set()
        self.pages: dict[str, Page] = {}
        self.service = PresenceService(
            cast("asyncio.AbstractEventLoop", network.loop),
            self,
            self._announce,
            wall=lambda: network.loop.now + skew,
            jitter=lambda: 0.5,
        )

    def _announce(self, room: str, news: News, viewers: list[Viewer]) -> None:
        for viewer in viewers:
            self.pages[viewer.id].told(news)

    def listens(self, room: str) -> bool:
        return any(room in rooms for rooms in self.service._joined.values())

    @property
    def healthy(self) -> bool:
        return self.connected

    @property
    def origins(self) -> frozenset[bytes]:
        return frozenset(self.heard)

    def add(self, name: str, part: Subsystem) -> None:
        raise AssertionError("the network calls the service itself")

    def send_to_room(self, room: str, part: str, body: bytes) -> None:
        self.network.send(self, [each for each in self.network.processes if each.listens(room)], body)

    def send_to_all(self, part: str, body: bytes) -> None:
        self.network.send(self, self.network.processes, body)

    def send_to(self, origin: bytes, part: str, body: bytes) -> None:
        self.network.send(self, [each for each in self.network.processes if each.origin == origin], body)


class Network:
    """Processes and the broker between them."""

    def __init__(self, count: int, rule: Presence = Presence(), skews: tuple[float, ...] = ()) -> None:  # noqa: B008 - frozen
        self.loop = VirtualLoop()
        self.rule = rule
        self.processes: list[Process] = []
        self.ids = itertools.count()
        self.lose = 0
        self.sent = 0
        for index in range(count):
            self.start(skews[index] if index < len(skews) else 0.0)
        self.loop.call_later(BEAT, self._beat)
        self._hear()

    def start(self, skew: float = 0.0) -> Process:
        process = Process(self, f"process-{next(self.ids):08}".encode(), skew)
        self.processes.append(process)
        return process

    def send(self, sender: Process, receivers: list[Process], body: bytes) -> None:
        if not sender.connected or not sender.alive:
            return
        self.sent += 1
        if self.lose:
            self.lose -= 1
            return
        for receiver in receivers:
            if receiver is not sender and receiver.connected and receiver.alive:
                self.loop.call_later(0.001, self._arrive, sender.origin, receiver, body)

    def _arrive(self, origin: bytes, receiver: Process, body: bytes) -> None:
        if receiver.alive and receiver.connected:
            receiver.service.received(origin, body)

    def _beat(self) -> None:
        self._hear()
        self.loop.call_later(BEAT, self._beat)

    def _hear(self) -> None:
        now = self.loop.now
        alive = [process for process in self.processes if process.alive]
        for process in alive:
            for other in alive:
                if other is not process and other.connected and process.connected:
                    new = other.origin not in process.heard
                    process.heard[other.origin] = now
                    if new:
                        process.service.seen(other.origin)
                    said = other.service.beat()
                    if said is not None:
                        process.service.received(other.origin, said)
            for origin, heard in list(process.heard.items()):
                if now - heard > PATIENCE:
                    del process.heard[origin]
                    process.service.silent(origin)

    # What happens

    def open(
        self, process: Process, person: str, data: Any = b"1", before: Page | None = None, room: str = "room"
    ) -> Page:
        """Open a page; with ``before`` it is a client that comes back, and still has what it has drawn."""
        page = Page(f"c{next(self.ids)}", person, process, room=room)
        if before is not None:
            page.people, page.events = before.people, before.events
        process.pages[page.id] = page
        process.service.join(page, room, self.rule, person, data)
        return page

    def say(self, page: Page, data: bytes) -> None:
        page.process.service.join(page, page.room, self.rule, page.person, data)

    def end(self, page: Page, code: int) -> None:
        page.process.service.ended(page.id, code)
        del page.process.pages[page.id]

    def cut(self, process: Process) -> None:
        process.connected = False

    def heal(self, process: Process) -> None:
        if not process.connected:
            process.connected = True
            self._hear()
            process.service.up()

    def kill(self, process: Process) -> None:
        process.alive = False
        process.service.stop()
        process.pages.clear()
        self.processes.remove(process)

    def drain(self, process: Process) -> None:
        for page in list(process.pages.values()):
            self.end(page, 1001)
        self.loop.run(0.2)
        for other in self.processes:
            if other is not process and other.connected and process.connected:
                other.heard.pop(process.origin, None)
                other.service.left(process.origin)
        self.kill(process)

    @property
    def pages(self) -> list[Page]:
        return [page for process in self.processes for page in process.pages.values()]
