from __future__ import annotations

import asyncio
from unittest.mock import patch

import pytest

from odac.config import Limits
from odac.notices import limit_hits
from odac.realtime import backlog, outbox
from odac.realtime.sent import SENT
from odac.wire.frames import TEXT
from tests.unit.realtime.realtime_fakes import Room, close_code, idle, lane_of, run


def texts(frames: list[tuple[int, bytes]]) -> list[bytes]:
    assert all(opcode == TEXT for opcode, _ in frames)
    return [payload for _, payload in frames]


def test_sends_of_one_tick_leave_in_one_write() -> None:
    room = Room()
    connection = room.connect()
    lane = lane_of(connection)
    with (
        room.kernel.in_place(),
        patch.object(type(lane), "write", autospec=True, side_effect=type(lane).write) as write,
    ):
        for number in range(10):
            assert connection.send(number) is SENT
        assert lane.wire == b""
        room.loop.run()
        assert write.call_count == 1
    assert texts(lane.frames) == [b"%d" % number for number in range(10)]


def test_what_fills_a_socket_buffer_does_not_wait_for_the_end_of_the_tick() -> None:
    room = Room()
    connection = room.connect()
    with room.kernel.in_place(), patch.object(outbox, "FLUSH_BYTES", 100):
        for _ in range(30):
            connection.send("x" * 10)
        assert len(lane_of(connection).frames) > 20


def test_a_corked_connection_writes_when_it_is_uncorked() -> None:
    room = Room()
    connection = room.connect()
    with room.kernel.in_place():
        connection.outbox.cork()
        connection.send("a")
        room.loop.run()
        assert lane_of(connection).frames == []
        connection.outbox.uncork()
        assert texts(lane_of(connection).frames) == [b"a"]


def test_awaiting_a_send_without_congestion_returns_at_once() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        with room.kernel.in_place():
            await room.connect().send("x")

    run(test())


def test_awaiting_a_send_waits_until_the_peer_has_read() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        connection = room.connect()
        lane = lane_of(connection)
        with room.kernel.in_place():
            lane.room = 3
            connection.send("hello")
            await idle()
            waiting = asyncio.ensure_future(_send(connection))
            await idle()
            assert not waiting.done()
            lane.grant(2)
            await idle()
            assert not waiting.done()
            lane.grant(None)
            await waiting
            assert texts(lane.frames) == [b"hello", b"again"]

    async def _send(connection: object) -> None:
        await connection.send("again")  # type: ignore[attr-defined]

    run(test())


def test_the_end_of_the_connection_ends_the_wait() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        connection = room.connect()
        with room.kernel.in_place():
            lane_of(connection).room = 0
            connection.send("hello")
            await idle()
            sent = connection.send("again")
            waiting = asyncio.ensure_future(asyncio.wait_for(sent, 5))
            await idle()
            assert not waiting.done()
            lane_of(connection).lose()
            await waiting

    run(test())


def test_a_loop_of_awaited_sends_gives_the_others_their_turn() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        connection = room.connect()
        with room.kernel.in_place():
            turns = 0

            def turn() -> None:
                nonlocal turns
                turns += 1
                asyncio.get_running_loop().call_soon(turn)

            turn()
            for _ in range(1000):
                await connection.send("x" * 1000)
        assert turns > 5

    run(test())


def test_a_room_message_that_does_not_fit_is_dropped_and_never_closes_with_drop_oldest() -> None:
    room = Room(Limits(outgoing_buffer=600))
    connection = room.connect(overflow="drop_oldest")
    connection.join("r")
    lane = lane_of(connection)
    with room.kernel.in_place():
        lane.room = 0
        connection.send("a" * 40)
        room.loop.run()
        connection.send("b" * 40)
        room.loop.run()
        room.to("r").send("c" * 60)
        room.loop.run()
        assert connection.is_open
        lane.grant(None)
        room.loop.run()
    assert texts(lane.frames) == [b"a" * 40, b"b" * 40]
    assert room.hub.delivery.dropped_messages == 1
    assert limit_hits()["outgoing_buffer"] == 1


@pytest.mark.parametrize("overflow", ["close", "drop_oldest"])
def test_direct_messages_over_the_limit_close_with_1013(overflow: str, caplog: pytest.LogCaptureFixture) -> None:
    room = Room(Limits(outgoing_buffer=100))
    connection = room.connect(overflow=overflow)
    lane = lane_of(connection)
    with room.kernel.in_place():
        lane.room = 0
        for _ in range(3):
            connection.send("x" * 60)
            room.loop.run()
        assert not connection.is_open
        lane.grant(None)
    assert close_code(lane.frames[-1]) == 1013
    assert room.hub.delivery.overflows == limit_hits()["outgoing_buffer"] == 1
    assert "outgoing_buffer" in caplog.text
    assert "/test" in caplog.text


def test_one_message_over_the_limit_passes_when_nothing_waits() -> None:
    room = Room(Limits(outgoing_buffer=100))
    connection = room.connect()
    with room.kernel.in_place():
        lane_of(connection).room = 10
        connection.send("x" * 500)
        room.loop.run()
        lane_of(connection).grant(None)
    assert texts(lane_of(connection).frames) == [b"x" * 500]


def test_close_waits_behind_what_a_slow_reader_has_yet_to_read() -> None:
    room = Room()
    connection = room.connect()
    lane = lane_of(connection)
    with room.kernel.in_place():
        lane.room = 5
        connection.send("first")
        room.loop.run()
        connection.send("second")
        connection.close(4000, "end")
        assert lane.expects_end
        assert lane.ending is None
        lane.grant(None)
    assert texts(lane.frames[:2]) == [b"first", b"second"]
    assert close_code(lane.frames[2]) == 4000


def test_nothing_is_sent_behind_a_close() -> None:
    room = Room()
    connection = room.connect()
    connection.join("r")
    with room.kernel.in_place():
        connection.send(1)
        connection.close()
        connection.send(2)
        connection.send_binary(b"3")
        connection.ping()
        room.to("r").send(4)
        connection.broadcast(5)
        connection.close(4000)
        room.loop.run()
    assert lane_of(connection).frames == [(TEXT, b"1"), (8, b"\x03\xe8")]


def test_what_the_kernel_does_not_take_stays_here_where_it_can_be_dropped() -> None:
    room = Room(Limits(outgoing_buffer=100_000))
    connection = room.connect(overflow="drop_oldest")
    connection.join("r")
    lane = lane_of(connection)
    with room.kernel.in_place(), patch.object(backlog, "FLUSH_BYTES", 100):
        lane.room = 0
        for _ in range(20):
            room.to("r").send("x" * 50)
            room.loop.run()
        lane.grant(150)
        assert len(lane.held) <= 2 * 100
        assert connection.outbox.backlog is not None
        assert not connection.outbox.backlog.is_empty


def test_a_reader_that_is_too_slow_gets_nothing_more_from_the_rooms() -> None:
    """Not even what they were sent in the same tick: it would come behind a gap."""
    room = Room(Limits(outgoing_buffer=1000))
    connection = room.connect()
    connection.join("r")
    lane = lane_of(connection)
    with room.kernel.in_place():
        lane.room = 0
        connection.send("x" * 60)
        room.loop.run()
        connection.outbox.cork()
        connection.send("y" * 1000)
        room.to("r").send("behind the gap")
        connection.outbox.uncork()
        room.loop.run()
        assert not connection.is_open
        lane.grant(None)
    assert close_code(lane.frames[-1]) == 1013
    assert b"behind the gap" not in lane.wire
