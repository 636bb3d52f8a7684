from __future__ import annotations

import asyncio
from typing import cast

import pytest

from odac.client.sent import Closing, Sent
from odac.client.socket import Socket


class Buffer:
    """A socket whose buffer has room once :attr:`room` is set."""

    def __init__(self) -> None:
        self.room = asyncio.Event()

    async def writable(self) -> None:
        await self.room.wait()


@pytest.mark.parametrize("accepted", [True, False])
def test_without_a_socket_it_is_known_at_once(accepted: bool) -> None:
    async def test() -> None:
        sent = Sent(accepted)
        assert bool(sent) is accepted
        assert await sent is accepted

    asyncio.run(test())


def test_awaiting_it_waits_for_room_in_the_socket_s_buffer() -> None:
    async def test() -> None:
        buffer = Buffer()
        sent = Sent(True, cast("Socket", buffer))
        assert sent

        async def wait() -> bool:
            return await sent

        waiting = asyncio.ensure_future(wait())
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        buffer.room.set()
        assert await waiting is True

    asyncio.run(test())


def test_awaiting_the_close_waits_for_the_end() -> None:
    async def test() -> list[str]:
        happened: list[str] = []

        async def joined() -> None:
            await asyncio.sleep(0)
            happened.append("the end")

        await Closing(joined)
        return happened

    assert asyncio.run(test()) == ["the end"]
