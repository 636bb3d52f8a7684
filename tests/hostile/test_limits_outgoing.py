"""Readers that do not keep up: what waits for them is bounded, and nobody else pays."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Unpack

import pytest
import trustme

from odac import Context, Limits, Odac
from odac.realtime.connection import Connection
from odac.routing.options import RouteOptions
from tests.hostile.peers import BINARY, PING, Closed, Peer, frame
from tests.hostile.served import run, served, until

Log = Callable[[], list[str]]
SECRET = "a secret that is long enough to be one"
LIMIT = 200_000
PIECE = 10_000
SMALL = 4_096
"""A receive buffer, so that a peer that does not read is felt soon."""


def room_app(**options: Unpack[RouteOptions]) -> tuple[Odac, list[Context]]:
    """An app with one room, and the contexts of those who are in it."""
    app = Odac(SECRET, limits=Limits(outgoing_buffer=LIMIT, rate_limit=None, close_timeout=0.5))
    members: list[Context] = []

    options["token"] = False

    @app.route.ws("/room", **options)
    def room(odac: Context) -> None:
        odac.ws.join("room")
        members.append(odac)

    return app, members


def text(kind: str, number: int) -> str:
    return f"{kind} {number} ".ljust(PIECE, ".")


def waiting(connection: Connection) -> int:
    """Bytes that wait for a peer in this process."""
    return (connection.outbox.backlog.size if connection.outbox.backlog is not None else 0) + connection.lane.buffered


async def congest(connection: Connection) -> int:
    """Send until the kernel takes no more; gives how many messages that took."""
    for number in range(100_000):
        if connection.outbox.backlog is not None:
            return number
        connection.send(text("direct", number))
        await asyncio.sleep(0)
    raise AssertionError("the kernel takes everything")


@pytest.mark.parametrize("how", ["direct", "room", "binary", "broadcast"])
def test_a_full_outgoing_buffer_closes(lane: str, log: Log, how: str) -> None:
    app, members = room_app()

    async def main() -> None:
        async with (
            served(app, lane) as port,
            Peer.connect(port, "/room", receive_buffer=SMALL) as slow,
            Peer.connect(port, "/room") as quick,
        ):
            slow.stop_reading()
            await until(lambda: len(members) == 2, "both are in the room")
            connection, other = members[0].ws, members[1].ws
            received = asyncio.create_task(collect(quick))
            sent = 0
            most = 0
            while connection.is_open:
                if how == "direct":
                    connection.send(text("x", sent))
                    other.send(text("x", sent))
                elif how == "binary":
                    connection.send_binary(bytes(PIECE))
                    other.send(text("x", sent))
                elif how == "room":
                    other.to("room").send(text("x", sent))
                else:
                    other.broadcast(text("x", sent))
                sent += 1
                most = max(most, waiting(connection))
                await asyncio.sleep(0)
                assert sent < 10_000
            assert most <= LIMIT + 2 * PIECE
            assert waiting(connection) <= LIMIT
            await until(lambda: connection.ready_state == 3, "the close timeout ends it")
            assert connection._hub.delivery.overflows == 1
            # Nobody else noticed.
            other.close()
            assert await received == [text("x", number) for number in range(sent)]
            # It could not be told, because it does not read; the kernel's buffer holds what came before.
            slow.read_on()
            if lane == "direct":
                assert (await slow.end()).code == 1006

    run(main)
    (line,) = [line for line in log() if "Limits.outgoing_buffer" in line]
    assert "1013" in line
    assert str(LIMIT) in line


async def collect(peer: Peer) -> list[str]:
    texts = []
    try:
        while True:
            texts.append(await peer.message())
    except (AssertionError, ConnectionError):
        return texts


def test_a_reader_that_wakes_up_learns_why_it_was_closed(lane: str) -> None:
    app, members = room_app()

    async def main() -> None:
        async with served(app, lane) as port, Peer.connect(port, "/room", receive_buffer=SMALL) as slow:
            slow.stop_reading()
            await until(lambda: members, "it is in the room")
            connection = members[0].ws
            while connection.is_open:
                connection.send(text("x", 0))
                await asyncio.sleep(0)
            slow.read_on()
            assert await slow.end() == Closed(1013, f"reads too slowly: over {LIMIT} bytes wait (outgoing_buffer)")

    run(main)


def test_drop_oldest_keeps_the_connection_and_what_is_its_own(lane: str, log: Log) -> None:
    """Room messages are dropped from the front, and counted; direct sends all arrive, in order among the rest."""
    app, members = room_app(overflow="drop_oldest")

    async def main() -> None:
        async with served(app, lane) as port, Peer.connect(port, "/room", receive_buffer=SMALL) as slow:
            slow.stop_reading()
            await until(lambda: members, "it is in the room")
            connection = members[0].ws
            filled = await congest(connection)
            for number in range(100):
                connection.to("room").send(text("room", number))
                if number % 25 == 0:
                    connection.send(text("own", number))
                assert waiting(connection) <= LIMIT + PIECE
                await asyncio.sleep(0)
                assert waiting(connection) <= LIMIT
            assert connection.is_open
            slow.read_on()
            received = [(await slow.message()).split()[:2] for _ in range(filled)]
            assert received == [["direct", str(number)] for number in range(filled)]
            rest = [(await slow.message()).split()[:2]]
            while rest[-1] != ["room", "99"]:
                rest.append((await slow.message()).split()[:2])
            assert [each for each in rest if each[0] == "own"] == [["own", str(number)] for number in (0, 25, 50, 75)]
            rooms = [int(number) for kind, number in rest if kind == "room"]
            assert rooms == sorted(rooms)
            assert 0 < len(rooms) < 100
            assert rooms[-3:] == [97, 98, 99]  # the newest are kept
            dropped = 100 - len(rooms)
            delivery = connection._hub.delivery
            await until(lambda: delivery.dropped_messages == dropped, f"{dropped} are counted")
            # And on it goes as if nothing had been.
            connection.to("room").send("after")
            assert await slow.message() == "after"

    run(main)
    (line,) = [line for line in log() if "drop_oldest" in line]
    assert "room messages are dropped" in line
    assert "Limits.outgoing_buffer" in line


def test_what_was_dropped_for_a_reader_that_never_woke_up_is_counted_too(lane: str, log: Log) -> None:
    app, members = room_app(overflow="drop_oldest")

    async def main() -> None:
        async with served(app, lane) as port:
            async with Peer.connect(port, "/room", receive_buffer=SMALL) as slow:
                slow.stop_reading()
                await until(lambda: members, "it is in the room")
                connection = members[0].ws
                await congest(connection)
                for number in range(100):
                    connection.to("room").send(text("room", number))
                    await asyncio.sleep(0)
                delivery = connection._hub.delivery
            connection.send(text("it notices", 0))
            await until(lambda: connection.ready_state == 3, "the connection is gone")
            assert delivery.dropped_messages >= 100 - LIMIT // PIECE - 1

    run(main)
    assert any("room messages are dropped" in line for line in log())


def test_drop_oldest_closes_when_what_is_its_own_fills_the_buffer(lane: str) -> None:
    app, members = room_app(overflow="drop_oldest")

    async def main() -> None:
        async with served(app, lane) as port, Peer.connect(port, "/room", receive_buffer=SMALL) as slow:
            slow.stop_reading()
            await until(lambda: members, "it is in the room")
            connection = members[0].ws
            sent = 0
            while connection.is_open:
                connection.send(text("x", 0))
                await asyncio.sleep(0)
                sent += 1
                assert sent < 10_000
            slow.read_on()
            assert (await slow.end()).code == 1013

    run(main)


def test_one_message_larger_than_the_buffer_is_sent(lane: str) -> None:
    app, members = room_app()

    async def main() -> None:
        async with served(app, lane) as port, Peer.connect(port, "/room") as peer:
            await until(lambda: members, "it is in the room")
            members[0].ws.send("x" * (10 * LIMIT))
            assert await peer.message() == "x" * (10 * LIMIT)
            members[0].ws.send("and on")
            assert await peer.message() == "and on"

    run(main)


def test_awaiting_a_send_waits_for_room(lane: str) -> None:
    """32 MB through a buffer of 200 KB, to a peer that begins to read late: everything arrives, and little waits."""
    app = Odac(SECRET, limits=Limits(outgoing_buffer=LIMIT, rate_limit=None))
    sent: list[int] = []
    most = [0]
    pieces, size = 800, 40_000

    @app.route.ws("/stream", token=False)
    async def stream(odac: Context) -> None:
        for number in range(pieces):
            await odac.ws.send(bytes([number % 256]) + bytes(size))
            sent.append(number)
            most[0] = max(most[0], waiting(odac.ws))
        odac.ws.close()

    async def main() -> None:
        sent.clear()
        async with served(app, lane) as port, Peer.connect(port, "/stream", receive_buffer=SMALL) as peer:
            peer.stop_reading()
            await until(lambda: app.route.ws_server.clients, "the connection is open")
            (connection,) = app.route.ws_server.clients.values()
            await until(lambda: connection.outbox.backlog is not None and len(sent) > 3, "the kernel takes no more")
            for _ in range(200):
                await asyncio.sleep(0.001)
            assert len(sent) < pieces // 2  # the kernel has taken a few MiB, and now it waits
            peer.read_on()
            numbers = []
            while True:
                opcode, payload = await peer.frame()
                if opcode != BINARY:
                    break
                numbers.append(payload[0])
            assert numbers == [number % 256 for number in range(pieces)]
            assert payload[:2] == b"\x03\xe8"
        assert most[0] <= LIMIT + size

    run(main)


def test_awaiting_a_send_ends_when_the_connection_is_lost(lane: str) -> None:
    app = Odac(SECRET, limits=Limits(outgoing_buffer=LIMIT, rate_limit=None, close_timeout=5.0))
    ended: list[bool] = []

    @app.route.ws("/stream", token=False)
    async def stream(odac: Context) -> None:
        while odac.ws.ready_state == 1:
            await odac.ws.send(bytes(40_000))
        ended.append(True)

    async def main() -> None:
        async with served(app, lane) as port:
            async with Peer.connect(port, "/stream", receive_buffer=SMALL) as peer:
                peer.stop_reading()
                await until(lambda: app.route.ws_server.clients, "the connection is open")
                (connection,) = app.route.ws_server.clients.values()
                await until(lambda: connection.outbox.backlog is not None, "the kernel takes no more")
            await until(lambda: ended, "the handler goes on when the peer is gone")

    run(main)


def test_pongs_for_a_peer_that_never_reads_are_bounded() -> None:
    """A ping is answered by as much as it holds: so a peer that pings and does not read fills its own buffer."""
    app, members = room_app()
    pings = frame(PING, bytes(125)) * 100

    async def main() -> None:
        async with served(app, "direct") as port, Peer.connect(port, "/room", receive_buffer=SMALL) as peer:
            peer.stop_reading()
            await until(lambda: members, "it is in the room")
            connection = members[0].ws
            sent = 0
            while connection.is_open:
                peer.send(pings)
                sent += 100
                assert waiting(connection) <= LIMIT
                await asyncio.sleep(0)
                assert sent < 1_000_000
            await until(lambda: connection.ready_state == 3, "it is cut off")
            assert connection._hub.delivery.overflows == 1

    run(main)


def test_a_full_outgoing_buffer_closes_over_tls(tmp_path: Path, log: Log) -> None:
    """There no frame passes the transport by, and what waits in the layers below is bounded too."""
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    app, members = room_app()

    async def main() -> None:
        options = {"ssl_certfile": str(tmp_path / "pem"), "ssl_keyfile": str(tmp_path / "pem")}
        async with (
            served(app, "direct", **options) as port,
            Peer.connect(port, "/room", receive_buffer=SMALL, tls=context) as slow,
        ):
            slow.stop_reading()
            await until(lambda: members, "it is in the room")
            connection = members[0].ws
            sent = 0
            while connection.is_open:
                connection.to("room").send(text("x", sent))
                sent += 1
                await asyncio.sleep(0)
                assert waiting(connection) <= LIMIT + 2 * PIECE
                assert sent < 10_000
            await until(lambda: connection.ready_state == 3, "the close timeout ends it")
            assert connection._hub.delivery.overflows == 1

    run(main)
    assert any("Limits.outgoing_buffer" in line for line in log())
