"""A broker that notes what is asked of it, a hub that notes what it gets, and the ticks of a loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from odac.brokers.base import Broker, Receiver
from odac.protocol.message import Prepared
from odac.realtime.audience import Audience

T = TypeVar("T")


class FakeBroker(Broker):
    """Connected when told so. What is published is kept; nothing comes back of itself."""

    address = "fake://broker"
    max_message = 100_000

    def __init__(self) -> None:
        self.receiver: Receiver | None = None
        self.is_connected = False
        self.published: list[tuple[str, bytes, int]] = []
        self.channels: set[str] = set()
        self.calls: list[str] = []

    @property
    def connected(self) -> bool:
        return self.is_connected

    async def start(self, receiver: Receiver) -> None:
        self.receiver = receiver

    async def stop(self) -> None:
        self.calls.append("stop")

    def publish(self, channel: str, payload: bytes, messages: int = 1) -> None:
        self.published.append((channel, payload, messages))

    def subscribe(self, channel: str) -> None:
        self.calls.append(f"subscribe {channel}")
        self.channels.add(channel)

    def unsubscribe(self, channel: str) -> None:
        self.calls.append(f"unsubscribe {channel}")
        self.channels.discard(channel)

    def reconnect(self, reason: str) -> None:
        self.calls.append("reconnect")

    def connect(self) -> None:
        assert self.receiver is not None
        self.is_connected = True
        self.receiver.on_up()

    def break_(self, reason: str = "gone") -> None:
        assert self.receiver is not None
        self.is_connected = False
        self.receiver.on_down(reason)

    def echo(self) -> None:
        """Everything published so far comes back, as far as it is subscribed to."""
        assert self.receiver is not None
        published, self.published = self.published, []
        for channel, payload, _ in published:
            if channel in self.channels:
                self.receiver.on_message(channel, payload)


class FakeHub:
    """Notes what a bus brings."""

    def __init__(self, members: int = 0) -> None:
        self.members = members
        self.delivered: list[tuple[Audience, int, bytes]] = []
        self.closed: list[tuple[Audience, int, str]] = []
        self.moved: list[tuple[Audience, str, bool]] = []
        self.fails = False

    @property
    def orders(self) -> Self:
        return self

    def deliver(self, audience: Audience, message: Prepared) -> None:
        if self.fails:
            raise RuntimeError("one message that cannot be delivered")
        self.delivered.append((audience, message.opcode, message.payload))

    def close_local(self, audience: Audience, code: int, reason: str, given: float) -> None:
        self.closed.append((audience, code, reason))

    def move_local(self, audience: Audience, room: str, *, joins: bool) -> None:
        self.moved.append((audience, room, joins))

    def count_local(self, audience: Audience) -> int:
        return self.members


class Clock:
    """Stands still unless moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def ticks(count: int = 3) -> None:
    """Let the event loop do what is due."""
    for _ in range(count):
        await asyncio.sleep(0)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, 20))
