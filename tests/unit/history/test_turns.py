"""Members that catch up, in turn."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from odac.history import turns
from odac.history.turns import Turns
from tests.unit.realtime.realtime_fakes import ManualLoop


class Feed:
    def __init__(self, loop: ManualLoop, costs: float) -> None:
        self.cursors: dict[str, Any] = {}
        self.ran: list[str] = []
        self._loop = loop
        self._costs = costs

    def run(self, cursor: Any) -> None:
        self.ran.append(cursor.connection)
        self._loop.now += self._costs

    def cursor(self, name: str) -> Any:
        cursor = SimpleNamespace(connection=name, feed=self)
        self.cursors[name] = cursor
        return cursor


def with_turns(costs: float) -> tuple[Turns, Feed, ManualLoop]:
    loop = ManualLoop()
    hub = SimpleNamespace(delivery=SimpleNamespace(loop=cast("asyncio.AbstractEventLoop", loop)))
    return Turns(cast("Any", hub)), Feed(loop, costs), loop


def test_all_go_in_one_turn_of_the_loop_where_there_is_time() -> None:
    waiting, feed, loop = with_turns(0.0)
    for name in "abc":
        waiting.add(feed.cursor(name))
    loop.turn()
    assert feed.ran == ["a", "b", "c"]


def test_others_have_their_turn_when_the_slice_is_used_up() -> None:
    waiting, feed, loop = with_turns(turns.SLICE / 2)
    for name in "abc":
        waiting.add(feed.cursor(name))
    loop.turn()
    assert feed.ran == ["a", "b"]
    loop.turn()
    assert feed.ran == ["a", "b", "c"]


def test_who_has_left_or_begun_anew_is_passed_over() -> None:
    waiting, feed, loop = with_turns(0.0)
    waiting.add(feed.cursor("a"))
    waiting.add(feed.cursor("b"))
    del feed.cursors["a"]
    feed.cursor("b")  # another one of the same connection
    loop.turn()
    assert feed.ran == []
