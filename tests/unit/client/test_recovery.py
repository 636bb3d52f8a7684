"""The vectors that the browser client's tests share, and what they leave out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from odac.client.recovery import MAX_BYTES, MAX_ROOMS, Positions, Recover
from odac.protocol.control import decode_control

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "recovery.json").read_text(encoding="utf-8")
)["cases"]


def said(positions: Positions) -> list[Any] | None:
    message = positions.resume()
    if message is None:
        return None
    decoded = decode_control(message.payload)
    assert decoded is not None
    assert decoded[0] == "resume"
    return decoded[1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_vector(case: dict[str, Any]) -> None:
    positions = Positions()
    for number, step in enumerate(case["steps"]):
        told: list[Recover] = []
        if "open" in step:
            positions.opened()
        elif "message" in step:
            positions.arrived()
        elif "close" in step:
            positions.closed(step["close"])
        elif "overdue" in step:
            told = positions.overdue()
        else:
            kind, *values = step["control"]
            one = positions.control(kind, values)
            told = [] if one is None else [one]
        assert [[each.room, each.recovered, each.count] for each in told] == step.get("tells", []), number
        if "resume" in step:
            assert said(positions) == step["resume"], number


def test_the_newest_rooms_are_named_where_there_are_too_many() -> None:
    positions = Positions()
    positions.control("hello", [{"client": "S"}])
    for number in range(MAX_ROOMS + 10):
        positions.control("room", [number, f"room {number}", "E", 1, "T", 0])
    names = [each[0] for each in (said(positions) or [])[1]]
    assert names == [f"room {number}" for number in range(10, MAX_ROOMS + 10)]


def test_a_resume_is_no_larger_than_the_server_takes() -> None:
    positions = Positions()
    positions.control("hello", [{"client": "S"}])
    for number in range(MAX_ROOMS):
        positions.control("room", [number, "\u2028" * 300 + str(number), "E", 1, "T" * 50, 0])
    message = positions.resume()
    assert message is not None
    assert len(message.payload) <= MAX_BYTES
    names = [each[0] for each in (said(positions) or [])[1]]
    assert names
    assert names[-1].endswith(str(MAX_ROOMS - 1))
