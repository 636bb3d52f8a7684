from __future__ import annotations

import asyncio
import threading

from odac.brokers.memory import MemoryBroker, _exchanges
from tests.unit.brokers.fakes import run, ticks
from tests.unit.brokers.test_reconnecting import Receiver


def test_apps_on_two_event_loops_reach_each_other() -> None:
    arrived = threading.Event()
    ready = threading.Event()

    class Waiting(Receiver):
        def on_message(self, channel: str, payload: bytes) -> None:
            super().on_message(channel, payload)
            arrived.set()

    receiver = Waiting()

    async def listen() -> None:
        broker = MemoryBroker("two loops")
        broker.subscribe("c")
        await broker.start(receiver)
        ready.set()
        await asyncio.to_thread(arrived.wait, 10)
        await broker.stop()

    async def publish() -> None:
        broker = MemoryBroker("two loops")
        await broker.start(Receiver())
        broker.publish("c", b"hello")
        await broker.stop()

    thread = threading.Thread(target=run, args=(listen(),))
    thread.start()
    assert ready.wait(10)
    run(publish())
    thread.join(10)
    assert receiver.events == ["up", "c hello"]


def test_another_name_is_another_world_and_nothing_stays_behind() -> None:
    async def main() -> None:
        one, other = MemoryBroker("one"), MemoryBroker("other")
        receiver = Receiver()
        other.subscribe("c")
        await one.start(Receiver())
        await other.start(receiver)
        one.publish("c", b"hello")
        await ticks()
        assert receiver.events == ["up"]
        other.reconnect("because")
        assert receiver.events == ["up", "down: because", "up"]
        await one.stop()
        await other.stop()
        other.publish("c", b"to nobody")

    run(main())
    assert not {"one", "other"} & set(_exchanges)
