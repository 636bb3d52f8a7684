from __future__ import annotations

import itertools

from odac.realtime.phase import CLOSED, CLOSING, OPEN, Phase, ReadyState
from tests.unit.realtime.realtime_fakes import Room, lane_of


def test_a_connection_goes_through_the_phases_in_their_order() -> None:
    room = Room()
    with room.kernel.in_place():
        connection = room.connect(admitted=False)
        seen = [connection.phase]
        connection.on("close", lambda: seen.append(connection.phase))
        room.hub.add(connection)
        seen.append(connection.phase)
        connection.close()
        seen.append(connection.phase)
        lane_of(connection).lose()
        seen.append(connection.phase)
    assert seen == list(Phase)
    assert all(before < after for before, after in itertools.pairwise(seen))


def test_the_names_that_the_hot_path_looks_up() -> None:
    assert (OPEN, CLOSING, CLOSED) == (Phase.OPEN, Phase.CLOSING, Phase.CLOSED)


def test_the_ready_states_are_those_of_browsers() -> None:
    assert [(state.name, int(state)) for state in ReadyState] == [
        ("CONNECTING", 0),
        ("OPEN", 1),
        ("CLOSING", 2),
        ("CLOSED", 3),
    ]


def test_a_connection_that_a_slow_reader_has_closed_meanwhile_is_not_admitted() -> None:
    room = Room()
    with room.kernel.in_place():
        connection = room.connect(admitted=False)
        connection.close(4000)
        room.hub.add(connection)
    assert connection.phase is Phase.CLOSING
    assert room.hub.connections == {}
