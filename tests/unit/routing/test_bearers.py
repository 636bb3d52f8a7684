from __future__ import annotations

import asyncio

import pytest

from odac.realtime.offered_messages import TOKEN
from odac.routing import bearers
from odac.routing.bearers import receive_bearer
from tests.unit.realtime.realtime_fakes import Room, run


@pytest.mark.parametrize(
    ("values", "expected"),
    [(["secret"], "secret"), (["secret", "more"], "secret"), ([], None), ([""], None), ([7], None), ([None], None)],
    ids=str,
)
def test_the_first_item_is_the_token_if_it_is_a_string(values: list[object], expected: str | None) -> None:
    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        connection = room.connect(admitted=False)
        room.hub.offered.expect(connection, TOKEN)
        room.hub.control_handlers[TOKEN](connection, values)
        assert await receive_bearer(room.hub.offered, connection) == expected

    run(test())


def test_a_token_that_does_not_arrive_in_time_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bearers, "BEARER_TIMEOUT", 0.001)

    async def test() -> None:
        room = Room(loop=asyncio.get_running_loop())
        connection = room.connect(admitted=False)
        room.hub.offered.expect(connection, TOKEN)
        assert await receive_bearer(room.hub.offered, connection) is None

    run(test())
