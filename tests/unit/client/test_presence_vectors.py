"""What a client tells of the people in its rooms, by the vectors that the browser client's tests read too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from odac.client.presence import Person, Rosters

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "vectors" / "presence.json").read_text())["cases"]


def pairs(people: list[Person]) -> list[list[Any]]:
    return [[key, data] for key, data in people]


@pytest.mark.parametrize("case", CASES, ids=[case["why"] for case in CASES])
def test_a_vector(case: dict[str, Any]) -> None:
    rosters = Rosters()
    for step in case["steps"]:
        if "lost" in step:
            rosters.lost()
            continue
        kind, *values = step["control"]
        change = rosters.receive(kind, values)
        told = change and [
            change.room,
            *map(pairs, (change.users, change.joined, change.changed, change.left)),
            change.total,
        ]
        assert told == step.get("tells")
