from __future__ import annotations

import asyncio
import os
import socket
import struct
import zlib
from collections.abc import Iterator
from typing import Any, cast
from unittest.mock import patch

import pytest

from odac.config import Limits, RateLimit
from odac.lanes import direct
from odac.lanes.direct import DirectLane
from odac.realtime.connection import Connection
from odac.realtime.policy import Policy
from odac.wire.deflate import Negotiated, negotiate
from odac.wire.frames import BINARY, CLOSE, PING, PONG, TEXT, encode_masked_frame
from tests.rate_clock import rate_clock
from tests.unit.realtime.realtime_fakes import Frame, Room, close_code, parse_frames


class FakeTransport:
    """A transport over a socket pair, as strict as asyncio's, that writes on when it is told to."""

    def __init__(self, *, tls: bool = False) -> None:
        self.socket, self.far = socket.socketpair()
        self.socket.setblocking(False)
        self.far.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.tls = tls
        self.protocol: Any = None
        self.reading = True
        self.closing = False
        self.aborted = False
        self.eof = False
        self.held = bytearray()
        self._paused = False

    def set_protocol(self, protocol: object) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        assert (high, low) == (1 if self.tls else 0, 0)

    def get_write_buffer_size(self) -> int:
        return len(self.held)

    def get_extra_info(self, name: str) -> object:
        return {"socket": self.socket, "sslcontext": object() if self.tls else None}[name]

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes | memoryview) -> None:
        if self.eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        self.held += data
        self.flush(resume=False)
        if self.held and not self._paused:
            self._paused = True
            self.protocol.pause_writing()

    def flush(self, *, resume: bool = True) -> None:
        """Write on, as when the socket is ready."""
        try:
            while self.held:
                del self.held[: os.write(self.socket.fileno(), self.held)]
        except BlockingIOError:
            return
        if resume and self._paused:
            self._paused = False
            self.protocol.resume_writing()

    def can_write_eof(self) -> bool:
        return not self.tls

    def write_eof(self) -> None:
        self.eof = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True


class Site:
    """One connection on a direct lane."""

    def __init__(
        self,
        *,
        tls: bool = False,
        speaks_odac: bool = False,
        deflate: Negotiated | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        room: Room | None = None,
        **limits: Any,
    ) -> None:
        self.limits = Limits(**limits)
        self.room = room or Room(self.limits, loop)
        self.transport = FakeTransport(tls=tls)
        self.connections: set[Any] = set()
        self.lane = DirectLane(cast(Any, self.transport), self.limits, deflate, self.connections)
        self.connection = Connection(self.room.hub, self.lane, Policy("/test", self.limits), speaks_odac=speaks_odac)
        self.lane.attach(self.connection)
        self.room.hub.population += 1
        self.room.hub.add(self.connection)
        self.got = b""

    def arrives(self, *frames: Frame) -> None:
        self.lane.data_received(b"".join(encode_masked_frame(opcode, data, b"abcd") for opcode, data in frames))

    def read(self) -> list[Frame]:
        """What the peer has got so far; it reads all there is."""
        while True:
            try:
                data = self.transport.far.recv(1 << 20)
            except BlockingIOError:
                data = b""
            if not data and not self.transport.held:
                break
            self.got += data
            self.transport.flush()
        return parse_frames(self.got)

    def close(self) -> None:
        self.transport.socket.close()
        self.transport.far.close()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


def test_the_answers_to_one_chunk_leave_with_it(site: Site) -> None:
    site.connection.on("message", site.connection.send)
    site.arrives((TEXT, b"1"), (TEXT, b"2"), (BINARY, b"3"))
    assert site.read() == [(TEXT, b"1"), (TEXT, b"2"), (BINARY, b"3")]


def test_pings_are_answered_in_their_place(site: Site) -> None:
    site.connection.on("message", site.connection.send)
    site.arrives((TEXT, b"1"), (PING, b"x"), (TEXT, b"2"))
    assert site.read() == [(TEXT, b"1"), (PONG, b"x"), (TEXT, b"2")]


def test_a_peer_that_closes_is_answered_and_parted_from(site: Site) -> None:
    told: list[tuple[int, str]] = []
    site.connection.on("close", lambda code, reason: told.append((code, reason)))
    site.arrives((CLOSE, struct.pack("!H", 4001) + b"bye"), (TEXT, b"late"))
    assert site.read() == [(CLOSE, struct.pack("!H", 4001) + b"bye")]
    assert told == [(4001, "bye")]
    assert site.transport.closing
    site.lane.connection_lost(None)
    assert told == [(4001, "bye")]
    assert site.connections == set()
    assert site.room.hub.population == 0


def test_this_side_closes_and_waits_for_the_answer(site: Site) -> None:
    told: list[tuple[int, str]] = []
    site.connection.on("close", lambda code, reason: told.append((code, reason)))
    site.connection.close(4002, "enough")
    states = []
    for frame in ((TEXT, b"on its way"), (CLOSE, struct.pack("!H", 1000))):
        site.arrives(frame)
        states.append(site.transport.closing)
    assert states == [False, True]
    assert told == [(4002, "enough")]
    site.room.loop.advance(60)
    assert site.transport.aborted  # a peer that reads nothing more does not keep the socket


def test_who_does_not_answer_the_close_is_cut_off(site: Site) -> None:
    site.connection.close()
    site.room.loop.advance(9.9)
    assert not site.transport.aborted
    site.room.loop.advance(0.2)
    assert site.transport.aborted


def test_a_transport_that_is_lost_is_1006_or_what_was_said_before(site: Site) -> None:
    told: list[int] = []
    site.connection.on("close", lambda code: told.append(code))
    site.lane.connection_lost(ConnectionResetError())
    other = Site()
    other.connection.on("close", lambda code: told.append(code))
    other.connection.close(4003)
    other.lane.connection_lost(None)
    other.close()
    assert told == [1006, 4003]


def test_a_malformed_close_frame_ends_the_connection_at_once(site: Site) -> None:
    site.arrives((CLOSE, b"x"))
    assert [close_code(frame) for frame in site.read()] == [1002]
    assert site.transport.closing


def test_a_broken_frame_ends_with_a_close_frame_and_the_end_of_the_stream(site: Site) -> None:
    site.lane.data_received(b"\x83\x80abcd")
    assert [close_code(frame) for frame in site.read()] == [1002]
    assert site.transport.eof
    assert not site.transport.closing  # the peer has the close timeout to answer


def test_a_broken_frame_of_a_peer_that_does_not_read_leaves_the_close_frame_last(site: Site) -> None:
    for _ in range(20):
        site.connection.send("x" * 5000)
        site.room.loop.run()
    assert site.connection.outbox.backlog is not None
    site.lane.data_received(b"\x83\x80abcd")
    frames = site.read()
    assert close_code(frames[-1]) == 1002
    assert len(frames) < 20
    assert site.transport.eof


def test_a_close_of_a_peer_that_does_not_read_is_not_held_up(site: Site) -> None:
    for _ in range(20):
        site.connection.send("x" * 5000)
        site.room.loop.run()
    site.arrives((CLOSE, struct.pack("!H", 1000)))
    assert site.transport.closing
    assert close_code(site.read()[-1]) == 1000


def test_what_the_kernel_does_not_take_follows_in_order(site: Site) -> None:
    sent = [b"%d" % number + b"." * 3000 for number in range(40)]
    for index, data in enumerate(sent):
        site.connection.send_binary(data)
        if index % 3 == 0:
            site.room.loop.run()
    site.room.loop.run()
    assert site.connection.outbox.backlog is not None
    site.connection.close()
    frames = site.read()
    assert [data for _, data in frames[:-1]] == sent
    assert close_code(frames[-1]) == 1000


def test_over_tls_nothing_passes_the_transport() -> None:
    site = Site(tls=True)
    try:
        assert site.lane.fd == -1
        with patch.object(direct, "write", side_effect=AssertionError("past the transport")):
            site.connection.join("r")
            site.connection.send("direct")
            site.room.to("r").send("room")
            site.room.loop.run()
        assert site.read() == [(TEXT, b"direct"), (TEXT, b"room")]
    finally:
        site.close()


def test_on_windows_nothing_passes_the_transport() -> None:
    with patch.object(direct, "_DESCRIPTORS", False):
        site = Site()
    assert (site.lane.fd, site.connection.fd) == (-1, -1)
    site.connection.on("message", site.connection.send)
    try:
        with patch.object(direct, "write", side_effect=AssertionError("past the transport")):
            site.arrives((TEXT, b"1"))
        assert site.lane.fd == -1
        assert site.read() == [(TEXT, b"1")]
    finally:
        site.close()


def test_a_full_window_and_a_new_one() -> None:
    site = Site(rate_limit=RateLimit(3, 10.0))
    now = 1000.0
    try:
        with rate_clock(lambda: now):
            site.connection.on("message", site.connection.send)
            site.arrives(*[(TEXT, b"1")] * 3)
            now += 10
            site.arrives(*[(TEXT, b"2")] * 3)
            now += 9.9
            assert site.connection.is_open
            site.arrives((PONG, b""), (TEXT, b"too much"))
        frames = site.read()
        assert [data for _, data in frames[:-1]] == [b"1"] * 3 + [b"2"] * 3
        assert close_code(frames[-1]) == 1008
    finally:
        site.close()


def test_a_close_frame_behind_too_many_messages_ends_the_handshake() -> None:
    site = Site(rate_limit=RateLimit(3, 10.0))
    try:
        site.arrives(*[(TEXT, b"x")] * 5, (CLOSE, struct.pack("!H", 1000)))
        assert close_code(site.read()[-1]) == 1008
        assert site.transport.closing
    finally:
        site.close()


def test_nothing_is_written_behind_an_abort(site: Site) -> None:
    site.connection.join("r")
    site.lane.abort()
    site.connection.send("direct")
    site.room.to("r").send("room")
    site.room.loop.run()
    assert site.read() == []


def test_reading_stops_for_a_slow_handler_and_goes_on_for_the_close(site: Site) -> None:
    site.arrives(*[(TEXT, b"x")] * 16)
    states = [site.transport.reading]
    site.connection.close()
    states.append(site.transport.reading)
    assert states == [False, True]


def bombs(count: int) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    data = (compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return encode_masked_frame(BINARY, data, b"abcd", rsv1=True) * count


@pytest.fixture
def deflating() -> Iterator[Site]:
    made = Site(deflate=negotiate(["permessage-deflate"]))
    yield made
    made.close()


def test_what_one_read_inflates_to_is_taken_turn_by_turn(deflating: Site) -> None:
    site, sizes = deflating, []
    site.connection.on("message", lambda data: sizes.append(len(data)))
    site.lane.data_received(bombs(20))
    seen = [(len(sizes), site.transport.reading)]
    for _ in range(2):
        site.room.loop.turn()
        seen.append((len(sizes), site.transport.reading))
    site.room.loop.run()
    assert seen == [(1, False), (2, False), (3, False)]
    assert (sizes, site.transport.reading) == ([1 << 20] * 20, True)


def test_nothing_more_is_inflated_for_a_slow_handler_but_the_close_comes_through(deflating: Site) -> None:
    site = deflating
    site.lane.data_received(bombs(20) + encode_masked_frame(CLOSE, b"\x03\xe8", b"abcd"))
    site.room.loop.run()
    held = len(site.connection.inbox._queue or ())
    assert held <= 2
    assert not site.transport.reading
    sizes: list[int] = []
    site.connection.on("message", lambda data: sizes.append(len(data)))
    site.room.loop.run()
    assert sizes == [1 << 20] * 20
    assert [close_code(frame) for frame in site.read()] == [1000]


def test_what_waits_of_a_read_is_looked_through_for_the_close_when_this_side_closes(deflating: Site) -> None:
    site = deflating
    site.lane.data_received(bombs(20) + encode_masked_frame(CLOSE, b"\x03\xe8", b"abcd"))
    site.room.loop.run()
    site.connection.close()
    site.room.loop.run()
    assert site.transport.closing
    assert not site.transport.aborted


def congested(site: Site) -> None:
    """Something waits behind what the socket takes."""
    for _ in range(3):
        site.connection.send(b"x" * 300_000)
        site.room.loop.run()
    assert site.connection.outbox.backlog is not None
    assert not site.connection.outbox.backlog.is_empty


BROKEN = b"\x83\x80abcd"
CLOSED = encode_masked_frame(CLOSE, struct.pack("!H", 3000), b"abcd")
CLOSED_BADLY = encode_masked_frame(CLOSE, struct.pack("!H", 1005), b"abcd")


@pytest.mark.parametrize(
    ("first", "comes", "code"),
    [
        (False, BROKEN, 1002),
        (False, CLOSED, 3000),
        (False, CLOSED_BADLY, 1002),
        (True, BROKEN, 4000),
        (True, CLOSED, 4000),
        (True, CLOSED_BADLY, 4000),
    ],
    ids=[
        "broken",
        "closed",
        "closed-badly",
        "broken-while-closing",
        "closed-while-closing",
        "closed-badly-while-closing",
    ],
)
def test_the_close_frame_is_sent_though_what_is_in_front_of_it_waits(
    site: Site, first: bool, comes: bytes, code: int
) -> None:
    site.connection.join("room")
    congested(site)
    if first:
        site.connection.close(4000)
    else:
        site.room.to("room").send("in the same turn")
    site.lane.data_received(comes)
    frames = site.read()
    assert [opcode for opcode, _ in frames] == [BINARY, CLOSE]
    assert close_code(frames[-1]) == code


def test_the_server_stops(site: Site) -> None:
    assert site.connections == {site.lane}
    site.lane.shutdown()
    assert [close_code(frame) for frame in site.read()] == [1001]


def test_a_silent_peer_gets_a_reason_if_nothing_is_queued_before_it(site: Site) -> None:
    closed: list[int] = []
    site.connection.on("close", closed.append)
    site.lane.cut(1011, "no answer")
    assert site.read() == [(CLOSE, b"\x03\xf3no answer")]
    assert site.transport.closing
    assert not site.transport.aborted
    site.room.loop.run()
    assert closed == [1006]
    site.lane.connection_lost(None)
    site.room.loop.run()
    assert closed == [1006]


def test_a_silent_peer_that_takes_nothing_is_cut_off_at_once(site: Site) -> None:
    site.transport.held += b"half of a frame"
    site.lane.cut(1011, "no answer")
    assert site.transport.aborted


def test_a_silent_peer_over_tls_holds_the_socket_no_longer_than_a_close_takes() -> None:
    site = Site(tls=True, close_timeout=5)
    site.lane.cut(1011, "no answer")
    aborted = [site.transport.aborted]
    site.room.loop.advance(5)
    assert [*aborted, site.transport.aborted] == [False, True]
    site.close()


@pytest.mark.parametrize("compressed", [False, True])
def test_the_bytes_of_a_turn_are_shared_by_all_connections(compressed: bool) -> None:
    """Ten connections get a large message in the same turn: it is taken in several, and a small one need not wait."""
    offers = negotiate(["permessage-deflate"]) if compressed else None
    room = Room()
    sites = [Site(deflate=offers, room=room) for _ in range(10)]
    small = Site(room=room)
    seen: list[int] = []
    turns = 0
    text = b"x" * 100_000
    for site in sites:
        site.connection.on("message", lambda: seen.append(turns))
    small.connection.on("message", lambda: seen.append(-1))
    if compressed:
        squeezer = zlib.compressobj(wbits=-12)
        payload = (squeezer.compress(text) + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]
        frame = bytearray(encode_masked_frame(TEXT, payload, b"abcd"))
        frame[0] |= 0x40
    else:
        frame = bytearray(encode_masked_frame(TEXT, text, b"abcd"))
    for site in sites:
        site.lane.data_received(bytes(frame))
    small.arrives((TEXT, b"1"))
    assert seen == [0, 0, 0, -1]
    for site in sites:
        assert site.transport.reading is (site in sites[:3])
    while len(seen) < 11:
        turns += 1
        room.loop.turn()
    assert seen == [0, 0, 0, -1, 1, 1, 1, 2, 2, 2, 3]
    for site in (*sites, small):
        assert site.transport.reading
        site.close()


# The parser that connections share between their messages


@pytest.fixture
def sites() -> Iterator[list[Site]]:
    room = Room()
    made = [Site(room=room), Site(room=room), Site(room=room)]
    yield made
    for each in made:
        each.close()


def test_parts_of_messages_of_several_connections_do_not_mix(sites: list[Site]) -> None:
    heard: list[list[Any]] = [[] for _ in sites]
    for site, got in zip(sites, heard, strict=True):
        site.connection.on("message", got.append)
    whole = encode_masked_frame(TEXT, b'"whole"', b"abcd")
    parts = [
        encode_masked_frame(TEXT, f'"{number} '.encode(), b"abcd", fin=False)
        + encode_masked_frame(0, b'ends"', b"abcd")
        for number in range(len(sites))
    ]
    for at in range(len(parts[0])):
        for site, data in zip(sites, parts, strict=True):
            site.lane.data_received(data[at : at + 1])
    for site in sites:
        site.lane.data_received(whole)
    assert heard == [["0 ends", "whole"], ["1 ends", "whole"], ["2 ends", "whole"]]


def test_connections_share_a_parser_until_one_is_within_a_message(sites: list[Site]) -> None:
    first, second, third = (each.lane for each in sites)
    shared = first._parser
    assert second._parser is third._parser is shared
    sites[0].arrives((TEXT, b"1"), (PING, b""), (TEXT, "é".encode()))
    assert first._parser is shared
    first.data_received(encode_masked_frame(TEXT, b"1", b"abcd")[:3])
    second.limit_messages(32)
    assert first._parser is not shared
    assert second._parser is not shared
    assert third._parser is shared
