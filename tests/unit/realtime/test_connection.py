from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from odac.realtime.connection import ReadyState
from tests.unit.realtime.realtime_fakes import DEADLINE, Room, idle, lane_of, run


def test_ids_are_long_and_never_the_same() -> None:
    room = Room()
    ids = {room.connect().id for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(each) for each in ids} == {22}  # 128 bits in base64url


def test_a_plain_for_loop_is_an_error_that_names_async_for() -> None:
    with pytest.raises(TypeError, match=r"async for message in odac\.ws"):
        list(Room().connect())


def test_the_states() -> None:
    room = Room()
    connection = room.connect()
    states = [connection.ready_state]
    connection.close()
    states.append(connection.ready_state)
    lane_of(connection).lose()
    states.append(connection.ready_state)
    assert states == [ReadyState.OPEN, ReadyState.CLOSING, ReadyState.CLOSED]
    assert "/test CLOSED" in repr(connection)


def test_rooms_is_a_copy() -> None:
    connection = Room().connect()
    connection.rooms.append("x")
    assert connection.rooms == []
    connection.join("r")
    assert Room().connect().rooms == []


def test_rooms_may_be_looked_at_from_any_thread_while_the_connection_joins_and_leaves() -> None:
    connection = Room().connect()
    looking, failures = threading.Event(), list[BaseException]()

    def look() -> None:
        try:
            for _ in range(20_000):
                assert connection.rooms.count("r1") <= 1
                looking.set()
        except BaseException as error:
            failures.append(error)
        finally:
            looking.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=look)
    thread.start()
    try:
        assert looking.wait(DEADLINE)
        while thread.is_alive():
            for number in range(50):
                connection.join(f"r{number}")
            for number in range(50):
                connection.leave(f"r{number}")
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert failures == []


def test_data_belongs_to_one_connection() -> None:
    room = Room()
    one, two = room.connect(), room.connect()
    one.data.x = 1
    assert one.data.x == 1
    assert not hasattr(two.data, "x")


@pytest.mark.parametrize(
    ("code", "reason"), [(1005, ""), (1006, ""), (999, ""), (2000, ""), (5000, ""), (1000, "x" * 124), (1000, "\ud800")]
)
def test_a_close_that_may_not_be_sent_raises_and_does_nothing(code: int, reason: str) -> None:
    connection = Room().connect()
    with pytest.raises(ValueError, match="close"):
        connection.close(code, reason)
    assert connection.is_open


def test_a_send_that_cannot_be_encoded_raises_even_without_members() -> None:
    connection = Room().connect()
    connection.close()
    for send in (connection.send, connection.broadcast):
        with pytest.raises(TypeError, match="cannot send"):
            send(object())
    with pytest.raises(TypeError, match="send_binary"):
        connection.send_binary("text")


# Escaping


@pytest.mark.parametrize(
    ("v1", "arrives", "expected"),
    [
        (True, b"plain", ["plain"]),
        (True, b"\x1e\x1etext", ["\x1etext"]),
        (True, b"\x1e\x1e\x1e", ["\x1e\x1e"]),
        (True, b'\x1e["unknown"]', []),
        (True, b"\x1e", []),
        (False, b"\x1e[1]", ["\x1e[1]"]),
        (False, b"\x1e\x1e", ["\x1e\x1e"]),
    ],
)
def test_only_odac_v1_unescapes(v1: bool, arrives: bytes, expected: list[str]) -> None:
    connection = Room().connect(speaks_odac=v1)
    told: list[object] = []
    connection.on("message", told.append)
    connection.inbox.receive_text(arrives)
    assert told == expected


def test_control_messages_are_answered_while_the_connection_is_open() -> None:
    room = Room()
    connection = room.connect(speaks_odac=True)
    with room.kernel.in_place():
        connection.inbox.receive_text(b'\x1e["ping"]')
        connection.close()
        connection.inbox.receive_text(b'\x1e["ping"]')
        room.loop.run()
    assert [payload for _, payload in lane_of(connection).frames] == [b'\x1e["pong"]', b"\x03\xe8"]


# What it owns


def test_nothing_begins_for_a_connection_that_has_ended() -> None:
    async def test() -> None:
        connection = Room(loop=asyncio.get_running_loop()).connect()
        lane_of(connection).lose()
        began: list[str] = []

        async def work() -> None:
            began.append("task")

        task = connection.own(work())
        connection.owned.set_timer(0, lambda: began.append("timer"))
        await idle()
        assert task.cancelled()
        assert began == []

    run(test())
