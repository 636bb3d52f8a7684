from __future__ import annotations

import asyncio

import pytest

from odac.realtime.audience import user_room
from odac.realtime.ports import Count
from odac.realtime.ws_server import WsServer
from tests.unit.realtime.realtime_fakes import Room, close_code, lane_of, run


def test_clients_is_a_live_view_that_cannot_be_changed() -> None:
    room = Room()
    server = WsServer(room.hub)
    clients = server.clients
    one = room.connect()
    room.connect(admitted=False)
    assert dict(clients) == {one.id: one}
    assert server.client_count == 1
    with pytest.raises(TypeError):
        clients["x"] = one  # type: ignore[index]
    one.close()
    assert dict(clients) == {}


def test_to_room_broadcast_and_to() -> None:
    room = Room()
    server = WsServer(room.hub)
    one, two = room.connect(), room.connect()
    one.join("r")
    with room.kernel.in_place():
        server.to_room("r", 1)
        server.broadcast(2)
        server.to("r", "s").excluding(one).send(3)
        room.loop.run()
    assert [payload for _, payload in lane_of(one).frames] == [b"1", b"2"]
    assert [payload for _, payload in lane_of(two).frames] == [b"2"]


def test_wrong_arguments_raise_at_the_call() -> None:
    server = WsServer(Room().hub)
    with pytest.raises(ValueError, match="empty"):
        server.to_room("", 1)
    with pytest.raises(TypeError, match="str"):
        server.to_room(7, 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cannot send"):
        server.broadcast(object())
    with pytest.raises(ValueError, match="close code"):
        server.user(7).close(1006)


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


def test_healthy_is_false_while_it_drains_and_while_the_bus_is_lost() -> None:
    class Bus:
        healthy = False

    room = Room()
    server = WsServer(room.hub)
    states = [server.healthy]
    room.hub.bus = Bus()  # type: ignore[assignment]
    states.append(server.healthy)
    room.hub.bus = None
    room.hub.draining = True
    states.append(server.healthy)
    assert states == [True, False, False]
