from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import msgspec
import pytest

from odac.config import Limits, RateLimit
from odac.errors import ConfigurationError, InvalidMessage
from odac.routing.options import OPTIONS, CheckedOptions
from tests.ids import stable


class Move(msgspec.Struct):
    x: int


def test_what_type_checkers_know_is_what_is_checked() -> None:
    assert tuple(each.name for each in fields(CheckedOptions)) == OPTIONS


def test_they_are_values() -> None:
    assert CheckedOptions(raw=True) == CheckedOptions(raw=True) != CheckedOptions()
    with pytest.raises(FrozenInstanceError):
        CheckedOptions().raw = True  # type: ignore[misc]


def test_what_was_given_is_what_differs_from_the_defaults() -> None:
    assert CheckedOptions().given() == {}
    assert CheckedOptions(rate_limit=None).given() == {"rate_limit": None}
    assert CheckedOptions(token=False, subprotocols=["mqtt"]).given() == {"token": False, "subprotocols": ["mqtt"]}


def test_own_limits_are_put_over_the_apps() -> None:
    limits = Limits(max_payload=1000, rate_limit=RateLimit(7))
    assert CheckedOptions().policy("/a", limits).limits is limits
    own = CheckedOptions(max_payload=50, rate_limit=None, overflow="drop_oldest").policy("/a", limits)
    assert (own.path, own.limits.max_payload, own.limits.rate_limit, own.overflow) == ("/a", 50, None, "drop_oldest")


def test_a_type_that_cannot_be_decoded_and_what_to_use_instead() -> None:
    class Plain: ...

    with pytest.raises(
        ConfigurationError, match=r"message= of the route: JSON cannot be decoded into list\[Plain\]: .* Use a msgspec"
    ):
        CheckedOptions(message=list[Plain]).policy("/a", Limits())


def test_the_decoder_follows_from_raw_and_message() -> None:
    def decode(options: CheckedOptions) -> object:
        return options.policy("/a", Limits()).decode(b'{"x": 1}')

    assert decode(CheckedOptions()) == {"x": 1}
    assert decode(CheckedOptions(raw=True)) == '{"x": 1}'
    assert decode(CheckedOptions(message=Move)) == Move(1)
    with pytest.raises(InvalidMessage):
        CheckedOptions(message=Move).policy("/a", Limits()).decode(b"{}")


def test_a_route_without_origins_has_the_apps() -> None:
    assert CheckedOptions().origin_policy() is None
    own = CheckedOptions(origins="*").origin_policy()
    assert own is not None
    assert own.any


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"token": "no"}, "token='no' must be True or False"),
    ({"raw": 1}, "raw=1 must be True or False"),
    ({"compression": "deflate"}, "compression='deflate' must be"),
    ({"overflow": "block"}, "overflow='block' must be"),
    ({"raw": True, "message": Move}, "choose one"),
    ({"subprotocols": "mqtt"}, "must be a list"),
    ({"subprotocols": ["odac.v1"]}, "Odac's own"),
]


@pytest.mark.parametrize(("options", "why"), MISTAKES, ids=lambda value: stable(value)[:40])
def test_values_that_cannot_be_are_refused_when_they_are_made(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        CheckedOptions(**options)
