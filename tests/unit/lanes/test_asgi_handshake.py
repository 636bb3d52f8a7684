from __future__ import annotations

from typing import Any

import pytest

from odac.lanes.asgi_handshake import AsgiHandshake
from odac.realtime.policy import Policy
from tests.unit.lanes.test_asgi import Server, Site
from tests.unit.realtime.realtime_fakes import run


def test_a_client_that_leaves_at_the_door_is_no_connection() -> None:
    async def test() -> None:
        site, server = Site(), Server()
        server.leaves()
        door = AsgiHandshake({}, server.receive, server.send)
        opened = await door.open(site.room.hub, Policy("/", site.limits), None, speaks_odac=False, compression=False)
        assert opened is None
        server.leaves()
        await door.refuse(404, "no")
        assert server.sent == []

    run(test())


def test_a_server_that_has_lost_the_client_meanwhile() -> None:
    async def test() -> None:
        site, server = Site(), Server()
        server.failure = OSError("gone")
        for _ in range(2):
            server.incoming.put_nowait({"type": "websocket.connect"})
        door = AsgiHandshake({}, server.receive, server.send)
        opened = await door.open(site.room.hub, Policy("/", site.limits), None, speaks_odac=False, compression=False)
        assert opened is None
        await door.refuse(404, "no")

    run(test())


REFUSAL = {"type": "websocket.close", "code": 1008, "reason": "no such route"}


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        (
            {"websocket.http.response": {}},
            [
                {
                    "type": "websocket.http.response.start",
                    "status": 404,
                    "headers": [(b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", b"5")],
                },
                {"type": "websocket.http.response.body", "body": b"no such route"},
            ],
        ),
        ({}, [REFUSAL]),
        (None, [REFUSAL]),
    ],
    ids=["a server that sends any status", "a server that sends 403", "no extensions"],
)
def test_a_refusal_has_the_status_where_the_server_can_send_it(extensions: Any, expected: list[dict[str, Any]]) -> None:
    async def test() -> None:
        server = Server()
        server.incoming.put_nowait({"type": "websocket.connect"})
        handshake = AsgiHandshake({"extensions": extensions}, server.receive, server.send)
        await handshake.refuse(404, "no such route", [("Retry-After", "5")])
        assert server.sent == expected

    run(test())


def test_the_handler_runs_beside_the_receiving_until_the_client_is_gone() -> None:
    async def test() -> None:
        site, server = Site(), Server()
        server.incoming.put_nowait({"type": "websocket.connect"})
        handshake = AsgiHandshake({}, server.receive, server.send)
        connection = await handshake.open(
            site.room.hub, Policy("/", site.limits), "odac.v1", speaks_odac=True, compression=False
        )
        assert connection is not None
        assert server.sent == [{"type": "websocket.accept", "subprotocol": "odac.v1", "headers": []}]
        site.room.hub.population += 1
        site.room.hub.add(connection)
        told: list[object] = []

        async def handle() -> None:
            told.append(await connection.receive())

        server.arrives('"hello"')
        server.leaves(1001)
        await handshake.serve(connection, handle())
        assert told == ["hello"]
        assert connection.ended == (1001, "")

    run(test())
