from __future__ import annotations

from collections.abc import Iterator

import pytest

from odac.config import Limits
from odac.notices import limit_hits
from odac.realtime.connection import Connection
from odac.realtime.queue import MessageQueue
from odac.wire.frames import PING
from tests.unit.realtime.realtime_fakes import Room, lane_of


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room(Limits(ping_interval=25, pong_timeout=20))
    with made.kernel.in_place():
        yield made


def asked(connection: Connection) -> int:
    """How often it was asked for an answer."""
    return sum(1 for opcode, payload in lane_of(connection).frames if opcode == PING or payload == b'\x1e["ping"]')


def answer(connection: Connection) -> None:
    connection.due = None


def test_a_connection_that_answers_is_asked_every_interval(room: Room) -> None:
    connection = room.connect()
    for number in range(1, 5):
        room.loop.advance(25)
        assert asked(connection) == number
        answer(connection)
    assert connection.is_open


def test_one_that_does_not_is_cut_off_after_the_timeout(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    connection = room.connect()
    room.loop.advance(25)
    room.loop.advance(18)
    assert not lane_of(connection).aborted
    room.loop.advance(2)
    assert lane_of(connection).cuts == [(1011, "no answer to a ping within 20 s")]
    assert asked(connection) == 1
    assert limit_hits()["pong_timeout"] == 1
    assert "Limits.pong_timeout" in caplog.text


@pytest.mark.parametrize("v1", [True, False])
def test_odac_v1_is_asked_by_a_control_message_others_by_a_frame(room: Room, v1: bool) -> None:
    connection = room.connect(speaks_odac=v1)
    room.loop.advance(25)
    assert lane_of(connection).frames == [(1, b'\x1e["ping"]') if v1 else (PING, b"")]


def test_whoever_comes_in_between_delays_nobody(room: Room) -> None:
    """The promise of hello: something at least every ``ping`` seconds, whatever the others do."""
    people: list[Connection] = []
    last: dict[int, tuple[int, float]] = {}
    for second in range(200):
        if second % 3 == 0 and len(people) < 40:
            people.append(room.connect())
            last[len(people) - 1] = (0, room.loop.now)
        room.loop.advance(1)
        for index, connection in enumerate(people):
            answer(connection)
            count, since = last[index]
            if asked(connection) > count:
                last[index] = (asked(connection), room.loop.now)
            else:
                assert room.loop.now - since <= 26
    assert all(connection.is_open for connection in people)


def test_a_timeout_longer_than_the_interval_keeps_both_promises() -> None:
    room = Room(Limits(ping_interval=5, pong_timeout=20))
    with room.kernel.in_place():
        good, bad, late = room.connect(), room.connect(), room.connect()
        for second in range(1, 31):
            room.loop.advance(1)
            if good.is_open:
                answer(good)
            if second == 12:
                answer(late)
        assert asked(good) == 6
        assert lane_of(bad).aborted
        assert not lane_of(late).aborted
        room.loop.advance(7)
        assert lane_of(late).aborted
        assert good.is_open


def test_who_is_not_read_from_because_of_a_slow_handler_is_not_taken_for_dead(room: Room) -> None:
    connection = room.connect()
    queue = connection.inbox._queue = MessageQueue()
    queue.is_paused = True
    room.loop.advance(500)
    assert connection.is_open
    queue.is_paused = False
    room.loop.advance(100)
    assert lane_of(connection).aborted


def test_ten_thousand_connections_take_few_wake_ups() -> None:
    room = Room()
    with room.kernel.in_place():
        people = []
        for _ in range(100):
            people += [room.connect() for _ in range(100)]
            room.loop.advance(0.2)
        beats = 0
        heartbeat = room.hub._heartbeat
        assert heartbeat is not None
        beat = type(heartbeat)._beat

        def counted(self: object) -> None:
            nonlocal beats
            beats += 1
            beat(self)  # type: ignore[arg-type]

        type(heartbeat)._beat = counted  # type: ignore[method-assign]
        try:
            for _ in range(25):
                room.loop.advance(1)
                for each in people:
                    answer(each)
        finally:
            type(heartbeat)._beat = beat  # type: ignore[method-assign]
        assert all(asked(each) == 1 for each in people)
        assert beats <= 80


def test_closed_connections_are_forgotten_before_their_turn_where_many_come_and_go(room: Room) -> None:
    heartbeat = room.hub._heartbeat
    assert heartbeat is not None
    for _ in range(5000):
        lane_of(room.connect()).lose()
    assert sum(len(connections) for _, connections in heartbeat._to_ping) < 500


def test_without_connections_there_is_no_timer(room: Room) -> None:
    heartbeat = room.hub._heartbeat
    assert heartbeat is not None
    lane_of(room.connect()).lose()
    room.loop.advance(60)
    assert heartbeat._timer is None
    later = room.connect()
    room.loop.advance(25)
    assert asked(later) == 1


def test_a_late_beat_lets_what_has_arrived_be_read_first(room: Room) -> None:
    """Another connection held up the loop beyond the timeout: the pong is there, and its turn comes after the timers'."""
    healthy, dead = room.connect(), room.connect()
    room.loop.advance(25)
    room.loop.now += 40
    room.loop.advance(0)
    assert (lane_of(healthy).cuts, lane_of(dead).cuts) == ([], [])
    answer(healthy)
    room.loop.advance(1)
    assert healthy.is_open
    assert lane_of(healthy).cuts == []
    assert len(lane_of(dead).cuts) == 1


def test_a_loop_that_is_always_late_does_not_keep_the_dead(room: Room) -> None:
    dead = room.connect()
    room.loop.advance(25)
    for _ in range(4):
        room.loop.now += 40
        room.loop.advance(0)
    assert len(lane_of(dead).cuts) == 1
