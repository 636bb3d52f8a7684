from __future__ import annotations

import pytest

from odac.close_codes import RETRYABLE, CloseCode, is_retryable, is_sendable


def test_the_codes_of_the_reference_are_there_with_their_meaning() -> None:
    reference = {
        1000: "normal closure",
        1001: "going away",
        1002: "protocol error",
        1003: "unsupported data",
        1006: "lost",
        4000: "middleware rejected",
        4001: "not authenticated",
        4002: "token",
        4003: "middleware forbade",
    }
    for code, meaning in reference.items():
        assert meaning in CloseCode(code).meaning


def test_a_code_is_an_int() -> None:
    assert isinstance(CloseCode.UNAUTHORIZED, int)
    assert f"{int(CloseCode.UNAUTHORIZED)}" == "4001"
    assert CloseCode(1000) is CloseCode.NORMAL
    assert all(each.meaning for each in CloseCode)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4000, 4999])
def test_codes_that_may_stand_in_a_frame(code: int) -> None:
    assert is_sendable(code)


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_536])
def test_codes_that_may_not(code: int) -> None:
    assert not is_sendable(code)


def test_who_may_come_back_by_itself() -> None:
    """As the table of the wire's documentation says what the browser client does."""
    reconnects = {1001, 1002, 1006, 1011, 1012, 1013}
    stays_closed = {1000, 1003, 1007, 1008, 1009, 4000, 4001, 4002, 4003}
    assert {int(code) for code in RETRYABLE} == reconnects
    assert all(is_retryable(code) for code in reconnects)
    assert not any(is_retryable(code) for code in stays_closed)
