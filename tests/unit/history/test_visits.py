"""Clients by connection and by name, and what their sessions may recover."""

from __future__ import annotations

import time

from odac.config import Limits
from odac.history.position import Client, Identity, Position
from odac.history.visits import Budgets, Visits, next_client
from tests.unit.history.history_fakes import FakeMember, as_connection

NAME = "A" * 22
NOBODY = Identity()


def test_a_session_recovers_a_burst_and_then_so_many_a_second() -> None:
    budgets = Budgets(Limits(recovery_burst=100, recovery_rate=10))
    assert budgets.take("a", 60, 0.0)
    assert not budgets.take("a", 60, 0.0)
    assert budgets.take("a", 40, 0.0)
    assert budgets.take("b", 100, 0.0), "another's is its own"
    assert not budgets.take("a", 30, 2.0)
    assert budgets.take("a", 30, 3.0)
    assert not budgets.take("a", 101, 1000.0), "it fills up to the burst"


def test_the_session_that_recovered_longest_ago_is_forgotten() -> None:
    budgets = Budgets(Limits(recovery_burst=10, recovery_sessions=2))
    for session in ("a", "b", "a", "c"):
        budgets.take(session, 5, 0.0)
    assert len(budgets) == 2
    assert not budgets.take("a", 1, 0.0)
    assert budgets.take("b", 10, 0.0)


def test_a_generation_is_the_time_and_grows() -> None:
    before = time.time_ns()
    first, second = next_client(Client(NAME, 0)), next_client(Client(NAME, 0))
    assert before <= first.generation <= second.generation <= time.time_ns()
    future = time.time_ns() * 2
    assert next_client(Client(NAME, future)).generation == future + 1


def test_the_newest_connection_of_a_client_is_the_one() -> None:
    known = Visits(Limits(recovery_entries=5))
    old, new = as_connection(FakeMember()), as_connection(FakeMember())
    position = Position("r", None, 0, "t")
    assert known.enter(old, Client(NAME, 1), NOBODY, [position]) is None
    assert known.enter(new, Client(NAME, 2), NOBODY, []) is old
    known.leave(old)
    assert known.connection_of(NAME) is new
    assert len(known) == 1
    visit = known.of(new)
    assert visit is not None
    assert (visit.left, visit.positions) == (5, {})
    known.leave(new)
    assert known.connection_of(NAME) is None
