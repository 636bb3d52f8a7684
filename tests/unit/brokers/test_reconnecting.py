"""The owner of the sessions, with sessions that do what the test says."""

from __future__ import annotations

import asyncio

import pytest

from odac.brokers import reconnecting as module
from odac.brokers.reconnecting import ReconnectingBroker, end, first_to_end
from odac.brokers.url import parse_url
from odac.errors import BrokerError
from odac.jitter import RANDOM
from tests.unit.brokers.fakes import run, ticks


class Receiver:
    def __init__(self) -> None:
        self.events: list[str] = []
        self.dropped = 0
        self.fails = False

    def on_message(self, channel: str, payload: bytes) -> None:
        if self.fails:
            raise RuntimeError("a receiver must not raise")
        self.events.append(f"{channel} {payload.decode()}")

    def on_up(self) -> None:
        self.events.append("up")

    def on_down(self, reason: str) -> None:
        self.events.append(f"down: {reason}")

    def on_gap(self) -> None:
        self.events.append("gap")

    def on_dropped(self, messages: int, reason: str) -> None:
        self.dropped += messages


class Scripted(ReconnectingBroker):
    """Opens a session at once, and ends it with the next error it is given."""

    def __init__(self) -> None:
        super().__init__(parse_url("redis://nowhere"))
        self.sessions = 0
        self.end = asyncio.Queue[Exception]()
        self.opened = asyncio.Event()
        self.fail_before_opening: Exception | None = None

    async def _session(self) -> None:
        self.sessions += 1
        if self.fail_before_opening is not None:
            raise self.fail_before_opening
        self._opened()
        self.opened.set()
        error = await self.end.get()
        raise error

    async def reopened(self) -> None:
        self.opened.clear()
        await self.opened.wait()


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(module, "LONGEST_DELAY", 0.004)


def test_a_session_that_ends_is_followed_by_another() -> None:
    async def main() -> None:
        broker, receiver = Scripted(), Receiver()
        await broker.start(receiver)
        await broker.opened.wait()
        assert broker.connected
        await broker.end.put(OSError("cut"))
        await broker.reopened()
        assert receiver.events == ["up", "down: cut", "up"]
        await broker.stop()
        assert not broker.connected

    run(main())


def test_an_unexpected_error_ends_the_session_and_nothing_else() -> None:
    async def main() -> None:
        broker, receiver = Scripted(), Receiver()
        await broker.start(receiver)
        await broker.opened.wait()
        await broker.end.put(ZeroDivisionError("a mistake"))
        await broker.reopened()
        assert broker.connected
        await broker.stop()

    run(main())


def test_what_was_queued_is_lost_with_the_session_and_counted() -> None:
    async def main() -> None:
        broker, receiver = Scripted(), Receiver()
        broker.publish("c", b"too early", 1)
        await broker.start(receiver)
        broker.publish("c", b"too early", 2)
        assert receiver.dropped == 2
        await broker.opened.wait()
        broker.publish("c", b"queued", 3)
        assert receiver.dropped == 2
        await broker.end.put(OSError("cut"))
        await broker.reopened()
        assert receiver.dropped == 5
        await broker.stop()

    run(main())


def test_a_payload_that_is_too_large_is_dropped() -> None:
    async def main() -> None:
        broker, receiver = Scripted(), Receiver()
        broker.max_message = 10
        await broker.start(receiver)
        await broker.opened.wait()
        broker.publish("c", b"x" * 11, 1)
        assert receiver.dropped == 1
        assert len(broker._queue) == 0
        await broker.stop()

    run(main())


def test_reconnect_gives_up_a_session_and_begins_another() -> None:
    async def main() -> None:
        broker, receiver = Scripted(), Receiver()
        await broker.start(receiver)
        await broker.opened.wait()
        broker.reconnect("the probe")
        await broker.reopened()
        assert receiver.events == ["up", "down: the probe", "up"]
        await broker.stop()
        broker.reconnect("after the end, which is no error")

    run(main())


def test_the_wait_grows_between_attempts_that_fail_and_not_beyond_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def note(delay: float) -> None:
        waits.append(delay)
        await sleep(0)

    async def main() -> None:
        monkeypatch.setattr(RANDOM, "uniform", lambda low, high: high)
        monkeypatch.setattr("odac.brokers.reconnecting.asyncio.sleep", note)
        broker = Scripted()
        broker.fail_before_opening = OSError("refused")
        await broker.start(Receiver())
        while len(waits) < 5:
            await sleep(0)
        await broker.stop()

    run(main())
    assert waits[:5] == [0.001, 0.002, 0.004, 0.004, 0.004]


def test_a_receiver_that_raises_does_not_end_the_session() -> None:
    async def main() -> None:
        broker, receiver = Scripted(), Receiver()
        receiver.fails = True
        await broker.start(receiver)
        await broker.opened.wait()
        broker._arrived("c", b"1")
        assert broker.connected
        await broker.stop()

    run(main())


def test_flushing_without_a_connection_says_why() -> None:
    async def main() -> None:
        broker = Scripted()
        with pytest.raises(BrokerError, match="redis://nowhere: not connected"):
            await broker.flush()

    run(main())


def test_changes_are_what_is_wanted_in_the_end() -> None:
    async def main() -> None:
        broker = Scripted()
        broker.subscribe("a")
        broker.subscribe("b")
        broker.unsubscribe("b")
        broker.unsubscribe("c")
        subscribe, unsubscribe = await broker._next_changes()
        assert (subscribe, sorted(unsubscribe)) == (["a"], ["b", "c"])
        waiting = asyncio.create_task(broker._next_changes())
        await ticks()
        assert not waiting.done()
        broker.unsubscribe("a")
        assert await waiting == ([], ["a"])

    run(main())


def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    async def stubborn() -> None:
        for _ in range(2):
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                pass

    async def main() -> None:
        task = asyncio.create_task(stubborn())
        await ticks()
        await end(task)
        assert task.done()

    run(main())


def test_the_first_part_to_fail_ends_the_others() -> None:
    ended: list[str] = []

    async def part(name: str, fails: bool) -> None:
        try:
            await asyncio.sleep(0 if fails else 100)
            raise BrokerError(name)
        finally:
            ended.append(name)

    async def main() -> None:
        with pytest.raises(BrokerError, match="one"):
            await first_to_end(part("one", True), part("other", False))

    run(main())
    assert ended == ["one", "other"]
