from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable
from typing import Any

import pytest

from odac import notices
from odac.realtime import idle_cuts
from odac.realtime.idle_cuts import CUTS, IdleCuts
from tests.unit.realtime.realtime_fakes import Room


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_kinds", {})


def noted(caplog: pytest.LogCaptureFixture, cuts: Iterable[tuple[float, float]], ping_interval: float = 25.0) -> int:
    """How many warnings there are after connections have ended: when, and at which age."""
    watch = IdleCuts()
    with caplog.at_level(logging.WARNING, "odac"):
        for now, age in cuts:
            watch.note(now, age, ping_interval)
    return sum("ping_interval" in record.getMessage() for record in caplog.records)


def test_a_client_that_is_cut_again_and_again_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    assert noted(caplog, [(100 + 10 * index, 8.0 + index / 20) for index in range(CUTS)]) == 1
    assert "5 connections in a row were cut 8 s after they were opened" in caplog.text
    assert "proxy_read_timeout" in caplog.text


@pytest.mark.parametrize(
    "cuts",
    [
        pytest.param([(100 + 10 * index, 8.0) for index in range(CUTS - 1)], id="too few"),
        pytest.param([(100 + 10 * index, 8.0 + index) for index in range(20)], id="irregular"),
        pytest.param([(100.0 + index / 100, 8.0) for index in range(50)], id="all at once"),
        pytest.param([(100 + 10 * index, 30.0) for index in range(20)], id="after a ping"),
        pytest.param([(100 + 10 * index, 0.2) for index in range(20)], id="at once"),
    ],
)
def test_other_ends_are_not(caplog: pytest.LogCaptureFixture, cuts: list[tuple[float, float]]) -> None:
    assert noted(caplog, cuts) == 0


def test_the_hub_sees_ends_without_a_close_frame(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    room: Any = Room()
    times = itertools.count(1_000_000_000.0, 8.0)
    for code, said in ((1001, 0), (1006, 1)):
        for _ in range(CUTS):
            connection = room.connect()
            now = next(times)
            monkeypatch.setattr(connection, "opened_at", now - 8)
            monkeypatch.setattr(idle_cuts, "monotonic", lambda now=now: now)
            with room.kernel.in_place():
                connection.lost(code, "")
        assert sum("ping_interval" in record.getMessage() for record in caplog.records) == said
