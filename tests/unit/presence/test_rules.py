from __future__ import annotations

from typing import Any

import pytest

from odac.errors import ConfigurationError
from odac.presence.rules import MAX_DATA_BYTES, Presence, encode_data


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf"), 3601, "10", True, None])
def test_a_grace_out_of_range_is_refused(grace: Any) -> None:
    with pytest.raises(ConfigurationError, match="grace="):
        Presence(grace=grace)


@pytest.mark.parametrize("limit", [0, -1, 10_001, 1.5, True, None])
def test_a_limit_out_of_range_is_refused(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="limit="):
        Presence(limit=limit)


def test_the_ends_of_the_ranges_are_taken() -> None:
    assert Presence(grace=0, limit=1) != Presence(grace=3600, limit=10_000)


def test_data_is_a_json_text_of_bounded_size() -> None:
    assert encode_data({"name": "Zoë"}) == '{"name":"Zoë"}'.encode()
    assert len(encode_data("x" * (MAX_DATA_BYTES - 2))) == MAX_DATA_BYTES
    with pytest.raises(ValueError, match="1025 bytes"):
        encode_data("x" * (MAX_DATA_BYTES - 1))
    with pytest.raises(TypeError):
        encode_data(object())
