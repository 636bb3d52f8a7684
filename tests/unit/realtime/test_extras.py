from __future__ import annotations

import asyncio

import pytest

from odac.realtime.connection import Connection
from tests.unit.realtime.realtime_fakes import Room, lane_of, run


@pytest.mark.parametrize("first", ["data", "owned", "ping"])
def test_each_part_is_made_once_and_stays_beside_the_others(first: str) -> None:
    async def test() -> None:
        connection = Room(loop=asyncio.get_running_loop()).connect()
        if first == "ping":
            connection.ping()
        else:
            getattr(connection, first)
        connection.data.name = "Ada"
        owned, ping = connection.owned, connection.ping()
        assert connection.calls is None
        assert connection.data.name == "Ada"
        assert connection.owned is owned
        assert not connection.has_tasks
        connection.outbox.flush()
        _, payload = lane_of(connection).frames[-1]
        connection.receive_pong(payload)
        assert await ping >= 0

    run(test())


def has_extras(connection: Connection) -> bool:
    return connection._extras is not None


def test_looking_for_a_part_makes_none() -> None:
    room = Room()
    with room.kernel.in_place():
        connection = room.connect(speaks_odac=True)
        connection.on("message", lambda: None)
        assert connection.calls is None
        assert not connection.has_tasks
        connection.receive_pong(b"never asked")
        connection.receive_control(b'\x1e["pong"]')
        assert not has_extras(connection)
        lane_of(connection).lose()
    extras = connection._extras
    assert extras is not None  # it has the close code
    assert (extras.calls, extras.data, extras.owned, extras.pings) == (None,) * 4
