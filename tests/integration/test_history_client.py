"""Rooms with history on real servers, over both lanes: the Python client, cuts after every byte, and slow readers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import odac
from odac import Context, History, Limits, Odac
from odac.client import Recover
from odac.client.recovery import Positions
from odac.protocol.codec import decode_text
from odac.protocol.control import decode_control, is_control, unescape
from odac.protocol.message import Prepared
from odac.wire.frames import encode_masked_frame
from tests.integration.harness import DEADLINE, Probe, Raw, Server

SECRET = "a secret that is long enough for all"
V1 = "Sec-WebSocket-Protocol: odac.v1"
RESUMING = "Sec-WebSocket-Protocol: odac.v1, odac.resume"


def build(probe: Probe) -> Odac:
    app = Odac(SECRET, limits=Limits(rate_limit=None, outgoing_buffer=64 * 1024, recovery_entries=100_000))
    app.rooms("chat-*", history=History(size=5000, max_bytes=64 * 1024 * 1024))

    @app.route.ws("/bystander", token=False)
    def bystander(odac: Context) -> None:
        odac.ws.on("message", odac.ws.send)

    @app.route.ws("/small", token=False, max_payload=1024)
    def small(odac: Context) -> None:
        for number in range(30):
            odac.ws.join(f"chat-small-{number}")

    @app.route.ws("/chat/{id}", token=False)
    def chat(odac: Context) -> None:
        name = f"chat-{odac.request.data.url['id']}"
        odac.ws.join(name)
        odac.ws.on("message", lambda data: odac.ws.to(name).send(data))
        odac.ws.on("close", lambda: probe("closed", odac.ws.id))

    return app


def say(server: Server, room: str, *messages: object) -> None:
    app: Odac = server.app
    for message in messages:
        server.call(lambda message=message: app.route.ws_server.to_room(room, message))  # type: ignore[misc]


class Page:
    """A client that can be cut off after any byte of what it gets: the client's own rules over a bare socket."""

    def __init__(self, server: Server, path: str) -> None:
        self.positions = Positions()
        self.received: list[Any] = []
        self.told: list[Recover] = []
        self._server = server
        self._path = path

    def connect(self, resume: Prepared | None = None) -> Raw:
        resume = self.positions.resume() if resume is None else resume
        self.positions.opened()
        raw = self._server.raw()
        raw.upgrade(self._path, RESUMING if resume is not None else V1)
        if resume is not None:
            raw.send_frame(1, resume.payload)
        return raw

    def take(self, frame: tuple[int, bytes]) -> str | None:
        """Take a frame as the client does; return the kind of a control message."""
        opcode, payload = frame
        if opcode == 1 and is_control(payload):
            decoded = decode_control(payload)
            assert decoded is not None
            told = self.positions.control(*decoded)
            if told is not None:
                self.told.append(told)
            return decoded[0]
        self.positions.arrived()
        self.received.append(decode_text(unescape(payload)) if opcode == 1 else payload)
        return None

    def read_until(self, raw: Raw, kind: str) -> None:
        while self.take(raw.frame()) != kind:
            pass

    def read_messages(self, raw: Raw, count: int) -> None:
        while len(self.received) < count:
            self.take(raw.frame())


def seeded(server: Server, room: str) -> Page:
    """A page that was there when the room's first message came."""
    page = Page(server, f"/chat/{room}")
    with page.connect() as raw:
        page.read_until(raw, "live")
        say(server, f"chat-{room}", "first")
        page.read_messages(raw, 1)
    page.positions.closed(1006)
    page.received.clear()
    return page


class Cut(Raw):
    """What has come of a connection before it was cut off."""

    def __init__(self, received: bytes) -> None:
        self._received = received

    def _receive(self) -> None:
        raise ConnectionError


def test_a_page_that_is_cut_off_after_any_byte_gets_the_rest_once(server: Server, probe: Probe) -> None:
    messages = ["a", "\x1eb", "c" * 130, 4, {"five": 5}]
    page = seeded(server, "cut")
    say(server, "chat-cut", *messages)
    with page.connect() as raw:
        page.read_until(raw, "room")
        run = len(raw.take_until(b'["live",'))
    assert run > 150
    for cut in range(1, run + 1):
        page.positions._positions["chat-cut"].offset = 1
        page.received.clear()
        with page.connect() as raw:
            page.read_until(raw, "room")
            raw._need(cut)
            partial = Cut(raw._received[:cut])
        with contextlib.suppress(ConnectionError):
            while True:
                page.take(partial.frame())
        page.positions.closed(1006)
        with page.connect() as raw:
            page.read_until(raw, "live")
        page.positions.closed(1006)
        assert page.received == messages, cut
        assert all(told.recovered for told in page.told)


def test_a_resume_that_is_cut_off_anywhere_affects_no_other(server: Server, probe: Probe, bystander: None) -> None:
    page = seeded(server, "partial")
    say(server, "chat-partial", 1, 2)
    resume = page.positions.resume()
    assert resume is not None
    for cut in range(1, len(resume.payload) + 6, 7):
        raw = server.raw()
        raw.upgrade("/chat/partial", RESUMING)
        raw.send(encode_masked_frame(1, resume.payload, b"abcd")[:cut])
        raw.reset()
    with page.connect() as raw:
        page.read_until(raw, "live")
    assert page.received == [1, 2]
    assert page.told == [Recover("chat-partial", True, 2)]


def test_a_resume_may_be_larger_than_the_routes_messages(server: Server, probe: Probe) -> None:
    page = Page(server, "/small")
    with page.connect() as raw:
        for _ in range(30):
            page.read_until(raw, "live")
    resume = page.positions.resume()
    assert resume is not None
    assert len(resume.payload) > 2000
    with page.connect() as raw:
        for _ in range(30):
            page.read_until(raw, "live")
        raw.send_frame(1, b"." * 1025)  # the limit of the route is back
        assert raw.close_code() == 1009


def test_a_resume_of_the_wrong_form_makes_a_new_client(server: Server, probe: Probe, bystander: None) -> None:
    from odac.protocol.control import encode_control

    page = seeded(server, "forged")
    say(server, "chat-forged", 1)
    good = page.positions.resume()
    assert good is not None
    _, (signed, rooms) = decode_control(good.payload) or ("", ["", []])
    name, epoch, offset, ticket = rooms[0]  # type: ignore[index]
    for forged in (
        [signed, [[name, epoch, offset, ticket[:-1] + ("A" if ticket[-1] != "A" else "B")]]],
        [str(signed)[:-1] + ("A" if str(signed)[-1] != "A" else "B"), rooms],
        [signed, [["chat-other", epoch, offset, ticket]]],
        [signed, {}],
        [signed],
        [None, rooms],
        [signed, [[name, epoch, 2**60, ticket]]],
    ):
        other = Page(server, "/chat/forged")
        with other.connect(encode_control("resume", *forged)) as raw:
            other.read_until(raw, "live")
        assert other.received == [], forged
        assert not any(told.recovered for told in other.told)


def held(server: Server) -> int:
    """Bytes that wait for all connections of the server."""
    app: Odac = server.app
    backlogs = [connection.outbox.backlog for connection in app.route.ws_server.clients.values()]
    return sum(backlog.size for backlog in backlogs if backlog is not None)


def test_a_reader_that_pauses_is_not_closed_and_loses_nothing(server: Server, probe: Probe) -> None:
    """outgoing_buffer is 64 KiB here, and 4 MB are sent while nothing is read."""
    page = Page(server, "/chat/slow")
    raw = server.raw(receive_buffer=4096)
    raw.upgrade("/chat/slow", V1)
    with raw:
        page.read_until(raw, "live")
        text = "." * 1000
        for start in range(0, 4000, 50):
            say(server, "chat-slow", *[[number, text] for number in range(start, start + 50)])
        # It waits at its place in the history, and not with a buffer of its own.
        assert server.call(lambda: held(server)) < 1024 * 1024
        page.read_messages(raw, 4000)
        assert [number for number, _ in page.received] == list(range(4000))
        assert page.told == []
        say(server, "chat-slow", "live again")
        page.read_messages(raw, 4001)
        assert page.received[-1] == "live again"
        assert probe.so_far("closed") == []
    assert page.positions.rooms == {"chat-slow": 4001}


def test_a_plain_client_that_stops_reading_loses_nothing_either(server: Server, probe: Probe) -> None:
    raw = server.raw(receive_buffer=4096)
    raw.upgrade("/chat/plainslow")
    with raw:
        text = "." * 1000
        for start in range(0, 2000, 50):
            say(server, "chat-plainslow", *[[number, text] for number in range(start, start + 50)])
        numbers = [json.loads(raw.frame()[1])[0] for _ in range(2000)]
        assert numbers == list(range(2000))


def test_the_python_client_recovers_by_itself(server: Server, probe: Probe) -> None:
    app: Odac = server.app

    async def main() -> None:
        async with odac.connect(
            f"ws://127.0.0.1:{server.port}/chat/python", token=False, reconnect_delay=0.01
        ) as client:
            got: list[Any] = []
            told: list[Recover] = []
            client.on("message", got.append)
            client.on("recover", told.append)
            for turn in range(5):
                say(server, "chat-python", turn * 10)
                await _until(lambda turn=turn: len(got) == turn * 3 + 1)

                def cut() -> None:
                    for connection in list(app.route.ws_server.clients.values()):
                        connection.lane.abort()
                    app.route.ws_server.to_room("chat-python", turn * 10 + 1)  # noqa: B023
                    app.route.ws_server.to_room("chat-python", turn * 10 + 2)  # noqa: B023

                await asyncio.to_thread(server.call, cut)
                await _until(lambda turn=turn: len(got) == turn * 3 + 3)
                await _until(lambda turn=turn: len(told) == turn + 1)
            assert got == [turn * 10 + each for turn in range(5) for each in range(3)]
            assert all(each.recovered and each.room == "chat-python" for each in told)
            assert sum(each.count for each in told) <= 10

    asyncio.run(main())


async def _until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.005)
