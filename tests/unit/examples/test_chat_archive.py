"""The chat's view of a room's history, over a history that a test moves."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from examples.chat import archive
from examples.chat.archive import Archive, archive_of
from examples.chat.core import KEPT_FOR
from examples.chat.messages import changed, now_ms, reacted, removed, said
from examples.chat.people import Person
from odac import BrokerError, CallError

ADA, BOB = Person("1", "Ada"), Person("2", "Bob")


class History:
    """What ``ws_server.history`` would return: entries of one epoch, the first of which may have gone."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.asked: list[str | None] = []
        self.is_away = False

    async def __call__(self, room: str, *, since: str | None = None) -> list[Any]:
        self.asked.append(since)
        if self.is_away:
            raise BrokerError("away")
        after = 0 if since is None else int(since)
        if after > len(self.events):
            raise LookupError
        return [
            SimpleNamespace(position=str(number), data=event)
            for number, event in enumerate(self.events, 1)
            if number > after
        ]


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> History:
    history = History()
    hub = SimpleNamespace(history=history)
    monkeypatch.setattr(archive, "app", SimpleNamespace(route=SimpleNamespace(ws_server=hub)))
    archive.forget_all()
    return history


def texts(room: Archive) -> list[str]:
    return [message["text"] for message in room.messages.values()]


def test_only_what_is_new_is_read(history: History) -> None:
    async def main() -> None:
        history.events = [said(ADA, "a", "one"), said(BOB, "a", "two")]
        assert texts(await archive_of("tea")) == ["one", "two"]
        history.events.append(said(ADA, "b", "three"))
        assert texts(await archive_of("tea")) == ["one", "two", "three"]
        assert history.asked == [None, "2"]

    asyncio.run(main())


def test_a_history_that_began_anew_is_read_from_its_beginning(history: History) -> None:
    async def main() -> None:
        history.events = [said(ADA, str(number), "old") for number in range(3)]
        await archive_of("tea")
        history.events = [said(ADA, "n", "new")]
        assert texts(await archive_of("tea")) == ["new"]

    asyncio.run(main())


def test_later_events_change_what_is_there_and_nothing_else(history: History) -> None:
    async def main() -> None:
        history.events = [
            said(ADA, "a", "one"),
            said(ADA, "a", "the same id once more"),
            changed("1.unknown", "x"),
            removed("1.unknown"),
            reacted("1.unknown", BOB, "👍", True),
            reacted("1.a", BOB, "👍", True),
            reacted("1.a", BOB, "👍", True),
            reacted("1.a", ADA, "👍", True),
            reacted("1.a", BOB, "👍", False),
            {"type": "announcement", "text": "none of ours"},
            {"type": "message", "text": "nor this"},
        ]
        (message,) = (await archive_of("tea")).messages.values()
        assert (message["text"], message["reactions"]) == ("one", {"👍": {"1": "Ada"}})

    asyncio.run(main())


def test_what_is_too_old_is_forgotten(history: History) -> None:
    async def main() -> None:
        old = {**said(ADA, "a", "old"), "at": now_ms() - int(KEPT_FOR * 1000) - 1}
        history.events = [old, said(ADA, "b", "new")]
        assert texts(await archive_of("tea")) == ["new"]

    asyncio.run(main())


def test_a_broker_that_is_away_is_said_to_the_caller(history: History) -> None:
    async def main() -> None:
        history.is_away = True
        with pytest.raises(CallError) as caught:
            await archive_of("tea")
        assert caught.value.code == "away"
        history.is_away = False
        history.events = [said(ADA, "a", "one")]
        assert texts(await archive_of("tea")) == ["one"]

    asyncio.run(main())


def test_the_rooms_that_were_not_asked_for_longest_are_forgotten(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        monkeypatch.setattr(archive, "MOST_ARCHIVES", 2)
        first = await archive_of("first")
        await archive_of("second")
        assert await archive_of("first") is first
        await archive_of("third")
        assert await archive_of("first") is first
        assert len(archive._archives) == 2

    asyncio.run(main())


def test_what_was_deleted_stays_deleted(history: History) -> None:
    async def main() -> None:
        history.events = [
            said(ADA, "a", "one"),
            removed("1.a"),
            changed("1.a", "back"),
            reacted("1.a", BOB, "👍", True),
        ]
        room = await archive_of("tea")
        assert (room.messages["1.a"]["text"], room.messages["1.a"]["reactions"]) == ("", {})
        assert room.containing("back", 5) == []

    asyncio.run(main())
