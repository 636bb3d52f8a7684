"""Messages that a client offers to send before its connection is admitted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from odac.realtime.connection import Connection
from odac.realtime.hub import Hub
from odac.realtime.offered_messages import POSITIONS, TOKEN
from tests.unit.realtime.realtime_fakes import Room, idle, run

Test = Callable[[Hub, Connection], Awaitable[None]]


def with_connection(test: Test) -> None:
    """Run a test with a connection that is not admitted; afterwards its hub expects nothing."""

    async def main() -> None:
        room = Room(loop=asyncio.get_running_loop())
        connection = room.connect(admitted=False)
        await test(room.hub, connection)
        assert len(room.hub.offered) == 0

    run(main())


def test_a_message_may_arrive_before_or_while_it_is_waited_for() -> None:
    async def test(hub: Hub, connection: Connection) -> None:
        hub.offered.expect(connection, TOKEN)
        hub.offered.expect(connection, POSITIONS)
        hub.control_handlers[POSITIONS](connection, ["early"])
        waiting = asyncio.ensure_future(hub.offered.receive(connection, TOKEN, 30))
        await idle()
        assert not waiting.done()
        hub.control_handlers[TOKEN](connection, ["late", 1])
        hub.control_handlers[TOKEN](connection, ["a second one is ignored"])
        assert await waiting == ["late", 1]
        assert await hub.offered.receive(connection, POSITIONS, 30) == ["early"]

    with_connection(test)


def test_what_was_not_offered_is_neither_waited_for_nor_taken() -> None:
    async def test(hub: Hub, connection: Connection) -> None:
        hub.control_handlers[TOKEN](connection, ["not offered"])
        assert await hub.offered.receive(connection, TOKEN, 30) is None
        hub.offered.expect(connection, POSITIONS)
        assert await hub.offered.receive(connection, TOKEN, 30) is None
        hub.control_handlers[TOKEN](connection, ["not offered"])
        hub.control_handlers[POSITIONS](connection, [])
        assert await hub.offered.receive(connection, POSITIONS, 30) == []

    with_connection(test)


def test_a_message_that_does_not_arrive_in_time_is_ignored() -> None:
    async def test(hub: Hub, connection: Connection) -> None:
        hub.offered.expect(connection, TOKEN)
        assert await hub.offered.receive(connection, TOKEN, 0.001) is None
        hub.control_handlers[TOKEN](connection, ["too late"])

    with_connection(test)


@pytest.mark.parametrize("end", ["closes", "lost"])
def test_the_wait_ends_when_the_connection_does(end: str) -> None:
    """A server that stops would wait for the whole time otherwise, and so would whatever the handshake holds."""

    async def test(hub: Hub, connection: Connection) -> None:
        for kind in (TOKEN, POSITIONS):
            hub.offered.expect(connection, kind)
        waiting = asyncio.ensure_future(hub.offered.receive(connection, TOKEN, 3600))
        await idle()
        if end == "closes":
            connection.begin_close(1012, "stopping")
        else:
            connection.lost(1006, "")
        assert await waiting is None
        assert await hub.offered.receive(connection, POSITIONS, 3600) is None

    with_connection(test)
