from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from odac.config import Limits
from odac.realtime.connection import Connection
from odac.realtime.drain import IN_FLIGHT, PATIENCE, PER_SECOND
from odac.realtime.phase import Phase
from tests.unit.realtime.realtime_fakes import Room, close_code, lane_of, run


def delay_of(connection: Connection) -> float:
    """Seconds after which a closed connection was told to come back."""
    drain, close = lane_of(connection).frames[-2:]
    assert close_code(close) == 1001
    kind, milliseconds = json.loads(drain[1][1:])
    assert kind == "drain"
    return float(milliseconds) / 1000


def advance(room: Any, seconds: float, answering: list[Connection]) -> None:
    """Let time pass, in which these peers answer close frames at once."""
    end = room.loop.now + seconds
    while room.loop.now < end:
        for each in answering:
            if each.phase is Phase.CLOSING:
                each.lost(1001, "the server is stopping")
        room.loop.advance(min(0.01, end - room.loop.now))


class Others:
    """A bus that knows of other processes."""

    processes = 2

    def room_opened(self, room: str) -> None: ...

    def room_closed(self, room: str) -> None: ...


def test_each_connection_lives_until_its_turn_and_comes_back_at_once() -> None:
    room: Any = Room()
    room.hub.bus = Others()
    count = 2 * PER_SECOND
    connections = [room.connect(speaks_odac=True) for _ in range(count)]
    with room.kernel.in_place():
        room.hub.drain()
        closed = []
        for _ in range(20):
            closed.append(sum(not each.is_open for each in connections))
            advance(room, 0.1, connections)
    steps = [after - before for before, after in itertools.pairwise(closed)]
    assert closed[0] <= PER_SECOND / 10
    assert all(PER_SECOND / 20 < step < PER_SECOND / 5 for step in steps), "at an even rate, over two seconds"
    assert not any(each.is_open for each in connections)
    assert {delay_of(each) for each in connections} == {0.0}


def test_the_spread_grows_with_the_number_of_clients_up_to_its_limit() -> None:
    for count, limit, expected in ((10, 10.0, 0.0), (PER_SECOND, 10.0, 1.0), (PER_SECOND, 0.3, 0.3)):
        room: Any = Room(Limits(drain_timeout=limit))
        room.hub.bus = Others()
        connections = [room.connect() for _ in range(count)]
        with room.kernel.in_place():
            begun = room.loop.now
            room.hub.drain()
            while any(each.is_open for each in connections):
                advance(room, 0.02, connections)
        assert room.loop.now - begun == pytest.approx(expected, abs=0.05)


def test_clients_of_the_only_process_are_told_to_wait_for_its_restart() -> None:
    room: Any = Room()
    connections = [room.connect(speaks_odac=True) for _ in range(PER_SECOND)]
    with room.kernel.in_place():
        room.hub.drain()
        advance(room, 2, connections)
    delays = [delay_of(each) for each in connections]
    assert min(delays) >= 1.0
    assert max(delays) <= 2.0
    assert len(set(delays)) > 100


def test_what_connects_while_the_process_stops_has_its_turn_too() -> None:
    room: Any = Room()
    connections = [room.connect() for _ in range(PER_SECOND)]
    with room.kernel.in_place():
        room.hub.drain()
        late = room.connect(speaks_odac=True)
        late.drain()
        late.drain()
        advance(room, 3, connections)
    assert [close_code(frame) for frame in lane_of(late).frames[-1:]] == [1001]


def test_no_more_are_closed_than_the_peers_answer() -> None:
    room: Any = Room()
    room.hub.bus = Others()
    connections = [room.connect() for _ in range(PER_SECOND)]
    with room.kernel.in_place():
        room.hub.drain()
        room.loop.advance(PATIENCE - 0.1)
        closing = [each for each in connections if not each.is_open]
        assert IN_FLIGHT <= len(closing) <= IN_FLIGHT + PER_SECOND / 10, "what drain_timeout needs, and no more"
        for each in closing:
            each.lost(1001, "")
        room.loop.advance(0.08)
        assert sum(not each.is_open for each in connections) >= len(closing) + IN_FLIGHT, "the next ones at once"


def test_peers_that_are_gone_hold_the_others_up_for_a_moment_only() -> None:
    room: Any = Room(Limits(drain_timeout=30))
    room.hub.bus = Others()
    connections = [room.connect() for _ in range(10 * IN_FLIGHT)]
    with room.kernel.in_place():
        room.hub.drain()
        room.loop.advance(5 * PATIENCE)
    assert sum(not each.is_open for each in connections) >= 5 * IN_FLIGHT


@pytest.mark.parametrize("limit", [0.3, 10.0, 30.0])
def test_all_are_closed_in_time_even_if_no_peer_answers(limit: float) -> None:
    room: Any = Room(Limits(drain_timeout=limit, close_timeout=60))
    room.hub.bus = Others()
    connections = [room.connect() for _ in range(4 * PER_SECOND)]
    with room.kernel.in_place():
        room.hub.drain()
        room.loop.advance(limit / 2)
        assert any(each.is_open for each in connections), "not before half of the time"
        room.loop.advance(limit / 2)
    assert not any(each.is_open for each in connections)


def test_it_is_over_when_each_has_had_its_turn() -> None:
    async def main() -> None:
        room = Room(Limits(drain_timeout=1.0), asyncio.get_running_loop())
        connections = [room.connect() for _ in range(PER_SECOND)]
        with room.kernel.in_place():
            drain = room.hub.drain()
            assert any(each.is_open for each in connections)
            await drain.wait()
            assert not any(each.is_open for each in connections)
            await drain.wait()

    run(main())
