"""What one whole message for one listener does: the compiled method and its reference do the same."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.config import Limits, RateLimit
from odac.lanes.direct import DirectLane
from odac.realtime.outbox import Outbox
from odac.realtime.phase import Phase
from odac.realtime.policy import Policy
from odac.realtime.turn_budget import TurnBudget
from odac.speedups import COMPILED
from odac.wire.frames import BINARY, CLOSE, PING, TEXT, encode_masked_frame
from tests.unit.lanes.test_direct import Site
from tests.unit.realtime.realtime_fakes import close_code, run

compiled_data_received = DirectLane.data_received
reference_data_received = DirectLane.reference_data_received


@pytest.fixture(params=["reference", "compiled"])
def receive(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes take what comes in by this method."""
    if request.param == "reference":
        monkeypatch.setattr(DirectLane, "data_received", reference_data_received)
        monkeypatch.setattr(Outbox, "put", Outbox.reference_put)
    elif not COMPILED:
        pytest.skip("not compiled here: no C compiler, or ODAC_SPEEDUPS=0")


@pytest.fixture
def make(receive: None) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**options: Any) -> Site:
        made.append(Site(**options))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.fixture
def site(make: Callable[..., Site]) -> Site:
    return make()


def test_an_answer_leaves_at_once(site: Site) -> None:
    site.connection.on("message", site.connection.send)
    site.arrives((TEXT, b'{"a": [1, null]}'))
    assert site.read() == [(TEXT, b'{"a":[1,null]}')]
    assert site.connection.due is None
    assert site.connection.delivery.corked is None
    assert site.connection.fd == site.lane.fd >= 0


@pytest.mark.parametrize(
    ("payload", "value"),
    [(b"", ""), (b"1", 1), (b'"x"', "x"), (b"[]", []), (b"{", "{"), (b"true", True), (b"x", "x"), ("é".encode(), "é")],
)
def test_what_the_listener_gets(site: Site, payload: bytes, value: object) -> None:
    got: list[object] = []
    site.connection.on("message", got.append)
    site.arrives((TEXT, payload))
    assert got == [value]


@pytest.mark.parametrize("v1", [False, True])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 4_095, 4_096, 65_535])
def test_a_binary_message_is_handed_on_as_it_is(make: Callable[..., Site], v1: bool, size: int) -> None:
    site = make(speaks_odac=v1)
    payload = (b'\x1e["ping"]\xff\x00{' * 6_000)[:size]
    got: list[object] = []

    def listen(data: object) -> None:
        got.append(data)
        site.connection.send(data)

    site.connection.on("message", listen)
    site.arrives((BINARY, payload))
    assert got == [payload]
    assert type(got[0]) is bytes
    assert site.read() == [(BINARY, payload)]


def test_a_binary_message_to_a_route_that_takes_text_is_invalid(site: Site) -> None:
    site.connection.policy = replace(site.connection.policy, takes_binary=False)
    got: list[object] = []
    site.connection.on("message", got.append)
    site.arrives((BINARY, b"1"))
    assert got == []
    assert close_code(site.read()[-1]) == 1007


@pytest.mark.skipif(not COMPILED, reason="not compiled here: no C compiler, or ODAC_SPEEDUPS=0")
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_the_compiled_method_calls_the_listener_itself(opcode: int) -> None:
    site = Site(rate_limit=None)  # a connection's first message starts its meter, and is the reference's
    callers: list[str] = []
    site.connection.on("message", lambda data: callers.append(sys._getframe(1).f_code.co_name))
    site.arrives((opcode, b"1"))
    site.close()
    assert callers == ["arrives"]


def test_what_a_listener_raises_goes_to_the_error_listeners(site: Site) -> None:
    failures: list[Exception] = []

    def fail(data: object) -> None:
        site.connection.send("before")
        raise ValueError(data)

    site.connection.on("message", fail)
    site.connection.on("error", failures.append)
    site.arrives((TEXT, b"1"))
    assert [(type(each), each.args) for each in failures] == [(ValueError, (1,))]
    trace = failures[0].__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    assert trace is not None
    assert trace.tb_frame.f_code.co_name == "fail"
    assert site.read() == [(TEXT, b"before")]
    assert site.connection.is_open


@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError])
def test_with_no_error_listener_the_connection_is_closed_with_1011(site: Site, kind: type[BaseException]) -> None:
    def fail(data: object) -> None:
        raise kind

    site.connection.on("message", fail)
    site.arrives((TEXT, b"1"))
    assert close_code(site.read()[-1]) == 1011


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_would_end_the_loop_ends_the_connection_and_what_was_sent_before_goes_out(
    site: Site, kind: type[BaseException]
) -> None:
    def leave(data: object) -> None:
        site.connection.send("before")
        raise kind

    site.connection.on("message", leave)
    site.arrives((TEXT, b"1"))
    frames = site.read()
    assert frames[0] == (TEXT, b"before")
    assert close_code(frames[-1]) == 1011
    assert site.connection.delivery.corked is None


def test_an_asynchronous_listener_is_followed(make: Callable[..., Site]) -> None:
    async def main() -> None:
        site = make(loop=asyncio.get_running_loop())
        got: list[object] = []

        async def listener(data: object) -> None:
            await asyncio.sleep(0)
            got.append(data)

        site.connection.on("message", listener)
        site.arrives((TEXT, b"1"))
        site.arrives((TEXT, b"2"))
        while len(got) < 2:
            await asyncio.sleep(0)
        assert got == [1, 2]

    run(main())


def test_what_the_socket_does_not_take_waits_in_the_transport(site: Site) -> None:
    large = "x" * 60_000

    def answer(data: object) -> None:
        site.connection.send(large)

    site.connection.on("message", answer)
    for _ in range(8):
        site.arrives((TEXT, b"1"))
    assert site.transport.held or site.connection.outbox.backlog is not None
    assert site.read() == [(TEXT, large.encode())] * 8


def test_the_window_of_the_rate_limit(make: Callable[..., Site]) -> None:
    site = make(rate_limit=RateLimit(3, 60))
    got: list[object] = []
    site.connection.on("message", got.append)
    for _ in range(4):
        site.arrives((TEXT, b"1"))
    assert got == [1, 1, 1]
    assert close_code(site.read()[-1]) == 1008


def test_the_rate_limit_in_bytes(make: Callable[..., Site]) -> None:
    site = make(rate_limit=RateLimit(100, 60, bytes=40), max_payload=40)
    got: list[object] = []
    site.connection.on("message", got.append)
    for size in (20, 18, 2, 1):
        site.arrives((TEXT, b"x" * size))
    assert got == ["x" * 20, "x" * 18, "xx"]
    assert close_code(site.read()[-1]) == 1008


def test_a_listener_that_closes(site: Site) -> None:
    def leave(data: object) -> None:
        site.connection.send("bye")
        site.connection.close(4000)
        site.connection.send("too late")

    site.connection.on("message", leave)
    site.arrives((TEXT, b"1"))
    site.arrives((TEXT, b"2"))
    frames = site.read()
    assert frames[0] == (TEXT, b"bye")
    assert close_code(frames[-1]) == 4000
    assert len(frames) == 2


@pytest.mark.parametrize("v1", [False, True])
def test_control_messages_are_no_messages(make: Callable[..., Site], v1: bool) -> None:
    site = make(speaks_odac=v1)
    got: list[object] = []
    site.connection.on("message", got.append)
    site.arrives((TEXT, b'\x1e["ping"]'))
    site.arrives((TEXT, b"\x1e\x1ex"))
    assert got == (["\x1ex"] if v1 else ['\x1e["ping"]', "\x1e\x1ex"])


def test_room_messages_of_the_same_turn_stand_in_front(site: Site) -> None:
    site.connection.join("a")

    def answer(data: object) -> None:
        site.connection.to("a").send("to the room")
        site.connection.send("to me")

    site.connection.on("message", answer)
    site.arrives((TEXT, b"1"))
    site.room.hub.delivery.flush()
    assert site.read() == [(TEXT, b"to the room"), (TEXT, b"to me")]


def test_a_listener_that_is_replaced_while_it_runs(site: Site) -> None:
    got: list[object] = []

    def first(data: object) -> None:
        site.connection.off("message")
        site.connection.on("message", got.append)

    site.connection.on("message", first)
    site.arrives((TEXT, b"1"))
    site.arrives((TEXT, b"2"))
    assert got == [2]


CHUNKS = st.lists(
    st.tuples(
        st.sampled_from([TEXT] * 5 + [BINARY, PING, CLOSE]),
        st.sampled_from([b"", b"1", b'{"a":1}', b"[", b"null", b"text", "é".encode(), b"\xff", b"\x1e[]", b"x" * 200]),
    ),
    max_size=6,
)


@pytest.mark.skipif(not COMPILED, reason="not compiled here: no C compiler, or ODAC_SPEEDUPS=0")
@given(CHUNKS, st.booleans(), st.booleans(), st.sampled_from(["echo", "fail", "two", "none", "to the room", "leave"]))
def test_whatever_comes_both_do_the_same(
    chunks: list[tuple[int, bytes]], together: bool, v1: bool, listener: str
) -> None:
    def outcome(method: Callable[[DirectLane, bytes], None]) -> object:
        site = Site(speaks_odac=v1, rate_limit=RateLimit(4, 60))
        seen: list[object] = []
        connection = site.connection
        connection.join("a")

        def listen(data: object) -> object:
            seen.append(data)
            if listener == "fail":
                raise ValueError(data)
            if listener == "leave":
                connection.close(4001, "enough")
            if listener == "to the room":
                connection.to("a").send(data)
                return None
            return connection.send(data)

        if listener != "none":
            connection.on("message", listen)
        if listener == "two":
            connection.on("message", seen.append)
        connection.on("close", lambda code, reason: seen.append((code, reason)))
        try:
            frames = [encode_masked_frame(opcode, payload[:125], b"mask") for opcode, payload in chunks]
            for data in [b"".join(frames)] if together else frames:
                method(site.lane, data)
            site.room.hub.delivery.flush()
            corked, pending = connection.delivery.corked, connection.outbox.pending
            state = connection.phase, corked, connection.fd >= 0, connection.due, pending
            meter = site.lane._meter
            return seen, site.read(), state, meter and meter.entries, site.transport.closing
        finally:
            site.close()

    compiled: Any = compiled_data_received
    with patch.object(Outbox, "put", Outbox.reference_put):
        expected = outcome(reference_data_received)
    assert outcome(compiled) == expected


WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


def test_a_connection_gets_a_context_of_its_own_when_something_is_set_in_it(make: Callable[..., Site]) -> None:
    setting, other = make(), make()
    seen: list[str] = []

    def listen(data: object) -> None:
        seen.append(WHO.get())
        if data == 1:
            WHO.set("somebody")

    for site in (setting, other):
        site.connection.on("message", listen)
    for site, payload in ((setting, b"0"), (setting, b"1"), (other, b"0"), (setting, b"0")):
        site.arrives((TEXT, payload))
    assert seen == ["nobody", "nobody", "nobody", "somebody"]
    assert other.connection.context is None
    assert dict(setting.connection.context or {}) == {WHO: "somebody"}
    assert WHO.get() == "nobody"


def test_bytes_that_come_within_a_callback_of_the_connection_are_handled_in_its_context(site: Site) -> None:
    """No event loop does that; a transport of a test may."""
    seen: list[str] = []

    def listen(data: object) -> None:
        if data == 1:
            WHO.set("somebody")
            site.arrives((TEXT, b"2"))
        seen.append(WHO.get())

    site.connection.on("message", listen)
    site.arrives((TEXT, b"1"))
    assert seen == ["somebody", "somebody"]


@pytest.mark.skipif(not COMPILED, reason="not compiled here: no C compiler, or ODAC_SPEEDUPS=0")
def test_nothing_is_kept_of_messages_that_have_gone() -> None:
    site = Site(rate_limit=RateLimit(1 << 40, 1000))
    site.transport.socket.close()
    null = os.open(os.devnull, os.O_WRONLY)
    site.lane.fd = site.connection.fd = null
    listeners: list[Callable[[object], object]] = [site.connection.send, lambda data: None, lambda data: [][1]]
    chunks = [encode_masked_frame(TEXT, each, b"mask") for each in (b'{"a":[1,"x"]}', b"[", b"text", "é".encode())]
    chunks.append(encode_masked_frame(BINARY, b"bytes", b"mask"))
    site.connection.on("error", lambda: None)
    try:
        for listener in listeners:
            site.connection.off("message")
            site.connection.on("message", listener)

            def many() -> int:
                for _ in range(2000):
                    for chunk in chunks:
                        site.lane.data_received(chunk)
                gc.collect()
                return sys.getallocatedblocks()

            many()
            before = many()
            assert many() - before < 100  # of 10,000 messages
    finally:
        os.close(null)
        site.transport.far.close()


@pytest.mark.skipif(not COMPILED, reason="not compiled here: no C compiler, or ODAC_SPEEDUPS=0")
def test_other_classes_are_not_looked_into() -> None:
    class Other:
        alive = False
        phase = Phase.OPEN
        policy = Policy("/", Limits(rate_limit=RateLimit(1)))

        def __init__(self) -> None:
            self.inbox = self.outbox = self.delivery = self
            self.turn = TurnBudget(asyncio.new_event_loop())
            self.turn._loop.close()

        def cork(self) -> None: ...
        def uncork(self) -> None: ...

        def receive_text(self, payload: bytes) -> None:
            got.append(payload)

    got: list[bytes] = []
    site = Site()
    site.lane._connection = Other()  # type: ignore[assignment]
    site.lane.data_received(encode_masked_frame(TEXT, b"1", b"mask"))
    assert got == [b"1"]
    with pytest.raises(TypeError):
        compiled_data_received(Other(), b"1")  # type: ignore[arg-type]
    site.close()
