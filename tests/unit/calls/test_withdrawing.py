"""The server's call that is over before a slow reader has taken it is not sent at all."""

from __future__ import annotations

import asyncio
import contextlib

from odac.calls.service import ConnectionCalls
from odac.errors import CallError
from tests.unit.realtime.realtime_fakes import Room, idle, lane_of, run


def test_a_question_that_still_waits_is_withdrawn_and_one_under_way_is_cancelled() -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        connection = room.connect(speaks_odac=True, bare=False)
        calls = connection.calls = ConnectionCalls(connection)
        lane = lane_of(connection)

        async def ask(name: str) -> None:
            with contextlib.suppress(CallError):
                await calls.call(name, None, 60.0, None)

        lane.room = 0
        under_way = asyncio.ensure_future(ask("under way"))
        await idle()
        assert lane.held, "it is the transport's"
        waiting = asyncio.ensure_future(ask("waiting"))
        await idle()
        backlog = connection.outbox.backlog
        assert backlog is not None
        assert not backlog.is_empty
        waiting.cancel()
        await idle()
        assert (backlog.is_empty, backlog.size) == (True, 0)
        under_way.cancel()
        await idle()
        lane.grant(None)
        assert [payload.split(b",")[:2] for _, payload in lane.frames] == [
            [b'\x1e["call"', b"1"],
            [b'\x1e["cancel"', b"1]"],
        ]

    run(test())
