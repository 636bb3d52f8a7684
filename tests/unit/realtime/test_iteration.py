from __future__ import annotations

import asyncio

import pytest

from odac.errors import Disconnected
from odac.realtime.iteration import Messages
from tests.unit.realtime.realtime_fakes import Room, idle, lane_of, run


def test_whoever_stops_waiting_may_go_on_and_loses_nothing() -> None:
    async def main() -> None:
        connection = Room(loop=asyncio.get_running_loop()).connect()
        messages = aiter(connection)
        for data in (b"1", b"2"):
            waiting = asyncio.ensure_future(anext(messages))
            await idle()
            waiting.cancel()
            await idle()
            assert waiting.cancelled()
            connection.inbox.receive_text(data)
            assert await anext(messages) == int(data)
        connection.inbox.receive_text(b"3")
        lane_of(connection).lose()
        assert [data async for data in messages] == [3]
        with pytest.raises(StopAsyncIteration):
            await anext(messages)

    run(main())


def test_any_receive_will_do() -> None:
    async def main() -> None:
        left = [2, 1]

        async def receive() -> int:
            if not left:
                raise Disconnected
            return left.pop()

        assert [each async for each in Messages(receive)] == [1, 2]

    run(main())
