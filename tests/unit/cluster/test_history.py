from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from odac.brokers.url import parse_url
from odac.cluster import history as module
from odac.cluster.channels import Channels
from odac.cluster.history import make_rooms
from odac.errors import ConfigurationError
from odac.history.memory_store import MemoryStore, Shared
from odac.history.position import Tickets
from odac.history.rules import History
from odac.security.mac import Mac
from odac.testing import run
from tests.unit.realtime.realtime_fakes import Room, lane_of

URL = "redis://h/?namespace=shop"
CHANNEL = Channels(parse_url(URL).namespace).room("r")
KEY = Mac(b"k" * 32)


def test_a_broker_without_history_is_found_at_once() -> None:
    with pytest.raises(ConfigurationError, match="nats"):
        make_rooms("nats://h", Room().hub, Tickets([KEY], [KEY]))


def test_the_rooms_of_a_broker_keep_messages_under_their_channels_and_by_the_clock_of_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[str, Callable[[], float]]] = []
    shared: list[Shared] = []

    def make(url: str, clock: Callable[[], float], *_limits: object) -> MemoryStore:
        made.append((url, clock))
        shared.append(Shared(clock))
        return MemoryStore(shared[-1])

    monkeypatch.setattr(module, "make_history", make)

    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        rooms = make_rooms(URL, room.hub, Tickets([KEY], [KEY]))
        rooms.book = rooms.book.with_rooms("r", History(ttl=60.0))
        room.hub.history = rooms
        await rooms.start()
        assert [url for url, _ in made] == [URL] * 2
        connection = room.connect(bare=False)
        await connection.join("r")
        connection.to("r").send("kept")
        await asyncio.sleep(1)
        assert lane_of(connection).frames == [(1, b"kept")]
        entries = MemoryStore(shared[-1]).read_now(CHANNEL, History(ttl=60.0), 0, 10).entries
        assert len(entries) == 1
        before = made[-1][1]()
        await asyncio.sleep(61)
        assert made[-1][1]() - before >= 61
        assert MemoryStore(shared[-1]).read_now(CHANNEL, History(ttl=60.0), 0, 10).entries == ()
        await rooms.stop()

    run(test())
