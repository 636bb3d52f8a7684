"""What ``benchmarks.tail`` makes of its rounds: which of them count, and how slow the slowest deliveries were."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import tail
from benchmarks.servers import Running
from benchmarks.tail import DISTURBED, Measured, Round, slowest


def round_of(waited: float, stolen: float = 0.0, histogram: list[list[float]] | None = None, **said: Any) -> Round:
    said = {"histogram": histogram or [[1000.0, 1]], "local_max_us": 1000.0, "lost": 0, **said}
    return Round(150.0, 100.0, 110.0, 0.6, 0.5, waited, 3, stolen, said)


def test_a_round_is_disturbed_by_waiting_and_by_what_the_machine_below_takes() -> None:
    limit = DISTURBED * 10
    assert not round_of(limit * 0.9).disturbed
    assert round_of(limit * 1.1).disturbed
    assert round_of(0.0, limit * 1.1).disturbed
    assert round_of(limit * 0.6, limit * 0.6).disturbed


@pytest.mark.parametrize("busy", [0.5, 0.7])
def test_a_round_of_another_load_is_disturbed(busy: float) -> None:
    assert replace(round_of(0.0), busy=busy).disturbed


def test_the_least_disturbed_rounds_count_and_the_table_says_by_how_much_they_were() -> None:
    running = cast(Running, SimpleNamespace(server=SimpleNamespace(name="it")))
    server = Measured(running, [round_of(waited) for waited in (0.5, 0.0, 0.3, 0.002)])
    assert server.calm() == 20.0
    assert [each.waited for each in server.counted(30)] == [0.0, 0.002, 0.3]
    cells = [cell.strip() for cell in tail.row(server, 30).strip("|").split("|")]
    assert cells[0] == "it"
    assert cells[-4:] == ["30", "40", "1.01%", "3.00%"]
    assert len(cells) == len(tail.HEAD.strip("|").split("|"))


def test_only_collections_within_the_rounds_that_count_are_told() -> None:
    running = cast(Running, SimpleNamespace(server=SimpleNamespace(name="it")))
    server = Measured(running, [round_of(0.0)], [(99.0, 50.0, 40.0), (105.0, 8.0, 2.5), (106.0, 3.5, None)])
    cells = [cell.strip() for cell in tail.row(server, 10).strip("|").split("|")]
    assert cells[9:11] == ["2", "3.5"], "CPU time where it is known, else the clock's"


def test_rounds_are_added_up_before_a_share_of_them_is_told() -> None:
    fast = round_of(0.0, histogram=[[1000.0, 980], [2000.0, 20]], local_max_us=1990.0)
    slow = round_of(0.0, histogram=[[2000.0, 999], [9000.0, 1]], local_max_us=8950.0)
    assert slowest([fast, slow], 0.25, 0.999, 0.9999) == [1.0, 2.0, 9.0, pytest.approx(8.95)]
    assert slowest([fast], 0.99) == [2.0, pytest.approx(1.99)]
