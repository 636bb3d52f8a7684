"""What is remembered of calls, and a model of it: whatever is dropped, nothing is executed twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from odac.calls.remembered import CLIENT_COST, LONGER, MARGIN, RECORD_COST, Record, Remembered


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make(per_client: int = 3, max_bytes: int = 1_000_000) -> tuple[Remembered, Clock]:
    clock = Clock()
    return Remembered(clock, 120.0, per_client, max_bytes), clock


def test_an_outcome_is_found_for_the_window_and_not_for_ever() -> None:
    remembered, clock = make()
    record = remembered.begin("a", 1)
    assert remembered.find("a", 1) is record
    assert remembered.find("a", 2) is None
    assert remembered.find("b", 1) is None
    remembered.finish(record, b"x" * 100)
    assert remembered.size == CLIENT_COST + RECORD_COST + 100
    clock.now += 120
    assert remembered.find("a", 1) is record
    clock.now += LONGER + 1
    assert remembered.find("a", 1) is None
    assert remembered.size == 0
    assert remembered.may_have_run("a", 120.0)


def test_the_oldest_of_a_client_makes_room_and_may_have_been_executed() -> None:
    remembered, clock = make(per_client=2)
    for number in (1, 2, 3):
        remembered.finish(remembered.begin("a", number), b"")
        clock.now += 10
    assert [remembered.find("a", number) is not None for number in (1, 2, 3)] == [False, True, True]
    assert remembered.may_have_run("a", 30)
    assert not remembered.may_have_run("a", 5)
    assert not remembered.may_have_run("b", 30)


def test_the_oldest_of_all_makes_room_in_bytes() -> None:
    remembered, clock = make(max_bytes=3 * (RECORD_COST + CLIENT_COST))
    for client in "abcd":
        remembered.finish(remembered.begin(client, 1), b"x" * 300)
        clock.now += 10
    assert remembered.find("a", 1) is None
    assert remembered.find("d", 1) is not None
    assert remembered.may_have_run("a", 40)
    assert not remembered.may_have_run("d", 5)
    assert remembered.size <= 3 * (RECORD_COST + CLIENT_COST)


def test_what_runs_is_never_dropped() -> None:
    remembered, clock = make(per_client=2, max_bytes=CLIENT_COST + 2 * RECORD_COST)
    running = [remembered.begin("a", number) for number in range(5)]
    clock.now += 500
    assert [remembered.find("a", number) for number in range(5)] == running
    assert remembered.unfinished("a") == 5
    assert remembered.unfinished("b") == 0


def test_one_that_was_never_begun_is_forgotten() -> None:
    remembered, _ = make()
    remembered.forget(remembered.begin("a", 1))
    remembered.forget(remembered.begin("a", 1))
    assert remembered.find("a", 1) is None
    assert not remembered.may_have_run("a", 5)


@dataclass
class Sent:
    client: str
    id: int
    at: float
    executions: int = 0
    answers: list[str] = field(default_factory=list)
    record: Record | None = None


class Model(RuleBasedStateMachine):
    """Callers that send each call as often as they like, at any time, to a process with little memory."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.remembered = Remembered(self.clock, 120.0, 2, 4_000)
        self.sent: list[Sent] = []

    @rule(client=st.sampled_from("abc"), arrives=st.booleans())
    def call(self, client: str, arrives: bool) -> None:
        sent = Sent(client, len(self.sent), self.clock.now)
        self.sent.append(sent)
        if arrives:
            self._arrive(sent, first=True)

    @rule(data=st.data(), delay=st.floats(0, 20))
    def call_again(self, data: Any, delay: float) -> None:
        if self.sent:
            sent = data.draw(st.sampled_from(self.sent))
            self.clock.now += delay  # under way, which the age includes, to within the margin
            age = self.clock.now - sent.at
            self._arrive(sent, first=False, age=max(age - data.draw(st.floats(0, MARGIN)), 0) + MARGIN)

    @rule(data=st.data(), size=st.integers(0, 2_000))
    def finish(self, data: Any, size: int) -> None:
        running = [sent for sent in self.sent if sent.record is not None and sent.record.outcome is None]
        if running:
            sent = data.draw(st.sampled_from(running))
            assert sent.record is not None
            self.remembered.finish(sent.record, b"x" * size)
            sent.record = None

    @rule(seconds=st.floats(0, 90))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    def _arrive(self, sent: Sent, *, first: bool, age: float = 0.0) -> None:
        record = self.remembered.find(sent.client, sent.id)
        if record is not None:
            sent.answers.append("known")
        elif not first and self.remembered.may_have_run(sent.client, age):
            sent.answers.append("interrupted")
        else:
            sent.executions += 1
            sent.record = self.remembered.begin(sent.client, sent.id)

    @invariant()
    def nothing_is_executed_twice(self) -> None:
        assert all(sent.executions <= 1 for sent in self.sent)

    @invariant()
    def memory_is_bounded(self) -> None:
        running = sum(sent.record is not None for sent in self.sent)
        assert self.remembered.size <= 4_000 + running * RECORD_COST + 3 * CLIENT_COST


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
