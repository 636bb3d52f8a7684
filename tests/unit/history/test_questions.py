"""What the app asks of rooms with history."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from types import SimpleNamespace
from typing import Any, cast

import pytest

from odac.history.memory_store import MemoryStore, Shared
from odac.history.questions import HistoryQuestions
from odac.history.rules import History, RuleBook
from odac.history.store import Message, encode_message
from odac.realtime.audience import user_room
from tests.unit.history.history_fakes import EPOCH, OTHER


class World:
    def __init__(self) -> None:
        self.store = MemoryStore(Shared(lambda: 1000.0))
        self.moved: list[Any] = []
        self.read_again: list[str] = []
        self.gaps = 0
        self.feed = SimpleNamespace(tell_gap_to_all=self._gap)
        rooms = SimpleNamespace(
            book=RuleBook().with_rooms("room", History(size=10)),
            store=self.store,
            channel_of="ch-{}".format,
            feeds=SimpleNamespace(read_again=self._read_again),
        )
        hub = SimpleNamespace(
            delivery=SimpleNamespace(loop=asyncio.get_running_loop(), thread=get_ident()),
            orders=SimpleNamespace(move=lambda *order, joins: self.moved.append((*order, joins))),
        )
        self.ask = HistoryQuestions(cast("Any", rooms), cast("Any", hub))

    def _gap(self) -> None:
        self.gaps += 1

    def _read_again(self, room: str) -> Any:
        self.read_again.append(room)
        return self.feed

    def append(self, *texts: bytes, epoch: bytes = EPOCH) -> None:
        bodies = [encode_message(Message((), 1, text)) for text in texts]
        self.store.append_now("ch-room", History(size=10), b"%16d" % len(texts), 1, bodies, epoch)


def test_the_last_ones_or_those_behind_a_position() -> None:
    async def main() -> None:
        world = World()
        world.append(b"1", b"2", b"3")
        entries = await world.ask.history("room", 2, None)
        assert [(each.data, each.time) for each in entries] == [(2, 1000.0), (3, 1000.0)]
        assert [each.data for each in await world.ask.history("room", None, None)] == [1, 2, 3]
        assert [each.data for each in await world.ask.history("room", None, entries[0].position)] == [3]
        assert await world.ask.history("room", 0, None) == []

    asyncio.run(main())


def test_a_position_of_another_epoch_is_not_continued() -> None:
    async def main() -> None:
        world = World()
        world.append(b"1")
        (entry,) = await world.ask.history("room", 1, None)
        world.store.rings.erase("ch-room")
        world.append(b"2", b"3", epoch=OTHER)
        with pytest.raises(LookupError, match="load the state"):
            await world.ask.history("room", None, entry.position)
        for wrong in ("", "5", "x.5", f"{entry.position}x"):
            with pytest.raises(ValueError, match="must be the position"):
                await world.ask.history("room", None, wrong)

    asyncio.run(main())


def test_a_room_without_a_rule_is_named() -> None:
    async def main() -> None:
        ask = World().ask
        for question in (ask.history("plain", 1, None), ask.forget("plain"), ask.revoke("plain", "7")):
            with pytest.raises(ValueError, match=r"app\.rooms\('plain'"):
                await question

    asyncio.run(main())


def test_to_forget_is_told_and_to_revoke_moves_the_user_out() -> None:
    async def main() -> None:
        world = World()
        world.append(b"1")
        await world.ask.revoke("room", "7")
        ((audience, room, joins),) = world.moved
        assert (audience.rooms, room, joins) == ((user_room("7"),), "room", False)
        await world.ask.forget("room")
        assert world.gaps == 1
        assert world.read_again == ["room", "room"]
        assert await world.ask.history("room", None, None) == []

    asyncio.run(main())


def test_another_thread_asks_the_hubs_loop() -> None:
    async def main() -> None:
        world = World()
        world.append(b"1")
        (entry,) = await asyncio.to_thread(lambda: asyncio.run(world.ask.history("room", 1, None)))
        assert entry.data == 1

    asyncio.run(main())
