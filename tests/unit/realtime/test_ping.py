from __future__ import annotations

import asyncio
from typing import Any

import pytest

from odac.errors import Disconnected
from odac.wire.frames import PING
from tests.unit.realtime.realtime_fakes import Room, idle, lane_of, run


def pings(connection: Any) -> list[bytes]:
    return [payload for opcode, payload in lane_of(connection).frames if opcode == PING]


def test_a_pong_answers_its_ping_and_those_before_it() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        connection = room.connect()
        told: list[str] = []
        connection.on("pong", lambda: told.append("pong"))
        with room.kernel.in_place():
            made = [connection.ping() for _ in range(3)]
            await idle()
            payloads = pings(connection)
            assert len(set(payloads)) == 3
            connection.receive_pong(payloads[1])
            assert [await made[0], await made[1]] == pytest.approx([0, 0], abs=1)
            waiting = asyncio.ensure_future(wait(made[2]))
            await idle()
            assert not waiting.done()
            connection.receive_pong(b"never asked")
            connection.receive_pong(payloads[2])
            await waiting
        assert told == ["pong"] * 3

    async def wait(ping: Any) -> None:
        await ping

    run(test())


def test_the_end_fails_the_pings_under_way_and_after() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        connection = room.connect()
        ping = connection.ping()
        lane_of(connection).lose()
        for each in (ping, connection.ping()):
            with pytest.raises(Disconnected):
                await each

    run(test())


def test_a_ping_while_the_connection_closes_fails_with_the_code_of_the_close() -> None:
    async def test() -> None:
        connection = Room(loop=asyncio.get_running_loop()).connect()
        connection.close(4321, "enough")
        with pytest.raises(Disconnected) as caught:
            await connection.ping()
        assert (caught.value.code, caught.value.reason) == (4321, "enough")

    run(test())


@pytest.mark.parametrize("ends", [True, False])
def test_every_caller_that_awaits_the_same_ping_is_answered(ends: bool) -> None:
    async def wait(ping: Any) -> float:
        trip: float = await ping
        return trip

    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        connection = room.connect()
        ping = connection.ping()
        first, cancelled, last = [asyncio.ensure_future(wait(ping)) for _ in range(3)]
        await idle()
        cancelled.cancel()
        await idle()
        assert [first.done(), cancelled.cancelled(), last.done()] == [False, True, False]
        if ends:
            lane_of(connection).lose()
        else:
            await idle()
            connection.receive_pong(pings(connection)[-1])
        async with asyncio.timeout(30):
            answers = await asyncio.gather(first, last, return_exceptions=True)
        assert [isinstance(each, Disconnected if ends else float) for each in answers] == [True, True]

    run(test())


def test_a_peer_that_never_answers_costs_no_memory() -> None:
    room = Room()
    connection = room.connect()
    with room.kernel.in_place():
        for _ in range(10_000):
            connection.ping()
            room.loop.run()
    assert len(pings(connection)) == 100


@pytest.mark.parametrize("v1", [True, False])
def test_over_a_lane_without_pings_only_odac_v1_is_asked(v1: bool) -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        connection = room.connect(speaks_odac=v1)
        lane = lane_of(connection)
        lane.pings = False
        with room.kernel.in_place():
            ping = connection.ping()
            connection.ping()
            await idle()
        assert [payload for _, payload in lane.frames] == ([b'\x1e["ping"]'] * 2 if v1 else [])
        if v1:
            connection.inbox.receive_text(b'\x1e["pong"]')
            assert await ping >= 0
        else:
            lane.lose()
            with pytest.raises(Disconnected):
                await ping

    run(test())
