"""What a server says of a message that its route does not take."""

from __future__ import annotations

from typing import Any

import pytest

from odac.client.invalid import Invalid, read_invalid


def test_the_field_and_the_reason() -> None:
    told = read_invalid([{"field": "to", "reason": "no square", "more": 1}, "of a newer server"])
    assert told == Invalid("to", "no square")


@pytest.mark.parametrize("values", [[], [None], ["to"], [{}], [{"field": "to"}], [{"field": 1, "reason": "no square"}]])
def test_what_is_malformed_is_ignored(values: list[Any]) -> None:
    assert read_invalid(values) is None
