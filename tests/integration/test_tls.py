"""Connections over TLS, whose transports count their buffered bytes differently from plain ones."""

from __future__ import annotations

import asyncio
import gc
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import aiofastnet
import pytest
import trustme

from odac import Context, Odac
from tests.integration.conftest import LANES
from tests.integration.harness import DEADLINE, OpenRoutes, Server, receive
from tests.integration.thread_clients import ThreadClient, ThreadClients

BIG = 300_000


class OverAiofastnet(Odac):
    """Has what its server opens next carried by aiofastnet, as ``odac run`` does where that is installed."""

    async def startup(self) -> None:
        aiofastnet.patch_loop(asyncio.get_running_loop())
        await super().startup()


def build(kind: type[Odac] = Odac) -> Odac:
    app = kind()
    ws = OpenRoutes(app)

    @ws("/echo")
    def echo(odac: Context) -> None:
        odac.ws.on("message", odac.ws.send)

    return app


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(
    scope="module",
    params=[*((each, Odac) for each in LANES), *((each, OverAiofastnet) for each in LANES)],
    ids=lambda each: "-".join((*each[0], each[1].__name__)),
)
def server(
    request: pytest.FixtureRequest, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    (lane, loop), kind = request.param
    pem: Path = tmp_path_factory.mktemp("tls") / "both.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    with Server(build(kind), lane=lane, loop=loop, ssl_certfile=str(pem), ssl_keyfile=str(pem)) as running:
        yield running


@pytest.fixture
def client(server: Server, authority: trustme.CA) -> Iterator[ThreadClient]:
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with ThreadClients(trust) as clients:
        yield clients.open(f"wss://{server.host}:{server.port}/echo", compression=None, max_size=None)
    server.wait_until_empty()


def test_messages_of_the_server_arrive_while_the_client_sends_nothing(server: Server, client: ThreadClient) -> None:
    client.send("ready")
    assert receive(client) == "ready"
    for number in range(20):
        server.call(lambda: server.app.route.ws_server.broadcast(number))  # noqa: B023 - called at once
        assert receive(client) == number


@pytest.mark.parametrize("size", [BIG, 1_000])
def test_a_reader_that_pauses_gets_everything_in_order(server: Server, client: ThreadClient, size: int) -> None:
    count = 3 * BIG // size
    client.send("ready")
    assert receive(client) == "ready"
    for round_ in range(2):
        # Nobody reads meanwhile: more waits than the socket's buffers take.
        server.call(lambda: [server.app.route.ws_server.broadcast(f"{number} {'x' * size}") for number in range(count)])
        for number in range(count):
            message = str(client.recv(DEADLINE))
            assert message.partition(" ")[0] == str(number), round_


def test_large_echoes(client: ThreadClient) -> None:
    for number in range(20):
        message = bytes([number]) * 3 * BIG
        client.send(message)
        assert client.recv(DEADLINE) == message


def _transports() -> int:
    """Transports over TLS in this process; the clients' are asyncio's own, and not counted."""
    kinds = (type(each) for each in gc.get_objects())
    names = (f"{kind.__module__}.{kind.__name__}" for kind in kinds)
    return sum(name.startswith(("aiofastnet.", "uvloop.")) and "SSL" in name for name in names)


def test_a_connection_that_was_cut_leaves_nothing_to_the_garbage_collector(
    server: Server, authority: trustme.CA
) -> None:
    """OpenSSL's memory and the buffers go with it, however long the collector waits."""
    if server.lane != "direct":
        pytest.skip("not for this one: uvicorn's class has the transport")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    gc.collect()
    gc.disable()
    try:
        before = _transports()
        with ThreadClients(trust) as clients:
            for _ in range(3):
                client = clients.open(f"wss://{server.host}:{server.port}/echo", compression=None)
                client.send("x")
                assert receive(client) == "x"
            if _transports() == before:
                pytest.skip("not for this one: the transports are asyncio's own, as the clients' are")
            clients.cut()
            deadline = time.monotonic() + DEADLINE
            while _transports() > before and time.monotonic() < deadline:
                time.sleep(0.01)
        assert _transports() <= before
    finally:
        gc.enable()
