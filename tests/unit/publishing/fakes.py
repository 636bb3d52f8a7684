"""A broker for publishers that confirms everything."""

from __future__ import annotations

import pytest

from odac.brokers.base import Receiver
from odac.cluster.envelope import Item, decode
from odac.history.memory_store import MemoryStore, Shared
from odac.publishing import async_publisher, connection, kept, publisher
from tests.unit.brokers.fakes import FakeBroker


class Confirming(FakeBroker):
    """Is connected when it is started, and keeps what was published."""

    async def start(self, receiver: Receiver) -> None:
        await super().start(receiver)
        self.connect()

    async def flush(self) -> None:
        return

    async def deliver(self, channel: str, payload: bytes) -> None:
        self.publish(channel, payload)

    @property
    def items(self) -> list[Item]:
        return [item for _, payload, _ in self.published for item in decode(payload).items]


def confirming(monkeypatch: pytest.MonkeyPatch) -> list[Confirming]:
    """Let publishers use such brokers, and return those that they made to connect with."""
    made: list[Confirming] = []

    def make(url: str) -> Confirming:
        made.append(Confirming())
        return made[-1]

    monkeypatch.setattr(connection, "make_broker", make)
    for module in (async_publisher, publisher):
        monkeypatch.setattr(module, "make_broker", lambda url: None)
    monkeypatch.setattr(kept, "make_history", lambda url, clock: MemoryStore(Shared(clock)))  # in which no room has one
    return made
