"""Sends, joins and closes that happen in the middle of a delivery, and before its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from odac.config import Limits
from odac.notices import limit_hits
from odac.realtime import delivery
from odac.realtime.connection import Connection
from odac.wire.frames import TEXT
from tests.unit.realtime.realtime_fakes import Room, close_code, lane_of


def texts(connection: Connection) -> list[str]:
    return [payload.decode() for opcode, payload in lane_of(connection).frames if opcode == TEXT]


class _Handler(logging.Handler):
    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self._act = act

    def emit(self, record: logging.LogRecord) -> None:
        self._act()


@contextmanager
def when_something_is_logged(act: Callable[[], None]) -> Iterator[None]:
    """The one way for the application's code to run in the middle of a delivery: a log handler that sends."""
    handler = _Handler(act)
    logger = logging.getLogger("odac")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def crowd(room: Room, *, bare: bool, slow: int = 1, count: int = 5) -> tuple[list[Connection], list[Connection]]:
    """Members that read, with as many among them whose kernel takes nothing and whose buffer the next message fills."""
    people = [room.connect(bare=bare) for _ in range(count)]
    stalled = [room.connect(bare=bare) for _ in range(slow)]
    for each in [*people, *stalled]:
        each.join("room")
    for each in stalled:
        lane_of(each).room = 0
        each.send("x" * 900)
        room.loop.run()
        each.send("x" * 50)
        room.loop.run()
    return people, stalled


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("mixed", [True, False])
def test_what_is_sent_in_the_middle_of_a_delivery_comes_behind_it(bare: bool, mixed: bool) -> None:
    room = Room(Limits(outgoing_buffer=1500))
    with room.kernel.in_place():
        people, (slow,) = crowd(room, bare=bare)

        def act() -> None:
            room.to("room").send("nested")
            for each in people:
                each.send("direct")
            room.to("room").send("nested again")

        with when_something_is_logged(act):
            room.to("room").send("a" * 300)
            if mixed:
                people[0].send("own")
            room.to("room").send("b" * 300)
            room.loop.run()
        room.to("room").send("later")
        room.loop.run()
        assert not slow.is_open
        for each in people:
            own = ["own"] if mixed and each is people[0] else []
            assert texts(each) == ["a" * 300, *own, "b" * 300, "nested", "direct", "nested again", "later"]


@pytest.mark.parametrize("bare", [True, False])
def test_whoever_joins_leaves_or_closes_in_the_middle_of_a_delivery_has_had_it_once(bare: bool) -> None:
    room = Room(Limits(outgoing_buffer=1500))
    with room.kernel.in_place():
        (leaves, closes, *stay), slow = crowd(room, bare=bare, slow=2)
        joins = room.connect(bare=bare)
        acted: list[bool] = []

        def act() -> None:
            if not acted:
                acted.append(True)
                leaves.leave("room")
                closes.close(4000)
                joins.join("room")
                room.to("room").send("nested")

        with when_something_is_logged(act):
            room.to("room").send("a" * 300)
            room.to("room").send("b" * 300)
            room.loop.run()
        room.loop.run()
        assert not any(each.is_open for each in slow)
        before = ["a" * 300, "b" * 300]
        assert texts(leaves) == texts(closes) == before
        assert close_code(lane_of(closes).frames[-1]) == 4000
        assert texts(joins) == ["nested"]
        assert [texts(each) for each in stay] == [[*before, "nested"]] * 3


def test_what_is_sent_in_the_middle_of_a_tick_without_room_messages_is_written() -> None:
    room = Room(Limits(outgoing_buffer=1500))
    with room.kernel.in_place():
        people, (slow,) = crowd(room, bare=True)

        def act() -> None:
            for each in people:
                each.send("nested")

        with when_something_is_logged(act):
            people[0].send("first")
            slow.send("y" * 600)
            people[1].send("first")
            room.loop.run()
        assert not slow.is_open
        for number, each in enumerate(people):
            each.send("last")
            room.loop.run()
            assert texts(each) == [*["first"] * (number < 2), "nested", "last"]


@pytest.mark.parametrize("bare", [True, False])
def test_a_close_listener_that_publishes_to_the_room(bare: bool) -> None:
    """Its connection is gone by then; the others get everything, in order and once."""
    room = Room(Limits(outgoing_buffer=1500))
    with room.kernel.in_place():
        people, (slow,) = crowd(room, bare=bare)
        slow.on("close", lambda code: room.to("room").send(f"gone {code}"))
        for number in range(3):
            room.to("room").send(f"{number}" * 300)
            if number == 1:
                lane_of(slow).lose()
        room.loop.run()
        assert [texts(each) for each in people] == [["0" * 300, "1" * 300, "gone 1006", "2" * 300]] * 5


def test_a_lane_that_raises_does_not_leave_the_others_to_a_delivery_that_never_ends() -> None:
    room = Room()
    with room.kernel.in_place():
        good, bad = room.connect(bare=False), room.connect(bare=False)
        for each in (good, bad):
            each.join("room")

        def fail(messages: object) -> None:
            raise ZeroDivisionError

        lane_of(bad).write = fail  # type: ignore[method-assign]
        room.to("room").send("1")
        with pytest.raises(ZeroDivisionError):
            room.loop.run()
        room.hub.remove(bad)
        room.to("room").send("2")
        room.loop.run()
        assert texts(good)[-1] == "2"
        assert texts(good).count("2") == 1


def test_messages_dropped_for_a_slow_reader_are_counted_at_once_and_told_once() -> None:
    room = Room(Limits(outgoing_buffer=1500))
    with room.kernel.in_place():
        slow = room.connect(overflow="drop_oldest")
        slow.join("room")
        lane_of(slow).room = 0
        slow.send("x" * 100)
        room.loop.run()
        for number in range(20):
            room.to("room").send(f"{number:0>100}")
            room.loop.run()
        assert room.hub.delivery.dropped_messages == 20 - 3
        assert limit_hits()["outgoing_buffer"] == 1
        lane_of(slow).grant(None)
        assert texts(slow) == ["x" * 100, *(f"{number:0>100}" for number in (17, 18, 19))]
        assert room.hub.delivery.dropped_messages == 17


@pytest.mark.parametrize("bare", [True, False])
def test_an_admitted_connection_gets_broadcasts_from_then_on(bare: bool) -> None:
    room = Room()
    with room.kernel.in_place():
        there, comes = room.connect(bare=bare), room.connect(bare=bare, admitted=False)
        there.broadcast("before")
        room.hub.add(comes)
        there.broadcast("after")
        room.loop.run()
        assert texts(there) == ["before", "after"]
        assert texts(comes) == ["after"]


def test_what_a_handler_has_sent_first_comes_first_however_much_it_sends_to_its_room() -> None:
    """More than one tick's worth, so that the room messages are written while the chunk is still being handled."""
    room = Room()
    with room.kernel.in_place():
        connection = room.connect(bare=False)
        connection.join("room")
        connection.outbox.cork()
        connection.send("first")
        for number in range(delivery.MOST_ENTRIES + 10):
            connection.to("room").send(number)
        connection.outbox.uncork()
        room.loop.run()
        assert texts(connection) == ["first", *(str(number) for number in range(delivery.MOST_ENTRIES + 10))]


@pytest.mark.parametrize("names", [((), ("b",)), (("b",), ())])
def test_messages_to_one_room_with_and_without_within_are_not_one_run(names: tuple[tuple[str, ...], ...]) -> None:
    room = Room()
    with room.kernel.in_place():
        both, one = room.connect(), room.connect()
        for each, rooms in ((both, "ab"), (one, "a")):
            for name in rooms:
                each.join(name)
        for within in names:
            room.to("a").within(*within).send("narrow" if within else "wide")
        room.loop.run()
        assert texts(one) == ["wide"]
        assert sorted(texts(both)) == ["narrow", "wide"]


def test_a_reader_that_catches_up_within_a_tick_gets_the_rest_of_it_once() -> None:
    room = Room()
    with room.kernel.in_place():
        connection = room.connect()
        connection.join("room")
        lane_of(connection).room = 0
        connection.send("before")
        room.loop.run()
        room.to("room").send("a")
        connection.send("b")
        lane_of(connection).grant(None)
        room.to("room").send("c")
        room.loop.run()
        assert texts(connection) == ["before", "a", "b", "c"]


def test_no_bare_write_is_promised_past_what_a_chunk_has_yet_to_write() -> None:
    room = Room()
    with room.kernel.in_place():
        connection = room.connect()
        connection.join("room")
        connection.outbox.cork()
        connection.send("own")
        connection.outbox.renew_fd()  # as a lane has it done that reads again
        with patch.object(delivery, "MOST_ENTRIES", 2):
            room.to("room").send("a")
            room.to("room").send("b")  # there are too many entries: they are written now, before the chunk is
        assert texts(connection) == ["own", "a", "b"]
        connection.send("c")
        connection.outbox.uncork()
        assert texts(connection) == ["own", "a", "b", "c"]
        room.loop.run()
        assert connection.fd >= 0
