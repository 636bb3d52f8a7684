from __future__ import annotations

import asyncio
import threading
from functools import partial
from time import monotonic

import pytest

from odac.protocol.codec import encode
from odac.realtime.audience import EVERYONE, Audience
from odac.realtime.ports import Count
from tests.unit.realtime.realtime_fakes import FakeBus, Room, close_code, lane_of, run


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        (EVERYONE, {"a", "b", "c"}),
        (Audience(("r",)), {"a", "b"}),
        (Audience(("r", "s")), {"a", "b", "c"}),
        (Audience(("r",), ("s",)), {"b"}),
        (Audience(("r",), ("s", "missing")), set()),
        (Audience((), ("s",)), {"b", "c"}),
        (Audience(("missing",)), set()),
        (Audience(("r",), (), frozenset({"id of a"})), {"b"}),
        (Audience((), (), frozenset({"id of a", "id of nobody"})), {"b", "c"}),
    ],
)
def test_every_way_to_name_an_audience_means_the_same_people(audience: Audience, expected: set[str]) -> None:
    room = Room()
    people = {name: room.connect() for name in "abc"}
    for name, home in {"a": "r", "b": "rs", "c": "s"}.items():
        for letter in home:
            people[name].join(letter)
    ids = {f"id of {name}": each.id for name, each in people.items()}
    rooms, within, excluded = audience
    audience = Audience(rooms, within, frozenset(ids.get(each, each) for each in excluded))
    assert room.hub.orders.count_local(audience) == len(expected)
    with room.kernel.in_place():
        room.hub.deliver(audience, encode("x"))
        room.loop.run()
        assert {name for name, each in people.items() if lane_of(each).frames} == expected
        room.hub.orders.close_local(audience, 4000, "", monotonic())
    assert {name for name, each in people.items() if not each.is_open} == expected


def test_close_reaches_the_bus_as_well() -> None:
    room = Room()
    bus = FakeBus()
    room.hub.connect_bus(bus)
    one = room.connect()
    with room.kernel.in_place():
        room.hub.orders.close(EVERYONE, 4001, "out")
    assert bus.told == [("close", EVERYONE, 4001, "out")]
    assert close_code(lane_of(one).frames[0]) == 4001


def test_count_asks_the_bus_where_there_is_one() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        room.connect()
        assert await room.hub.orders.count(EVERYONE, 1.0) == Count(1, 1, 1)
        room.hub.connect_bus(FakeBus())
        assert await room.hub.orders.count(EVERYONE, 1.0) == Count(7, 2, 3)

    run(test())


def test_a_move_reaches_the_bus_as_well() -> None:
    room = Room()
    bus = FakeBus()
    one = room.connect()
    one.join("a")
    room.hub.connect_bus(bus)
    room.hub.orders.move(Audience(("a",)), "b", joins=True)
    assert one.rooms == ["a", "b"]
    room.hub.orders.move(Audience(("b",)), "a", joins=False)
    assert one.rooms == ["b"]
    moved = [each for each in bus.told if each[0] == "move"]
    assert moved == [("move", Audience(("a",)), "b", True), ("move", Audience(("b",)), "a", False)]


def test_an_order_from_another_thread_is_carried_out_on_the_loop() -> None:
    room = Room()
    one = room.connect()
    thread = threading.Thread(target=partial(room.hub.orders.move, EVERYONE, "r", joins=True))
    thread.start()
    thread.join()
    assert one.rooms == []
    room.loop.run()
    assert one.rooms == ["r"]


def test_an_order_to_close_spares_what_was_opened_after_it() -> None:
    room = Room()
    before = room.connect()
    given = monotonic()
    after = room.connect()
    after.opened_at = given + 1.0
    with room.kernel.in_place():
        room.hub.orders.close_local(EVERYONE, 4001, "out", given)
    assert [before.is_open, after.is_open] == [False, True]
