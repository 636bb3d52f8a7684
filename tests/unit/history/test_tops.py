"""When the top of a room is published once more."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from odac.history.store import Appended, HistoryStore, StoreAway, decode_notice
from odac.history.tops import Tops

EPOCH = b"e" * 16


class Store:
    def __init__(self) -> None:
        self.published: list[tuple[str, int]] = []
        self.is_away = False
        self.during: Any = None

    async def publish(self, channel: str, payload: bytes) -> None:
        if self.is_away:
            raise StoreAway("away")
        notice = decode_notice(payload)
        assert notice.epoch == EPOCH
        self.published.append((channel, notice.first))
        if self.during is not None:
            self.during()


def publish(tops: Tops, store: Store, before: float) -> None:
    asyncio.run(tops.publish(cast(HistoryStore, store), before))


def test_a_room_that_is_appended_to_again_waits_longer() -> None:
    tops, store = Tops(), Store()
    tops.appended("a", Appended(EPOCH, 1), 1.0)
    tops.appended("b", Appended(EPOCH, 7), 1.0)
    tops.appended("a", Appended(EPOCH, 2), 3.0)
    publish(tops, store, 2.0)
    assert store.published == [("b", 7)]
    publish(tops, store, 3.0)
    publish(tops, store, 9.0)
    assert store.published == [("b", 7), ("a", 2)]
    assert len(tops) == 0


def test_what_could_not_be_published_is_published_later() -> None:
    tops, store = Tops(), Store()
    tops.appended("a", Appended(EPOCH, 1), 1.0)
    store.is_away = True
    with pytest.raises(StoreAway):
        publish(tops, store, 5.0)
    store.is_away = False
    publish(tops, store, 5.0)
    assert store.published == [("a", 1)]


def test_an_append_meanwhile_is_published_for_itself() -> None:
    tops, store = Tops(), Store()
    tops.appended("a", Appended(EPOCH, 1), 1.0)
    store.during = lambda: tops.appended("a", Appended(EPOCH, 2), 4.0)
    publish(tops, store, 2.0)
    store.during = None
    publish(tops, store, 4.0)
    assert store.published == [("a", 1), ("a", 2)]
