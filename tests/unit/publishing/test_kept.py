from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from odac.cluster.channels import Channels
from odac.cluster.envelope import RoomMessage, Unkept
from odac.errors import BrokerError, ConfigurationError
from odac.history.memory_store import MemoryStore, Shared
from odac.history.rules import History, Rule, RuleBook
from odac.history.store import Message, StoreAway, decode_message, decode_notice
from odac.publishing import kept
from odac.publishing.kept import KeptRooms
from odac.realtime.audience import Audience
from tests.unit.brokers.fakes import run

HISTORY = History(size=10)
ROOM = RoomMessage(Audience(("kept-1",), (), frozenset({"x"})), 1, b"hello")
CHANNEL = Channels("odac").room("kept-1")


class Store(MemoryStore):
    """Keeps rooms whose names begin with "kept-"; fails as often as the test says."""

    def __init__(self) -> None:
        self.shared = Shared(lambda: 1000.0)
        self.shared.rules.write(1, RuleBook((Rule("kept-*", HISTORY),)).encode(), 60.0)
        self.published: list[tuple[str, bytes]] = []
        super().__init__(self.shared, lambda channel, payload: self.published.append((channel, payload)))
        self.failures: list[BrokerError] = []
        self.calls: list[str] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def start(self, wait: float = 2.0) -> None:
        self.calls.append("start")

    async def stop(self) -> None:
        self.calls.append("stop")

    async def append(self, *arguments: object) -> object:  # type: ignore[override]
        await self.answers.wait()
        if self.failures:
            raise self.failures.pop(0)
        return await super().append(*arguments)  # type: ignore[arg-type]

    @property
    def kept(self) -> list[bytes]:
        return [entry.body for entry in self.read_now(CHANNEL, HISTORY, 0, 10).entries]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()
    monkeypatch.setattr(kept, "make_history", lambda url, clock: store)
    monkeypatch.setattr(kept, "RETRY", 0.0)
    return store


def rooms(timeout: float = 30.0) -> KeptRooms:
    return KeptRooms("redis://h", timeout)


def test_a_message_to_a_room_with_history_is_in_its_log(store: Store) -> None:
    async def main() -> None:
        sender = rooms()
        assert await sender.send_if_kept(ROOM, True) is None
        assert await sender.send_if_kept(ROOM, True) is None
        assert [decode_message(body) for body in store.kept] == [Message(("x",), 1, b"hello")] * 2
        await sender.stop()
        assert store.calls == ["start", "stop"]

    run(main())


@pytest.mark.parametrize(
    "audience", [Audience(("other",)), Audience(), Audience(("other",), ("another",))], ids=["room", "all", "within"]
)
def test_what_concerns_no_room_with_history_is_left_to_the_publisher(store: Store, audience: Audience) -> None:
    item = RoomMessage(audience, 1, b"hello")

    async def main() -> None:
        sender = rooms()
        assert await sender.send_if_kept(item, True) is item
        assert await sender.send_if_kept(item, False) is item
        await sender.stop()

    run(main())
    assert store.published == []


def test_what_is_not_to_be_kept_is_marked_so_that_processes_do_not_ask_for_it(store: Store) -> None:
    async def main() -> None:
        sender = rooms()
        assert await sender.send_if_kept(ROOM, False) == Unkept(ROOM.audience, 1, b"hello")
        await sender.stop()

    run(main())
    assert store.kept == []


@pytest.mark.parametrize(
    "audience", [Audience(("kept-1", "other")), Audience(("kept-1",), ("other",)), Audience(("other",), ("kept-1",))]
)
def test_several_rooms_of_which_one_has_history_are_refused(store: Store, audience: Audience) -> None:
    async def main() -> None:
        sender = rooms()
        with pytest.raises(ValueError, match="send to each"):
            await sender.send_if_kept(RoomMessage(audience, 1, b"hello"), True)
        await sender.stop()

    run(main())
    assert store.kept == []


def test_a_store_that_is_away_is_asked_again_and_has_the_message_once(store: Store) -> None:
    async def main() -> None:
        sender = rooms()
        store.failures = [StoreAway("reconnecting"), StoreAway("reconnecting")]
        assert await sender.send_if_kept(ROOM, True) is None
        await sender.stop()

    run(main())
    assert len(store.kept) == 1
    assert store.failures == []


def test_what_the_store_refuses_is_raised_at_once(store: Store) -> None:
    async def main() -> None:
        sender = rooms()
        store.failures = [BrokerError("out of memory")]
        with pytest.raises(BrokerError, match="out of memory"):
            await sender.send_if_kept(ROOM, True)
        await sender.stop()

    run(main())
    assert store.kept == []


def test_after_one_wait_in_vain_the_next_calls_fail_at_once_until_the_store_answers(store: Store) -> None:
    async def main() -> None:
        sender = rooms(0.01)
        store.answers.clear()
        with pytest.raises(BrokerError, match=r"no confirmation within 0\.01 s"):
            await sender.send_if_kept(ROOM, True)
        store.answers.set()
        sender._timeout = 30.0
        store.failures = [StoreAway("connection refused")]
        with pytest.raises(StoreAway, match="connection refused"):
            await sender.send_if_kept(ROOM, True)
        assert await sender.send_if_kept(ROOM, True) is None
        store.failures = [StoreAway("connection refused")]
        assert await sender.send_if_kept(ROOM, True) is None  # it has answered since: this call waits again
        await sender.stop()

    run(main())


def test_the_last_message_of_a_room_is_told_once_more_when_the_publisher_ends(store: Store) -> None:
    async def main() -> None:
        sender = rooms()
        await sender.send_if_kept(ROOM, True)
        before = len(store.published)
        await sender.stop()
        ((channel, payload),) = store.published[before:]
        assert channel == CHANNEL
        assert decode_notice(payload)[1:3] == (1, ())

    run(main())


@pytest.mark.parametrize("text", [b"", b"\xff"])
def test_rules_that_another_version_has_written_are_an_error(store: Store, text: bytes) -> None:
    async def main() -> None:
        store.shared.rules.write(2, text, 60.0)
        sender = rooms()
        with pytest.raises(BrokerError, match="another version of Odac"):
            await sender.send_if_kept(ROOM, True)
        await sender.stop()

    run(main())


def test_a_broker_without_history_leaves_everything_to_the_publisher(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, clock: Callable[[], float]) -> MemoryStore:
        raise ConfigurationError("no history over NATS")

    monkeypatch.setattr(kept, "make_history", refuse)

    async def main() -> None:
        sender = KeptRooms("nats://h", 30.0)
        assert await sender.send_if_kept(ROOM, True) is ROOM
        await sender.stop()

    run(main())
