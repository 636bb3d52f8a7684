from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from odac.realtime.connection import Connection
from odac.realtime.ports import Count
from odac.realtime.ws_server import WsServer
from tests.unit.realtime.realtime_fakes import DEADLINE, Room, close_code, idle, lane_of, run


def test_who_goes_over_the_clients_may_let_them_come_and_go() -> None:
    room = Room()
    server = WsServer(room.hub)
    people = [room.connect() for _ in range(3)]
    ids = [each.id for each in people]
    seen = []
    for number, name in enumerate(server.clients):
        seen.append(name)
        room.connect()
        people[number].close()
    assert seen == ids
    for name in ("__iter__", "keys", "values", "items"):
        before = len(server.clients)
        assert len([room.connect() for _ in getattr(server.clients, name)()]) == before
    assert server.clients.get(ids[0]) is None


def test_clients_and_rooms_may_be_looked_at_from_another_thread() -> None:
    room = Room()
    server = WsServer(room.hub)
    stop = threading.Event()
    failures: list[BaseException] = []
    turns = threading.Semaphore(0)

    def look() -> None:
        try:
            while not stop.is_set():
                assert all(each.policy.path == "/test" for each in server.clients.values())
                assert all(len(name) == 22 for name in server.clients)
                assert len(server.clients.items()) + server.client_count + room.hub.room_count >= 0
                turns.release()
        except BaseException as error:
            failures.append(error)
            turns.release()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for number in range(50):
            people = [room.connect() for _ in range(50)]
            for each in people:
                each.join(f"room {each.id}")
            if number % 5 == 0:
                assert turns.acquire(timeout=DEADLINE)
            for each in people:
                each.close()
    finally:
        stop.set()
        thread.join()
    assert failures == []


def test_sending_and_closing_from_another_thread() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        server = WsServer(room.hub)
        plain, v1 = room.connect(), room.connect(speaks_odac=True)

        def elsewhere() -> None:
            for number in range(100):
                server.clients[plain.id].send(number)
            server.clients[plain.id].send_binary(b"binary")
            server.clients[v1.id].send("\x1etext")
            server.to_room("room", "nobody is there")
            server.clients[plain.id].close(4000)
            with pytest.raises(TypeError):
                plain.send(object())

        with room.kernel.in_place():
            for number in range(100):
                plain.send(number + 1000)
            await asyncio.to_thread(elsewhere)
            await idle()
        frames = lane_of(plain).frames
        assert close_code(frames.pop()) == 4000
        payloads = [payload for _, payload in frames]
        assert payloads == [*(b"%d" % number for number in (*range(1000, 1100), *range(100))), b"binary"]
        assert lane_of(v1).frames == [(1, b"\x1e\x1etext")]

    run(test())


def test_sending_when_the_loop_has_ended_is_as_to_a_gone_peer() -> None:
    async def test() -> Connection:
        return Room(loop=asyncio.get_running_loop()).connect()

    connection = run(test())
    for call in (lambda: connection.send(1), connection.close):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()


def test_what_belongs_to_the_loops_thread_says_so_elsewhere() -> None:
    async def test() -> None:
        connection = Room(loop=asyncio.get_running_loop()).connect()
        calls: list[Callable[[], object]] = [
            lambda: connection.join("room"),
            lambda: connection.leave("room"),
            connection.ping,
            lambda: connection.on("message", print),
            lambda: connection.off("message"),
        ]
        for call in calls:
            with pytest.raises(RuntimeError, match="call_soon_threadsafe"):
                await asyncio.to_thread(call)

    run(test())


def test_counting_from_another_event_loop() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        room.connect()
        assert await asyncio.to_thread(lambda: asyncio.run(WsServer(room.hub).count())) == Count(1, 1, 1)

    run(test())


def test_clients_has_the_admitted_connections_and_is_read_only() -> None:
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


def test_healthy_is_false_while_it_drains_and_while_the_bus_is_lost() -> None:
    class Bus:
        healthy = False

    room = Room()
    server = WsServer(room.hub)
    states = [server.healthy]
    room.hub.connect_bus(Bus())  # type: ignore[arg-type]
    states.append(server.healthy)
    room.hub.connect_bus(None)
    room.hub.draining = True
    states.append(server.healthy)
    assert states == [True, False, False]
