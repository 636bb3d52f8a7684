from __future__ import annotations

import asyncio
import threading

import pytest

from odac.realtime.audience import Audience, user_room
from odac.realtime.connection import Connection
from odac.realtime.ports import Count
from odac.realtime.targets import Target
from odac.realtime.ws_server import WsServer
from tests.unit.realtime.realtime_fakes import Room, close_code, lane_of, run
from tests.unit.realtime.test_hub import FakeBus


def of_user(room: Room, name: str) -> Connection:
    connection = room.connect()
    room.hub.enter(connection, user_room(name))
    return connection


def test_all_of_a_users_connections_join_and_leave_here_and_everywhere() -> None:
    room = Room()
    bus = room.hub.bus = FakeBus()
    ada, ada_too, bob = of_user(room, "ada"), of_user(room, "ada"), of_user(room, "bob")
    audience = Audience((user_room("ada"),))
    bus.told.clear()
    with room.kernel.in_place():
        WsServer(room.hub).user("ada").join("team")
        assert [each.rooms for each in (ada, ada_too, bob)] == [["team"], ["team"], []]
        WsServer(room.hub).user("ada").leave("team")
        WsServer(room.hub).user("ada").leave("never joined")
    assert [each.rooms for each in (ada, ada_too, bob)] == [[], [], []]
    assert bus.told == [
        ("opened", "team"),
        ("move", audience, "team", True),
        ("closed", "team"),
        ("move", audience, "team", False),
        ("move", audience, "never joined", False),
    ]


def test_a_target_is_narrowed_before_it_moves_or_closes() -> None:
    room = Room()
    one, two, three = (of_user(room, "ada") for _ in range(3))
    one.join("lobby")
    two.join("lobby")
    target: Target = WsServer(room.hub).user("ada").within("lobby").excluding(two)
    with room.kernel.in_place():
        target.join("game")
        assert [each.rooms for each in (one, two, three)] == [["lobby", "game"], ["lobby"], []]
        WsServer(room.hub).to("lobby", "game").leave("lobby")
        assert [each.rooms for each in (one, two, three)] == [["game"], [], []]
        WsServer(room.hub).user("ada").within("game").close(4001, "out")
    assert close_code(lane_of(one).frames[0]) == 4001
    assert two.is_open
    assert three.is_open


def test_a_connection_in_as_many_rooms_as_it_may_be_stays_out_and_the_others_join() -> None:
    room = Room()
    full, free = of_user(room, "ada"), of_user(room, "ada")
    limit = full.policy.limits.rooms_per_connection
    for number in range(limit):
        full.join(f"room {number}")
    with room.kernel.in_place():
        WsServer(room.hub).user("ada").join("team")
    assert "team" not in full.rooms
    assert free.rooms == ["team"]


def test_names_are_checked_where_they_are_given() -> None:
    target = WsServer(Room().hub).user("ada")
    for call in (target.join, target.leave, target.within):
        with pytest.raises(ValueError, match="must not be empty"):
            call("")


def test_from_another_thread() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        ada = of_user(room, "ada")
        thread = threading.Thread(target=lambda: WsServer(room.hub).user("ada").join("team"))
        thread.start()
        await asyncio.to_thread(thread.join)
        await asyncio.sleep(0)
        assert ada.rooms == ["team"]
        assert await WsServer(room.hub).user("ada").within("team").count() == Count(1, 1, 1)

    run(test())


def test_an_order_from_a_thread_spares_who_connects_before_the_loop_comes_to_it() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        before = of_user(room, "ada")
        thread = threading.Thread(target=lambda: WsServer(room.hub).user("ada").close(4001, "out"))
        thread.start()
        thread.join()  # the loop stands still, as one that is busy does
        after = of_user(room, "ada")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not before.is_open
        assert after.is_open

    run(test())


def test_an_order_reaches_a_connection_whose_user_is_recognised_only_afterwards() -> None:
    room = Room()
    early = room.connect()
    with room.kernel.in_place():
        WsServer(room.hub).user("ada").close(4001, "out")
    late = room.connect()
    with room.kernel.in_place():
        room.hub.enter(early, user_room("ada"))
        room.hub.enter(late, user_room("ada"))
    assert close_code(lane_of(early).frames[0]) == 4001
    assert late.is_open
