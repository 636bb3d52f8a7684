from __future__ import annotations

import tracemalloc
from typing import Any, cast

from odac.config import Limits
from odac.protocol.message import Prepared
from odac.realtime.backlog import Backlog, cost
from odac.wire.frames import TEXT
from tests.unit.realtime.realtime_fakes import Room, lane_of


def test_drop_oldest_drops_room_messages_from_the_front_and_keeps_direct_ones() -> None:
    backlog = Backlog()
    made = [Prepared(TEXT, b"%d" % number) for number in range(6)]
    for number, message in enumerate(made):
        backlog.append(message, to_room=number % 2 == 0)
    each = cost(made[0])
    assert backlog.size == 6 * each
    assert backlog.drop_oldest(each + 1) == 2
    assert backlog.size == 4 * each
    assert backlog.take() == [made[1], made[3], made[4], made[5]]
    assert backlog.size == 0
    for message in made[:2]:
        backlog.append(message, to_room=message is made[0])
    assert backlog.drop_oldest(100 * each) == 1
    assert backlog.take() == [made[1]]


def test_dropping_looks_at_nothing_but_what_it_drops() -> None:
    """Whatever waits in front of it: a scan for each message would cost the most where there is the least time."""
    backlog = Backlog()
    for _ in range(10):
        backlog.append(Prepared(TEXT, b"own"), to_room=False)
        backlog.append(Prepared(TEXT, b"room"), to_room=True)
    backlog._own = cast(Any, None)
    assert backlog.drop_oldest(1) == 1


def test_small_messages_are_counted_with_what_they_take() -> None:
    """A message of two bytes takes a hundred times as much."""
    limit = 64 * 1024
    room = Room(Limits(outgoing_buffer=limit))
    connection = room.connect()
    with room.kernel.in_place():
        lane_of(connection).room = 0
        connection.send("the kernel takes no more")
        room.loop.run()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            while connection.is_open:
                most = tracemalloc.get_traced_memory()[0]
                connection.send("ab")
                room.loop.run()
        finally:
            tracemalloc.stop()
    assert limit / 2 < most - before < 1.25 * limit


def test_one_of_the_connections_own_messages_is_withdrawn_while_it_waits() -> None:
    backlog = Backlog()
    first, second, room = (Prepared(TEXT, text) for text in (b"first", b"second", b"room"))
    for message in (first, room, second):
        backlog.append(message, to_room=message is room)
    assert backlog.withdraw(second)
    assert not backlog.withdraw(second)
    assert not backlog.withdraw(Prepared(TEXT, b"first")), "another message with the same text"
    assert backlog.size == cost(first) + cost(room)
    assert backlog.take() == [first, room]
    assert not backlog.withdraw(first)
