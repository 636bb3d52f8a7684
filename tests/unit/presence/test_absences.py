from __future__ import annotations

from asyncio import AbstractEventLoop
from typing import cast

from odac.presence.absences import Absences, Budget
from tests.unit.presence.network import VirtualLoop


def make(grace: float = 10.0) -> tuple[VirtualLoop, Budget, list[str], Absences]:
    loop, budget, removed = VirtualLoop(), Budget(), list[str]()
    return loop, budget, removed, Absences(cast("AbstractEventLoop", loop), grace, budget, removed.append)


def test_each_goes_when_its_own_grace_is_over() -> None:
    loop, budget, removed, absences = make()
    absences.begin("u:1", "c1")
    loop.run(4)
    absences.begin("u:2", "c2")
    assert (len(absences), budget.used) == (2, 2)
    loop.run(5.9)
    assert removed == []
    loop.run(0.2)
    assert removed == ["c1"]
    loop.run(4)
    assert removed == ["c1", "c2"]
    assert (len(absences), budget.used) == (0, 0)


def test_the_last_connection_of_a_person_is_kept_and_begins_the_grace_anew() -> None:
    loop, _, removed, absences = make()
    absences.begin("u:1", "c1")
    loop.run(9)
    absences.begin("u:1", "c2")
    assert removed == ["c1"]
    loop.run(9)
    assert removed == ["c1"]
    loop.run(2)
    assert removed == ["c1", "c2"]


def test_who_is_back_is_kept_no_more() -> None:
    loop, budget, removed, absences = make()
    absences.begin("u:1", "c1")
    absences.end("u:1")
    absences.end("u:2")
    assert (removed, budget.used) == (["c1"], 0)
    loop.run(20)
    assert removed == ["c1"]


def test_a_stop_is_silent_and_gives_the_budget_back() -> None:
    loop, budget, removed, absences = make()
    absences.begin("u:1", "c1")
    absences.stop()
    loop.run(20)
    assert (removed, budget.used) == ([], 0)
