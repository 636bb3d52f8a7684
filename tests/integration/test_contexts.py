"""Each connection's callbacks run in its own context (:mod:`contextvars`), also if another connection's timer or flush causes them."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from contextvars import ContextVar

from websockets.exceptions import ConnectionClosed

from odac import Context, Limits, Odac
from tests.integration.harness import OpenRoutes, Probe, Server, receive

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")
CLIENTS = ("ALICE", "BOB")


def build(probe: Probe) -> Odac:
    app = Odac(limits=Limits(ping_interval=1, pong_timeout=1, close_timeout=5, outgoing_buffer=65_536))
    ws = OpenRoutes(app)

    @app.middleware("name")
    def name(odac: Context) -> None:
        WHO.set(odac.request.data.url["name"])

    @app.middleware("name-later")
    async def name_later(odac: Context) -> None:
        await asyncio.sleep(0)
        WHO.set(odac.request.data.url["name"])

    def listen(odac: Context, kind: str) -> None:
        me = odac.request.data.url["name"]
        odac.ws.join(f"{kind}-{me}")
        odac.ws.on("close", lambda: probe(f"{kind}: close of {me}", WHO.get()))

        @odac.ws.on("close")
        async def closed() -> None:
            await asyncio.sleep(0)
            probe(f"{kind}: close of {me}", WHO.get())

        odac.ws.on("error", lambda: probe(f"{kind}: error of {me}", WHO.get()))

        @odac.ws.on("message")
        def message(data: object) -> None:
            match data:
                case ["close", other]:
                    odac.ws.to(f"{kind}-{other}").close(4000, "enough")
                case ["flood", other]:
                    for _ in range(200):
                        odac.ws.to(f"{kind}-{other}").send("x" * 100_000)
                case "raise":
                    odac.set_timeout(0, fail)
                case "task":
                    odac.create_task(task())
                case "set":
                    WHO.set("changed")
                case _:
                    odac.ws.send(WHO.get())

        def fail() -> None:
            raise ValueError

        async def task() -> None:
            await asyncio.sleep(0)
            odac.ws.send(WHO.get())

    def plain(odac: Context) -> None:
        listen(odac, "plain")

    app.route.use("name").ws("/plain/{name}", plain, token=False)

    async def later(odac: Context) -> None:
        await asyncio.sleep(0)
        listen(odac, "later")

    app.route.use("name-later").ws("/later/{name}", later, token=False)

    @ws("/handler/{name}")
    async def handler(odac: Context) -> None:
        await asyncio.sleep(0)
        WHO.set(odac.request.data.url["name"])
        listen(odac, "handler")

    @ws("/unset/{name}")
    def unset(odac: Context) -> None:
        listen(odac, "unset")

    @ws("/first/{name}")
    def first(odac: Context) -> None:
        odac.ws.send(WHO.get())
        WHO.set("somebody")

    return app


KINDS = ("plain", "later", "handler")


def test_no_connection_has_the_variables_of_another(server: Server) -> None:
    for name in ("first", "second", "third"):
        with server.connect(f"/first/{name}") as client:
            assert receive(client) == "nobody"


def test_messages_are_handled_in_the_connections_own_context(server: Server) -> None:
    for kind in KINDS:
        with server.connect(f"/{kind}/ALICE") as alice, server.connect(f"/{kind}/BOB") as bob:
            for client, name in ((alice, "ALICE"), (bob, "BOB"), (alice, "ALICE")):
                for message in ("1", '"task"'):
                    client.send(message)
                    assert receive(client) == name


def test_a_variable_set_in_a_listener_is_its_connections_alone(server: Server) -> None:
    with server.connect("/unset/ALICE") as alice, server.connect("/unset/BOB") as bob:
        alice.send('"set"')
        for client, seen in ((alice, "changed"), (bob, "nobody"), (alice, "changed")):
            for _ in range(2):
                client.send("1")
                assert receive(client) == seen


def test_an_error_of_a_timer_goes_to_its_own_connection(server: Server, probe: Probe) -> None:
    with server.connect("/plain/ALICE") as alice, server.connect("/plain/BOB") as bob:
        for client, name in ((alice, "ALICE"), (bob, "BOB")):
            client.send('"raise"')
            assert probe.get(f"plain: error of {name}") == name


def test_close_by_another_connection_is_called_in_the_closed_ones_context(server: Server, probe: Probe) -> None:
    for kind in KINDS:
        with server.connect(f"/{kind}/ALICE") as alice, server.connect(f"/{kind}/BOB") as bob:
            bob.send("1")
            assert receive(bob) == "BOB"  # it is in its room
            alice.send('["close", "BOB"]')
            try:
                receive(bob)
            except ConnectionClosed:
                pass
            assert probe.take(f"{kind}: close of BOB", 2) == ["BOB", "BOB"]
        assert probe.take(f"{kind}: close of ALICE", 2) == ["ALICE", "ALICE"]


def test_a_slow_reader_that_another_one_floods_is_closed_in_its_own_context(server: Server, probe: Probe) -> None:
    with server.connect("/plain/ALICE") as alice, server.connect("/plain/BOB", max_queue=1) as bob:
        alice.send('["flood", "BOB"]')
        alice.send("1")
        assert receive(alice) == "ALICE"
        bob.socket.close()
        assert probe.take("plain: close of BOB", 2) == ["BOB", "BOB"]


def test_clients_that_answer_no_ping_are_cut_off_in_their_own_contexts(server: Server, probe: Probe) -> None:
    """One timer serves all heartbeats: it was started by the first of them."""
    with ExitStack() as clients:
        for kind in KINDS:
            for name in CLIENTS:
                clients.enter_context(server.connect(f"/{kind}/{name}", v1=True))
        for kind in KINDS:
            for name in CLIENTS:
                assert probe.take(f"{kind}: close of {name}", 2) == [name, name]
