from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from odac.realtime.audience import Audience, user_room
from odac.realtime.connection import Connection
from odac.realtime.ports import Count
from odac.realtime.targets import Target
from odac.realtime.ws_server import WsServer
from tests.unit.realtime.realtime_fakes import FakeBus, Room, close_code, lane_of, run


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


@pytest.mark.parametrize("wrong", [5, None, ["id"], SimpleNamespace(id=5), b"id"])
def test_what_is_neither_a_connection_nor_its_id_cannot_be_excluded(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"excluding\(\) takes ids of connections, each a str such as odac\.ws\.id"):
        WsServer(Room().hub).to("r").excluding(wrong)


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


def test_an_order_from_a_thread_spares_clients_that_connect_before_the_loop_runs_it() -> None:
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


def test_targets_are_checked_when_they_are_made() -> None:
    room = Room()
    with pytest.raises(ValueError, match="broadcast"):
        room.to()
    with pytest.raises(ValueError, match="control character"):
        room.to("r", "a\n")
    with pytest.raises(ValueError, match="empty"):
        room.to("r").within("")
    with pytest.raises(TypeError, match="str"):
        room.to("r", cast(str, 7))
    with pytest.raises(TypeError, match="cannot send"):
        room.to("r").send(object())
    with pytest.raises(TypeError, match="send_binary"):
        room.to("r").send_binary("text")


def test_a_target_is_not_changed_by_narrowing_it() -> None:
    room = Room()
    one, two = room.connect(), room.connect()
    for each in (one, two):
        each.join("r")
    with room.kernel.in_place():
        everyone = room.to("r")
        everyone.excluding(one).send(1)
        everyone.send(2)
        room.loop.run()
    assert lane_of(one).frames == [(1, b"2")]
    assert lane_of(two).frames == [(1, b"1"), (1, b"2")]


def test_a_users_connections() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        server = WsServer(room.hub)
        phone, laptop, other = (room.connect() for _ in range(3))
        for each in (phone, laptop):
            room.hub.enter(each, user_room("7"))
        with room.kernel.in_place():
            server.user(7).send("hi")
            assert await server.user("7").count() == Count(2, 1, 1)
            assert await server.count() == Count(3, 1, 1)
            assert await server.count("r") == Count(0, 1, 1)
            server.user(7).close(4001, "out")
        assert [close_code(lane_of(each).frames[-1]) for each in (phone, laptop)] == [4001, 4001]
        assert lane_of(phone).frames[0] == (1, b"hi")
        assert lane_of(other).frames == []

    run(test())


def test_closing_a_room_closes_its_members_and_no_other() -> None:
    room = Room()
    server = WsServer(room.hub)
    member, host, guest, _ = people = [room.connect() for _ in range(4)]
    for each in (member, host, guest):
        each.join("r")
    guest.join("vip")

    def open_ones() -> list[bool]:
        return [each.is_open for each in people]

    with room.kernel.in_place():
        server.to("r").excluding(host).within("vip").close(4002, "guests only")
        room.loop.run()
        assert open_ones() == [True, True, False, True]
        server.to("r").excluding(host).close(4003, "The room is closed")
        room.loop.run()
        assert open_ones() == [False, True, False, True]
    assert [close_code(lane_of(each).frames[-1]) for each in (guest, member)] == [4002, 4003]
    for code, reason in ((1006, ""), (1000, "x" * 124)):
        with pytest.raises(ValueError, match=r"1006|123"):
            server.to("r").close(code, reason)
    assert open_ones() == [False, True, False, True]


def test_a_user_gets_binary_messages_too() -> None:
    room = Room()
    server = WsServer(room.hub)
    one, two = room.connect(), room.connect()
    room.hub.enter(one, user_room("7"))
    with room.kernel.in_place():
        server.user(7).send_binary(bytearray(b"\x00\x01"))
        room.loop.run()
    assert [(opcode, payload) for opcode, payload in lane_of(one).frames] == [(2, b"\x00\x01")]
    assert lane_of(two).frames == []
    with pytest.raises(TypeError):
        server.user(7).send_binary("text")
