"""Random programs against a naive model: every connection is sent exactly what the program says, in its order."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from odac.close_codes import CloseCode
from odac.config import Limits, Overflow
from odac.protocol.codec import encode
from odac.realtime import delivery, outbox
from odac.realtime.audience import Audience
from odac.realtime.backlog import cost
from odac.realtime.targets import Target
from odac.wire.frames import BINARY, CLOSE, TEXT
from tests.unit.realtime.realtime_fakes import Frame, Room, close_code, lane_of

EXAMPLES = int(os.environ.get("ODAC_EXAMPLES", "150"))
PEOPLE = 4
ROOMS = "abc"
SIZES = {"small": 0, "medium": 60, "big": 130}

person = st.integers(0, PEOPLE - 1)
room = st.sampled_from(ROOMS)
rooms = st.lists(room, min_size=1, max_size=2, unique=True)
people = st.frozensets(person, max_size=2)
body = st.sampled_from(["small", "small", "medium", "big", "binary", "separator"])

# One step of a program: its name and its arguments.
Step = tuple[Any, ...]

sending: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("send"), person, body),
    st.tuples(st.just("to"), rooms, st.just(()), st.just(frozenset()), body),
    st.tuples(st.just("to"), rooms, st.lists(room, max_size=2), people, body),
    st.tuples(st.just("broadcast"), people, body),
)
moving = st.one_of(
    st.tuples(st.just("join"), person, room),
    st.tuples(st.just("leave"), person, room),
)
rare = st.one_of(
    st.tuples(st.just("admit"), person),
    st.tuples(st.just("close"), person),
    st.tuples(st.just("lose"), person),
)
flowing = st.one_of(
    st.tuples(st.just("stall"), person, st.sampled_from([0, 1, 7, 40, 300])),
    st.tuples(st.just("grant"), person, st.sampled_from([1, 20, 150, None])),
)
action = st.one_of(sending, sending, moving, flowing, rare)
chunk = st.tuples(st.just("chunk"), person, st.lists(action, max_size=6))
step = st.one_of(action, action, chunk, st.just(("tick",)))
programs = st.lists(step, max_size=40)
setups = st.lists(
    st.fixed_dictionaries(
        {
            "speaks_odac": st.booleans(),
            "bare": st.sampled_from([True, True, False]),
            "admitted": st.sampled_from([True, True, True, False]),
        }
    ),
    min_size=PEOPLE,
    max_size=PEOPLE,
)
homes = st.lists(st.sets(room), min_size=PEOPLE, max_size=PEOPLE)


@dataclass
class Expected:
    """What the model knows of one connection."""

    speaks_odac: bool
    admitted: bool
    rooms: set[str] = field(default_factory=set)
    is_open: bool = True
    lost: bool = False
    stalled: bool = False
    frames: list[Frame] = field(default_factory=list)
    direct: list[Frame] = field(default_factory=list)

    def is_sent(self, opcode: int, payload: bytes, *, direct: bool) -> None:
        if self.is_open:
            escaped = self.speaks_odac and opcode == TEXT and payload[:1] == b"\x1e"
            frame = (opcode, b"\x1e" + payload if escaped else payload)
            self.frames.append(frame)
            if direct:
                self.direct.append(frame)


class Run:
    """A program under way, in the core and in the model."""

    def __init__(
        self,
        setup: Sequence[dict[str, bool]],
        home: Sequence[set[str]],
        *,
        outgoing_buffer: int = 10**9,
        overflow: Overflow = "close",
    ) -> None:
        self.room = Room(Limits(outgoing_buffer=outgoing_buffer))
        self.connections = [self.room.connect(**each, overflow=overflow) for each in setup]
        self.lanes = [lane_of(connection) for connection in self.connections]
        self.model = [Expected(each["speaks_odac"], each["admitted"]) for each in setup]
        self.corked: int | None = None
        self._numbers = itertools.count()
        for index, names in enumerate(home):
            for name in sorted(names):
                self.join(index, name)

    def data(self, body: str) -> tuple[object, int, bytes]:
        """Something to send, and the frame's opcode and payload that it makes."""
        number = next(self._numbers)
        if body == "binary":
            raw = b"%d" % number
            return raw, BINARY, raw
        text = f"\x1e{number}" if body == "separator" else str(number) + "." * SIZES[body]
        return text, TEXT, text.encode()

    def play(self, steps: Sequence[Step]) -> None:
        for name, *arguments in steps:
            getattr(self, name)(*arguments)

    # Steps

    def tick(self) -> None:
        self.room.loop.run()
        self.check()

    def chunk(self, index: int, steps: Sequence[Step]) -> None:
        connection = self.connections[index]
        if self.model[index].lost:
            return
        connection.outbox.cork()
        self.corked = index
        self.play(steps)
        self.corked = None
        connection.outbox.uncork()

    def send(self, index: int, body: str) -> None:
        data, opcode, payload = self.data(body)
        self.connections[index].send(data)
        self.model[index].is_sent(opcode, payload, direct=True)

    def to(self, names: Sequence[str], within: Sequence[str], excluded: frozenset[int], body: str) -> None:
        data, opcode, payload = self.data(body)
        Target(self.room.hub, Audience.of(*names)).within(*within).excluding(
            *(self.connections[index] for index in excluded)
        ).send(data)
        for index, each in enumerate(self.model):
            if index not in excluded and each.rooms & set(names) and each.rooms >= set(within):
                each.is_sent(opcode, payload, direct=False)

    def broadcast(self, excluded: frozenset[int], body: str) -> None:
        data, opcode, payload = self.data(body)
        ids = frozenset(self.connections[index].id for index in excluded)
        self.room.hub.send(Audience(excluded=ids), encode(data))
        for index, each in enumerate(self.model):
            if index not in excluded and each.admitted:
                each.is_sent(opcode, payload, direct=False)

    def join(self, index: int, name: str) -> None:
        self.connections[index].join(name)
        if self.model[index].is_open:
            self.model[index].rooms.add(name)

    def leave(self, index: int, name: str) -> None:
        self.connections[index].leave(name)
        self.model[index].rooms.discard(name)

    def admit(self, index: int) -> None:
        each = self.model[index]
        if not each.admitted and each.is_open:
            self.room.hub.add(self.connections[index])
            each.admitted = True

    def close(self, index: int) -> None:
        self.connections[index].close(4000 + index)
        each = self.model[index]
        if each.is_open:
            each.frames.append((CLOSE, (4000 + index).to_bytes(2, "big")))
            each.is_open = False

    def lose(self, index: int) -> None:
        each = self.model[index]
        if not each.lost and self.corked != index:
            self.lanes[index].lose()
            each.lost = True
            each.is_open = False

    def stall(self, index: int, room: int) -> None:
        self.lanes[index].room = room
        self.model[index].stalled = True

    def grant(self, index: int, room: int | None) -> None:
        if not self.model[index].stalled:
            return
        self.lanes[index].grant(room)
        if room is None:
            self.model[index].stalled = False

    # Judgement

    def check(self) -> None:
        """A tick is over: everything due is written, and every promise about the next tick is renewed."""
        for connection, lane, each in zip(self.connections, self.lanes, self.model, strict=True):
            assert connection.outbox.taken == 0
            assert not connection.outbox.is_apart
            assert connection.outbox.pending is None
            if not each.lost and not each.stalled:
                assert lane.frames == each.frames
                assert connection.fd in ((lane.fd, -1) if each.is_open else (-1,))
        assert self.room.hub.delivery.entries == []

    def finish(self) -> None:
        """Everybody reads on."""
        self.tick()
        for index in range(PEOPLE):
            self.grant(index, None)
        self.tick()


def small_batches() -> Any:
    """Bounds that a program of a few steps passes."""
    return patch.multiple(delivery, ENTRIES_BYTES=200, MOST_ENTRIES=5)


@given(setups, homes, programs)
@settings(max_examples=EXAMPLES, deadline=None)
def test_every_member_is_sent_what_the_program_sends(
    setup: list[dict[str, bool]], home: list[set[str]], program: list[Step]
) -> None:
    run = Run(setup, home)
    with run.room.kernel.in_place():
        run.play(program)
        run.finish()
    for lane, each in zip(run.lanes, run.model, strict=True):
        got = lane.frames
        assert got == (each.frames[: len(got)] if each.lost else each.frames)


@given(setups, homes, programs)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_full_log_and_a_full_outbox_keep_the_order(
    setup: list[dict[str, bool]], home: list[set[str]], program: list[Step]
) -> None:
    run = Run(setup, home)
    with run.room.kernel.in_place(), small_batches(), patch.object(outbox, "FLUSH_BYTES", 100):
        run.play(program)
        run.finish()
    for lane, each in zip(run.lanes, run.model, strict=True):
        got = lane.frames
        assert got == (each.frames[: len(got)] if each.lost else each.frames)


def is_subsequence(part: Sequence[Frame], whole: Sequence[Frame]) -> bool:
    rest = iter(whole)
    return all(frame in rest for frame in part)


@given(setups, homes, programs, st.integers(1, 2000))
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_slow_reader_is_closed_behind_a_prefix_and_no_other_is_affected(
    setup: list[dict[str, bool]], home: list[set[str]], program: list[Step], outgoing_buffer: int
) -> None:
    run = SlowReaders(setup, home, outgoing_buffer=outgoing_buffer)
    with run.room.kernel.in_place(), small_batches():
        run.play(program)
        run.finish()
    assert run.room.hub.delivery.overflows == len(run.overflowed)
    for index, (lane, each) in enumerate(zip(run.lanes, run.model, strict=True)):
        got = lane.frames
        if index in run.overflowed and not each.lost:
            assert close_code(got[-1]) == 1013
            assert got[:-1] == each.frames[: len(got) - 1]
        else:
            assert got == (each.frames[: len(got)] if each.lost else each.frames)


# Closing writes what was sent before, which may be what ends the connection first.
@example(
    setup=[{"speaks_odac": False, "bare": True, "admitted": True}] * 4,
    home=[set(), set(), set(), {"a"}],
    program=[
        ("broadcast", frozenset(), "small"),
        *[("to", ["a"], (), frozenset(), "small")] * 3,
        ("stall", 0, 0),
        ("to", ["a"], (), frozenset(), "small"),
        ("send", 0, "small"),
        ("close", 0),
    ],
    outgoing_buffer=1,
)
@given(setups, homes, programs, st.integers(1, 2000))
@settings(max_examples=EXAMPLES, deadline=None)
def test_with_drop_oldest_a_slow_reader_misses_room_messages_only(
    setup: list[dict[str, bool]], home: list[set[str]], program: list[Step], outgoing_buffer: int
) -> None:
    run = SlowReaders(setup, home, outgoing_buffer=outgoing_buffer, overflow="drop_oldest")
    with run.room.kernel.in_place(), small_batches():
        run.play(program)
        run.finish()
    missing = 0
    for index, (lane, each) in enumerate(zip(run.lanes, run.model, strict=True)):
        got = lane.frames
        if each.lost:
            assert is_subsequence(got, each.frames)
        elif index in run.overflowed:
            assert each.direct, "closed for room messages, which could have been dropped"
            assert close_code(got[-1]) == 1013
            assert is_subsequence(got[:-1], each.frames)
        else:
            assert is_subsequence(got, each.frames)
            assert is_subsequence([*each.direct, *each.frames[-1:]] if not each.is_open else each.direct, got)
            missing += len(each.frames) - len(got)
    if not run.overflowed and not any(each.lost for each in run.model):
        assert run.room.hub.delivery.dropped_messages == missing


class SlowReaders(Run):
    """The outgoing buffer is small: who is over it is closed, which the model takes from the core."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.overflowed: set[int] = set()
        super().__init__(*arguments, **options)

    def play(self, steps: Sequence[Step]) -> None:
        for each in steps:
            super().play([each])
            self.notice()

    def close(self, index: int) -> None:
        each = self.model[index]
        was_open = each.is_open
        super().close(index)
        ending = self.lanes[index].ending
        if was_open and ending is not None and ending[0] == CloseCode.TRY_AGAIN_LATER:
            each.frames.pop()  # what had to be written before it was too much already
            self.overflowed.add(index)

    def notice(self) -> None:
        """The model hears of who was closed."""
        for index, (connection, each) in enumerate(zip(self.connections, self.model, strict=True)):
            if each.is_open and not connection.is_open:
                each.is_open = False
                self.overflowed.add(index)

    def check(self) -> None:
        self.notice()
        limit = self.room.limits.outgoing_buffer
        for connection, lane, each in zip(self.connections, self.lanes, self.model, strict=True):
            assert connection.outbox.pending is None
            assert (connection.outbox.taken, connection.outbox.is_apart) == (0, False)
            backlog = connection.outbox.backlog
            if backlog is not None:
                waiting = [cost(message) for _, message in (*backlog._own, *backlog._room)]
                assert backlog.size == sum(waiting)
                largest = max(waiting, default=0)
                assert backlog.size <= max(limit, largest)
            if not each.lost and not each.stalled and each.is_open:
                assert lane.held == b""
