from __future__ import annotations

import asyncio

from odac.config import Limits
from odac.realtime.audience import user_room
from odac.realtime.connection import Connection
from odac.realtime.deadlines import Deadlines
from odac.routing.admission import Admission
from tests.unit.realtime.realtime_fakes import Room, idle, lane_of, run


def admission_in(room: Room, *, speaks_odac: bool = False) -> tuple[Admission, Connection, Deadlines]:
    connection = room.connect(speaks_odac=speaks_odac, admitted=False)
    deadlines = Deadlines(asyncio.get_running_loop(), room.limits.handshake_timeout)
    return Admission(room.hub, connection, lambda: deadlines), connection, deadlines


def test_a_connection_is_reachable_once_it_is_admitted() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        admission, connection, _ = admission_in(room)
        assert connection.id not in room.hub.connections
        admission.admit()
        assert connection.id in room.hub.connections

    run(test())


def test_a_user_who_is_known_before_admission_is_reachable_after_it() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        admission, connection, _ = admission_in(room)
        admission.recognized(7)
        assert user_room("7") not in connection.memberships
        admission.admit()
        assert user_room("7") in connection.memberships

    run(test())


def test_a_user_who_is_found_later_is_reachable_at_once() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        admission, connection, _ = admission_in(room)
        admission.admit()
        admission.recognized(7)
        assert user_room("7") in connection.memberships

    run(test())


def test_clients_of_odac_are_greeted_on_admission_and_not_before() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        admission, connection, _ = admission_in(room, speaks_odac=True)
        await idle()
        assert lane_of(connection).frames == []
        admission.admit()
        await idle()
        (_, hello), *rest = lane_of(connection).frames
        assert connection.id.encode() in hello
        assert rest == []

    run(test())


def test_the_deadline_begins_with_the_first_wait_and_ends_with_the_gates() -> None:
    async def test() -> None:
        admission, _, deadlines = admission_in(Room(loop=asyncio.get_running_loop()))
        assert len(deadlines) == 0
        await admission.start_deadline()
        await admission.start_deadline()
        assert len(deadlines) == 1
        admission.is_through()
        assert len(deadlines) == 0
        await admission.start_deadline()
        assert len(deadlines) == 0

    run(test())


def test_past_the_deadline_the_gate_is_cancelled_and_the_connection_closed() -> None:
    async def test() -> None:
        admission, connection, _ = admission_in(Room(Limits(handshake_timeout=0.01), asyncio.get_running_loop()))

        async def gate() -> None:
            await admission.start_deadline()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(gate())
        await asyncio.wait([task])
        assert task.cancelled()
        assert admission.late
        ending = lane_of(connection).ending
        assert ending is not None
        assert ending[0] == 1013

    run(test())
