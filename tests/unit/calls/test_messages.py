from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from odac.calls.messages import MAX_ID, Request, encode, read_answer, read_id, read_request, refusal
from odac.errors import CallError


class Model(BaseModel):
    x: int


def test_messages_hold_whatever_can_be_sent() -> None:
    assert encode("reply", 1, {"model": Model(x=1)}).payload == b'\x1e["reply",1,{"model":{"x":1}}]'
    assert refusal(7, CallError("code", "text")).payload == b'\x1e["fail",7,"code","text"]'


@pytest.mark.parametrize("value", [0, 7, MAX_ID])
def test_ids(value: int) -> None:
    assert read_id(value) == value


@pytest.mark.parametrize("value", [-1, MAX_ID + 1, True, 1.0, "1", None, []])
def test_what_is_no_id(value: Any) -> None:
    assert read_id(value) is None


def test_what_may_be_left_out() -> None:
    assert read_request([1, "a"]) == Request(1, "a", None, None, None, None, 0.0)
    assert read_request([1, "a", [2], 3, 4, ["x", 5], "more"]) == Request(1, "a", [2], 3.0, 4.0, "x", 5.0)


@pytest.mark.parametrize("value", [True, "1", float("nan"), float("inf"), None, [1]])
def test_times_that_are_none(value: Any) -> None:
    request = read_request([1, "a", None, value, value, ["x", value]])
    assert request == Request(1, "a", None, None, None, "x", 0.0)


def test_times_are_bounded() -> None:
    request = read_request([1, "a", None, -5, 1e300, ["x", -1]])
    assert request == Request(1, "a", None, 0.0, 86_400_000.0, "x", 0.0)


def test_answers() -> None:
    assert read_answer("reply", [1, {"a": 1}]) == (1, {"a": 1}, None)
    assert read_answer("reply", [1]) == (1, None, None)
    assert read_answer("reply", []) is None
    refusals: list[tuple[list[Any], str, str]] = [
        ([1], "internal", ""),
        ([1, "x"], "x", ""),
        ([1, 2, 3], "internal", ""),
        ([1, "x" * 999, "y" * 9999], "x" * 100, "y" * 1000),
    ]
    for values, code, text in refusals:
        found = read_answer("fail", values)
        assert found is not None
        error = found[2]
        assert isinstance(error, CallError)
        assert (error.code, error.text) == (code, text)
