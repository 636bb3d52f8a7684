"""One process's broker or bus, with a record of what it received, and methods that wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Self

from odac.brokers.registry import make_broker
from odac.cluster.bus import BrokerBus
from odac.cluster.channels import Channels
from odac.protocol.message import Prepared
from odac.realtime.audience import Audience

DEADLINE = 60.0
TEST = b"is anybody there? "
"""What such a payload says is of no interest to a test, only that it arrives."""


class Changes:
    """Waits until a condition holds; checks it after each event."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def change(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], bool], timeout: float = DEADLINE) -> None:
        async with asyncio.timeout(timeout):
            while not condition():
                self._changed.clear()
                # A condition may also change without an event, such as a connection's state.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await self._changed.wait()


class BrokerPeer(Changes):
    """A broker, and what it has received."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.broker = make_broker(url)
        self.arrived: list[tuple[str, bytes]] = []
        self.tests: set[tuple[str, bytes]] = set()
        self.events: list[str] = []
        self.dropped = 0

    def on_message(self, channel: str, payload: bytes) -> None:
        if payload.startswith(TEST):
            self.tests.add((channel, payload))
        else:
            self.arrived.append((channel, payload))
        self.change()

    def on_up(self) -> None:
        self.events.append("up")
        self.change()

    def on_down(self, reason: str) -> None:
        self.events.append("down")
        self.change()

    def on_gap(self) -> None:
        self.change()

    def on_dropped(self, messages: int, reason: str) -> None:
        self.dropped += messages
        self.change()

    async def up(self, times: int = 1) -> None:
        await self.until(lambda: self.events.count("up") >= times and self.broker.connected)

    def payloads(self, channel: str) -> list[bytes]:
        return [payload for where, payload in self.arrived if where == channel]

    async def listens(self, *channels: str) -> None:
        """Return when messages on the channels arrive here."""
        for channel in channels:
            await self.hears(self, channel)

    async def hears(self, other: BrokerPeer, channel: str) -> None:
        """Return when messages of the other peer on the channel arrive here."""
        test = TEST + secrets.token_bytes(8)
        async with asyncio.timeout(DEADLINE):
            while (channel, test) not in self.tests:
                other.broker.publish(channel, test, 0)
                with contextlib.suppress(TimeoutError):
                    await self.until(lambda: (channel, test) in self.tests, 0.1)

    async def hears_all(self, other: BrokerPeer, channels: list[str]) -> None:
        """Return when messages of the other peer on many channels arrive here; it publishes no faster than this
        reads.
        """
        async with asyncio.timeout(DEADLINE):
            while missing := list(set(channels) - {channel for channel, _ in self.tests}):
                for first in range(0, len(missing), 500):
                    part = [(channel, TEST) for channel in missing[first : first + 500]]
                    for channel, test in part:
                        other.broker.publish(channel, test, 0)
                    with contextlib.suppress(TimeoutError):
                        await self.until(lambda part=part: self.tests.issuperset(part), 0.2)  # type: ignore[misc]


@contextlib.asynccontextmanager
async def peers(url: str, count: int = 2, *channels: str) -> AsyncIterator[list[BrokerPeer]]:
    """Brokers that are connected and subscribed to the channels."""
    made = [BrokerPeer(url) for _ in range(count)]
    try:
        for peer in made:
            for channel in channels:
                peer.broker.subscribe(channel)
            await peer.broker.start(peer)
        for peer in made:
            await peer.up()
            await peer.listens(*channels)
        for peer in made:
            for other in made:
                if other is not peer:
                    for channel in channels:
                        await peer.hears(other, channel)
        yield made
    finally:
        for peer in made:
            await peer.broker.stop()


class BusPeer(Changes):
    """A bus, and the hub of a process without connections."""

    def __init__(self, url: str, interval: float = 0.3) -> None:
        super().__init__()
        self.broker = make_broker(url)
        self.bus = BrokerBus(self.broker, self, Channels(), interval=interval)
        self.delivered: list[tuple[Audience, bytes]] = []
        self.tests: set[bytes] = set()
        self.closed: list[tuple[Audience, int, str]] = []
        self.given: list[float] = []
        self.moved: list[tuple[Audience, str, bool]] = []
        self.members = 0

    @property
    def orders(self) -> Self:
        return self

    def deliver(self, audience: Audience, message: Prepared) -> None:
        if message.payload.startswith(TEST):
            self.tests.add(message.payload)
        else:
            self.delivered.append((audience, message.payload))
        self.change()

    def close_local(self, audience: Audience, code: int, reason: str, given: float) -> None:
        self.closed.append((audience, code, reason))
        self.given.append(given)
        self.change()

    def move_local(self, audience: Audience, room: str, *, joins: bool) -> None:
        self.moved.append((audience, room, joins))
        self.change()

    def count_local(self, audience: Audience) -> int:
        return self.members

    def send(self, payload: bytes, *rooms: str) -> None:
        self.bus.publish(Audience(rooms), Prepared(2, payload))

    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.delivered]

    async def healthy(self) -> None:
        await self.until(lambda: self.bus.healthy)

    async def unhealthy(self) -> None:
        await self.until(lambda: not self.bus.healthy)

    async def hears(self, other: BusPeer, *rooms: str) -> None:
        """Return when messages of the other process to each room (without rooms: broadcasts) arrive here."""
        for room in rooms or (None,):
            test = TEST + secrets.token_bytes(8)
            async with asyncio.timeout(DEADLINE):
                while test not in self.tests:
                    other.send(test, *filter(None, [room]))
                    with contextlib.suppress(TimeoutError):
                        await self.until(lambda test=test: test in self.tests, 0.1)  # type: ignore[misc]


@contextlib.asynccontextmanager
async def buses(*urls: str, interval: float = 0.3) -> AsyncIterator[list[BusPeer]]:
    """Processes that are connected and know each other."""
    made = [BusPeer(url, interval) for url in urls]
    try:
        for peer in made:
            await peer.bus.start()
        for peer in made:
            await peer.healthy()
            await peer.until(lambda peer=peer: peer.bus.processes == len(made))  # type: ignore[misc]
        yield made
    finally:
        for peer in made:
            await peer.bus.stop()
