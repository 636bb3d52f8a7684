from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from odac import Limits, Odac
from odac.lanes.base import LANE_EXTENSION
from odac.realtime.connection import Connection
from odac.realtime.hub import Hub
from odac.realtime.policy import Policy
from tests.unit.realtime.realtime_fakes import FakeLane, Kernel, close_code, idle, lane_of, run


class FakeDoor:
    """A handshake that waits for its answer, and a lane for when it is let in."""

    def __init__(self, *, leaves: bool = False) -> None:
        self.refused: tuple[int, str, dict[str, str]] | None = None
        self.connection: Connection | None = None
        self._leaves = leaves

    async def refuse(self, status: int, reason: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.refused = status, reason, dict(headers)

    async def open(
        self, hub: Hub, policy: Policy, subprotocol: str | None, *, speaks_odac: bool, compression: bool
    ) -> Connection | None:
        await asyncio.sleep(0)
        if self._leaves:
            return None
        lane = FakeLane(Kernel(), bare=False)
        self.connection = lane.connection = Connection(hub, lane, policy, speaks_odac=speaks_odac)
        return self.connection

    async def serve(self, connection: Connection, handling: Coroutine[Any, Any, None]) -> None:
        await handling

    @property
    def code(self) -> int | None:
        """The code that the connection was closed with."""
        assert self.connection is not None
        ending = lane_of(self.connection).ending
        return None if ending is None else int(ending[0])


async def knock(
    app: Odac, path: str, *, door: FakeDoor | None = None, origin: str | None = None, **more: Any
) -> FakeDoor:
    door = door or FakeDoor()
    headers = [(b"host", b"localhost")] + ([(b"origin", origin.encode())] if origin else [])
    scope = {
        "type": "websocket",
        "path": path,
        "headers": headers,
        "scheme": "ws",
        "query_string": b"",
        "client": ("10.0.0.1", 1),
        "subprotocols": [],
        "extensions": {LANE_EXTENSION: door},
        **more,
    }
    await app(scope, None, None)
    return door


def app_with(**limits: Any) -> Odac:
    app = Odac(secret="x" * 32, limits=Limits(**limits))
    app.route.ws("/open", lambda odac: odac.ws.send("welcome"), token=False)
    return app


def test_the_door_of_the_server_is_taken_where_there_is_one() -> None:
    async def test() -> None:
        door = await knock(app_with(), "/open")
        await idle()
        assert door.connection is not None
        assert lane_of(door.connection).frames == [(1, b"welcome")]

    run(test())


def test_refusals_before_the_upgrade_in_their_order() -> None:
    async def test() -> None:
        app = app_with(max_connections=1)
        assert (await knock(app, "/open", origin="http://evil")).refused == (403, "This origin may not connect.", {})
        assert (await knock(app, "/none", origin="http://evil")).refused is not None
        missing = (await knock(app, "/none")).refused
        assert missing is not None
        assert missing[0] == 404
        await knock(app, "/open")
        full = (await knock(app, "/open")).refused
        assert full is not None
        assert (full[0], full[2]) == (503, {"Retry-After": "5"})
        assert (await knock(app, "/none")).refused == missing

    run(test())


def test_a_client_that_leaves_at_the_door_is_not_counted() -> None:
    async def test() -> None:
        app = app_with(max_connections=1, connections_per_ip=1)
        for _ in range(3):
            door = await knock(app, "/open", door=FakeDoor(leaves=True))
            assert door.refused is None
        assert app._hub.population == 0
        door = await knock(app, "/open")
        assert door.connection is not None
        assert app._hub.population == 1
        lane_of(door.connection).lose()
        assert app._hub.population == 0
        assert (await knock(app, "/open")).refused is None

    run(test())


def test_addresses_are_counted_one_by_one() -> None:
    async def test() -> None:
        app = app_with(connections_per_ip=1)
        first = await knock(app, "/open")
        assert (await knock(app, "/open")).refused is not None
        assert (await knock(app, "/open", client=("10.0.0.2", 1))).refused is None
        assert first.connection is not None
        lane_of(first.connection).lose()
        assert (await knock(app, "/open")).refused is None
        assert (await knock(app, "/open", client=None)).refused is None

    run(test())


def test_who_is_lost_in_a_gate_meets_no_handler_and_leaves_nothing() -> None:
    async def test() -> None:
        app = app_with()
        go, ran = asyncio.Event(), []

        @app.authenticate
        async def find(request: object) -> dict[str, int]:
            await go.wait()
            return {"id": 7}

        app.route.auth.ws("/auth", lambda odac: ran.append("handler"), token=False)
        door = FakeDoor()
        knocking = asyncio.ensure_future(knock(app, "/auth", door=door))
        await idle()
        assert door.connection is not None
        lane_of(door.connection).lose()
        go.set()
        await knocking
        assert ran == []
        assert app._hub.population == 0
        assert list(app._hub.open_rooms) == []

    run(test())


def test_a_gate_that_cancels_its_own_task_closes_the_connection() -> None:
    async def test() -> None:
        app = app_with()

        async def gate(odac: object) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

        app.route.use(gate).ws("/gate", print, token=False)
        door = FakeDoor()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.ensure_future(knock(app, "/gate", door=door))
        assert door.code == 1011

    run(test())


def test_gates_that_take_too_long_are_cancelled() -> None:
    async def test() -> None:
        app = app_with(handshake_timeout=0.01)
        ended: list[str] = []

        async def gate(odac: object) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("gate")

        app.route.use(gate).ws("/gate", lambda odac: ended.append("handler"), token=False)
        door = await knock(app, "/gate")
        assert door.code == 1013
        assert ended == ["gate"]

    run(test())


def test_a_broadcast_skips_connections_in_the_gates() -> None:
    async def test() -> None:
        app = app_with()

        async def gate(odac: Any) -> None:
            odac.ws.send("from the gate")
            app.route.ws_server.broadcast("for clients")
            odac.ws.join("r")
            odac.ws.to("r").send("for the room")
            odac.ws.to("r").excluding(odac.ws).send("for the others")
            await idle()
            app.route.ws_server.broadcast("for clients again")

        app.route.use(gate).ws("/gate", lambda odac: odac.ws.broadcast("for all"), token=False)
        door = await knock(app, "/gate")
        await idle()
        assert door.connection is not None
        texts = [payload.decode() for _, payload in lane_of(door.connection).frames]
        assert texts == ["from the gate", "for the room", "for all"]

    run(test())


def test_close_codes_behind_the_upgrade() -> None:
    async def test() -> None:
        app = app_with()
        app.route.auth.ws("/auth", print, token=False)
        app.route.ws("/token", print)
        app.route.use(lambda odac: False).ws("/false", print, token=False)
        app.route.use(lambda odac: "no").ws("/no", print, token=False)
        app.route.use(lambda odac: 1 / 0).ws("/raises", print, token=False)
        codes = {}
        for path in ("/auth", "/token", "/false", "/no", "/raises"):
            door = await knock(app, path)
            assert door.connection is not None
            codes[path] = door.code
            assert close_code(lane_of(door.connection).frames[-1]) == door.code
        assert codes == {"/auth": 4001, "/token": 4002, "/false": 4003, "/no": 4000, "/raises": 1011}
        assert app.route.ws_server.client_count == 0

    run(test())


def test_a_middleware_that_closes_keeps_the_next_from_running() -> None:
    async def test() -> None:
        app = app_with()
        ran: list[str] = []
        app.route.use(lambda odac: odac.ws.close(4444), lambda odac: ran.append("next")).ws(
            "/closes", lambda odac: ran.append("handler"), token=False
        )
        assert (await knock(app, "/closes")).code == 4444
        assert ran == []

    run(test())


def test_who_is_through_the_gates_has_all_the_time() -> None:
    """The deadline is for them; it must not cut off a handler that came in late."""

    async def test() -> None:
        app = app_with(handshake_timeout=0.02)
        loop = asyncio.get_running_loop()
        ended: list[str] = []

        async def gate(odac: object) -> None:
            await asyncio.sleep(0)

        async def handler(odac: object) -> None:
            over = loop.create_future()
            loop.call_later(0.06, over.set_result, None)  # three times as long, on the clock that the deadline has
            await over
            ended.append("in peace")

        app.route.use(gate).ws("/late", handler, token=False)
        door = await knock(app, "/late")
        assert door.code is None
        assert ended == ["in peace"]

    run(test())


@pytest.mark.parametrize("where", ["gate", "handler"])
def test_who_asks_for_the_user_makes_the_connection_reachable_as_that_users(where: str) -> None:
    async def test() -> None:
        app = app_with()
        app.authenticate(lambda request: {"id": 7})

        async def ask(odac: Any) -> None:
            await odac.auth.user()

        def nothing(odac: Any) -> None: ...

        gate, handler = (ask, nothing) if where == "gate" else (nothing, ask)
        app.route.use(gate).ws("/asks", handler, token=False)
        door = await knock(app, "/asks")
        assert (await app.route.ws_server.user(7).count()).total == 1
        app.route.ws_server.user(7).close(4000)
        assert door.code == 4000

    run(test())
