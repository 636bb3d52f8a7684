"""What a client sends too much of: each limit closes with its code and a reason, and the log names the setting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from odac import Context, Limits, Odac, RateLimit
from odac.lanes import asgi, direct
from odac.lanes.direct import DirectLane
from odac.realtime import rate
from odac.speedups import COMPILED
from tests.hostile.peers import BINARY, CONTINUATION, PING, PONG, TEXT, Closed, Peer, close_frame, frame, header
from tests.hostile.served import run, served, until
from tests.rate_clock import rate_clock

Log = Callable[[], list[str]]


def echo_app(limits: Limits, **options: Any) -> Odac:
    app = Odac("a secret that is long enough to be one", limits=limits)

    def handler(odac: Context) -> None:
        odac.ws.on("message", odac.ws.send)

    app.route.ws("/echo", handler, token=False, raw=True)
    app.route.ws("/route", handler, token=False, raw=True, **options)
    return app


@pytest.mark.parametrize(("path", "limit"), [("/echo", 1_000), ("/route", 50)])
def test_max_payload(lane: str, log: Log, path: str, limit: int) -> None:
    app = echo_app(Limits(max_payload=1_000), max_payload=50)

    async def main() -> None:
        async with served(app, lane) as port:
            async with Peer.connect(port, path) as peer:
                peer.text("x" * limit)
                assert await peer.message() == "x" * limit
                peer.text("x" * (limit + 1))
                assert await peer.end() == Closed(1009, f"message of {limit + 1} bytes: at most {limit} (max_payload)")
            async with Peer.connect(port, path) as peer:  # the sum of the fragments counts, not each of them
                peer.send(frame(BINARY, b"x" * limit, fin=False), frame(CONTINUATION, b"x"))
                assert (await peer.end()).code == 1009

    run(main)
    assert sum("max_payload" in line and path in line for line in log()) == 2


def test_max_payload_counts_bytes_and_not_characters(lane: str) -> None:
    app = echo_app(Limits(max_payload=100))

    async def main() -> None:
        async with served(app, lane) as port, Peer.connect(port, "/echo") as peer:
            peer.text("é" * 50)
            assert await peer.message() == "é" * 50
            peer.text("é" * 51)
            assert (await peer.end()).code == 1009

    run(main)


def test_max_payload_is_decided_on_the_header_where_frames_are_ours(log: Log) -> None:
    app = echo_app(Limits(max_payload=1_000))

    async def main() -> None:
        async with served(app, "direct") as port, Peer.connect(port, "/echo") as peer:
            peer.send(header(BINARY, 1_001))  # and not a byte of it
            assert await peer.end() == Closed(1009, "message of 1001 bytes: at most 1000 (max_payload)")

    run(main)
    assert any("max_payload" in line for line in log())


def test_max_fragments(log: Log) -> None:
    app = echo_app(Limits(max_fragments=10))

    async def main() -> None:
        async with served(app, "direct") as port, Peer.connect(port, "/echo") as peer:
            pieces = [frame(TEXT, b"a", fin=False), *[frame(CONTINUATION, b"b", fin=False)] * 8]
            peer.send(*pieces, frame(PING), frame(CONTINUATION, b"c"))  # control frames in between do not count
            assert await peer.message() == "a" + "b" * 8 + "c"
            peer.send(*pieces, frame(CONTINUATION, b"b", fin=False), frame(CONTINUATION, b"c"))
            assert await peer.end() == Closed(1008, "message of more than 10 fragments (max_fragments)")

    run(main)
    assert any("max_fragments" in line for line in log())


def test_over_plain_asgi_fragments_are_the_servers_to_count() -> None:
    app = echo_app(Limits(max_fragments=10))

    async def main() -> None:
        async with served(app, "asgi") as port, Peer.connect(port, "/echo") as peer:
            peer.send(frame(TEXT, b"a", fin=False), *[frame(CONTINUATION, b"b", fin=False)] * 98)
            peer.send(frame(CONTINUATION, b"c"))
            assert await peer.message() == "a" + "b" * 98 + "c"

    run(main)


@pytest.fixture(params=["compiled", "reference"])
def stopped_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The clock of the rate limit's windows, as a list of one number."""
    now = [1_000.0]
    if request.param == "reference":
        monkeypatch.setattr(DirectLane, "data_received", DirectLane.reference_data_received)
        for lane in (direct, asgi):
            monkeypatch.setattr(lane, "new_meter", rate.RateMeter)
    elif not COMPILED:
        pytest.skip("not compiled here: no C compiler, or ODAC_SPEEDUPS=0")
    with rate_clock(lambda: now[0]):
        yield now


@pytest.mark.parametrize(("path", "most"), [("/echo", 20), ("/route", 3)])
def test_rate_limit(lane: str, log: Log, stopped_clock: list[float], path: str, most: int) -> None:
    app = echo_app(Limits(rate_limit=RateLimit(20, 1.0)), rate_limit=RateLimit(3, 5.0))

    async def main() -> None:
        async with served(app, lane) as port:
            async with Peer.connect(port, path) as peer:
                for _ in range(3):  # every window has its own
                    stopped_clock[0] += 5.0
                    for number in range(most):
                        peer.text(str(number))
                        assert await peer.message() == str(number)
                peer.text("one more")
                assert await peer.end() == Closed(1008, "Rate limit exceeded")
            async with Peer.connect(port, path) as peer:  # in one piece as well as one by one
                peer.text(*map(str, range(most + 5)))
                assert [await peer.message() for _ in range(most)] == [str(number) for number in range(most)]
                assert (await peer.end()).code == 1008
            async with Peer.connect(port, path) as peer:  # nobody pays for another
                peer.text("still here")
                assert await peer.message() == "still here"

    run(main)
    lines = [line for line in log() if "Limits.rate_limit" in line]
    assert len(lines) == 2
    assert all(path in line and f"more than {most} messages" in line for line in lines)


@pytest.mark.parametrize("opcode", [PING, PONG], ids=["ping", "pong"])
def test_rate_limit_counts_control_frames_where_frames_are_ours(opcode: int, stopped_clock: list[float]) -> None:
    app = echo_app(Limits(rate_limit=RateLimit(10, 1.0)))

    async def main() -> None:
        async with served(app, "direct") as port, Peer.connect(port, "/echo") as peer:
            peer.send(frame(opcode) * 11)
            assert await peer.end() == Closed(1008, "Rate limit exceeded")

    run(main)


def test_over_plain_asgi_control_frames_are_the_servers_to_count(stopped_clock: list[float]) -> None:
    app = echo_app(Limits(rate_limit=RateLimit(10, 1.0)))

    async def main() -> None:
        async with served(app, "asgi") as port, Peer.connect(port, "/echo") as peer:
            peer.send(frame(PING) * 50)
            peer.text("still here")
            assert await peer.message() == "still here"

    run(main)


def test_control_messages_of_odac_count_on_both_lanes(lane: str, stopped_clock: list[float]) -> None:
    app = echo_app(Limits(rate_limit=RateLimit(10, 1.0)))

    async def main() -> None:
        async with (
            served(app, lane) as port,
            Peer.connect(port, "/echo", [("Sec-WebSocket-Protocol", "odac.v1")]) as peer,
        ):
            peer.text(*['\x1e["ping"]'] * 11)
            assert await peer.end() == Closed(1008, "Rate limit exceeded")

    run(main)


def test_no_rate_limit(lane: str, stopped_clock: list[float]) -> None:
    app = echo_app(Limits(), rate_limit=None)

    async def main() -> None:
        async with served(app, lane) as port, Peer.connect(port, "/route") as peer:
            peer.text(*map(str, range(1_000)))
            assert [await peer.message() for _ in range(1_000)] == [str(number) for number in range(1_000)]

    run(main)


@pytest.mark.parametrize("form", ["listener", "iterator"])
def test_incoming_queue_pauses_reading(lane: str, form: str) -> None:
    """A slow handler takes nothing: neither does the server, and the peer's own writes stop. Nothing is lost."""
    app = Odac("a secret that is long enough to be one", limits=Limits(incoming_queue=4, rate_limit=None))
    gate = asyncio.Event()
    taken: list[int] = []
    count, size = 64, 512 * 1024

    async def take(data: bytes) -> None:
        await gate.wait()
        taken.append(data[0])

    @app.route.ws("/slow", token=False)
    async def slow(odac: Context) -> None:
        if form == "listener":
            odac.ws.on("message", take)
        else:
            async for data in odac.ws:
                await take(data)

    async def main() -> None:
        gate.clear()
        async with served(app, lane) as port, Peer.connect(port, "/slow") as peer:

            async def send_all() -> None:
                for number in range(count):
                    peer.send(frame(BINARY, bytes([number]) + bytes(size)))
                    await peer.writer.drain()

            sending = asyncio.create_task(send_all())
            await until(lambda: app.route.ws_server.clients, "the connection is open")
            (connection,) = app.route.ws_server.clients.values()
            await until(lambda: connection.inbox.is_paused, "reading pauses")
            # The kernel's buffers hold a few MiB; of 32 MiB most must still be with the peer, however long it tries.
            for _ in range(20):
                await asyncio.sleep(0)
                assert not sending.done()
            assert taken == []
            gate.set()
            await sending
            await until(lambda: len(taken) == count, "all messages are handled")
            assert taken == list(range(count))
            peer.send(close_frame(1000))
            assert (await peer.end()).code == 1000

    run(main)


def test_what_comes_before_the_first_listener_is_held_and_bounded(lane: str) -> None:
    app = Odac("a secret that is long enough to be one", limits=Limits(incoming_queue=4, rate_limit=None))
    gate = asyncio.Event()
    waiting: list[Context] = []
    taken: list[int] = []
    count, size = 64, 512 * 1024

    @app.middleware("wait")
    async def wait(odac: Context) -> None:
        waiting.append(odac)
        await gate.wait()

    @app.route.use("wait").ws("/held", token=False)
    async def held(odac: Context) -> None:
        odac.ws.on("message", lambda data: taken.append(data[0]))

    async def main() -> None:
        gate.clear()
        async with served(app, lane) as port, Peer.connect(port, "/held") as peer:

            async def send_all() -> None:
                for number in range(count):
                    peer.send(frame(BINARY, bytes([number]) + bytes(size)))
                    await peer.writer.drain()

            sending = asyncio.create_task(send_all())
            await until(lambda: waiting and waiting[0].ws.inbox.is_paused, "reading pauses")
            for _ in range(20):
                await asyncio.sleep(0)
                assert not sending.done()
            gate.set()
            await sending
            await until(lambda: len(taken) == count, "everything is delivered")
            assert taken == list(range(count))
            peer.send(close_frame(1000))
            assert (await peer.end()).code == 1000

    run(main)
