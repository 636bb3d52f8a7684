from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.client.errors import HandshakeRefused
from odac.client.reconnect import CAP, Reconnect
from odac.close_codes import RETRYABLE, CloseCode
from odac.errors import Disconnected

LOST = Disconnected(CloseCode.ABNORMAL)


def rules(
    *,
    enabled: bool = True,
    delay: float = 3.0,
    attempts: int | None = 10,
    random: Callable[[], float] = lambda: 1.0,
    token: bool = True,
) -> Reconnect:
    return Reconnect(enabled, delay, attempts, random, fresh_token=token)


def test_each_wait_is_half_as_long_again_up_to_thirty_seconds() -> None:
    reconnect = rules()
    assert [reconnect.after(LOST) for _ in range(8)] == [3.0, 4.5, 6.75, 10.125, 15.1875, 22.78125, 30.0, 30.0]


@given(chance=st.floats(0, 1), attempt=st.integers(0, 200))
def test_every_wait_is_scaled_by_a_factor_from_a_half_to_one(chance: float, attempt: int) -> None:
    reconnect = rules(random=lambda: chance, attempts=None)
    reconnect.attempts = attempt
    full = min(3.0 * 1.5 ** min(attempt, 64), CAP)
    wait = reconnect.after(LOST)
    assert wait is not None
    assert full / 2 <= wait <= full


def test_attempts_end() -> None:
    reconnect = rules(attempts=2)
    assert reconnect.after(LOST) is not None
    assert not reconnect.exhausted
    assert reconnect.after(LOST) is not None
    assert reconnect.after(LOST) is None
    assert reconnect.exhausted


def test_attempts_count_since_the_last_connection_that_stayed_open_for_five_seconds() -> None:
    reconnect = rules(attempts=2)
    reconnect.after(LOST)
    reconnect.after(LOST, stayed=4.9)
    assert reconnect.after(LOST, stayed=4.9) is None
    assert reconnect.after(LOST, stayed=5.0) == 3.0
    assert reconnect.attempts == 1


def test_without_a_bound_it_goes_on() -> None:
    reconnect = rules(attempts=None)
    assert {reconnect.after(LOST) for _ in range(5000)} >= {30.0}


def test_turned_off_it_stays_closed() -> None:
    assert rules(enabled=False).after(LOST) is None
    assert rules(attempts=0).after(LOST) is None


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1012, 1013, 4000, 4001, 4003, 4999]
)
def test_the_close_code_decides(code: int) -> None:
    wait = rules().after(Disconnected(code))
    assert (wait is not None) == (code in RETRYABLE or code == 1005)


def test_a_refused_token_is_asked_for_anew_once() -> None:
    reconnect = rules()
    refused = Disconnected(CloseCode.INVALID_TOKEN)
    assert reconnect.after(refused) == 0.0
    assert reconnect.after(refused) is None


def test_a_refused_token_is_asked_for_anew_even_without_reconnecting() -> None:
    assert rules(enabled=False).after(Disconnected(CloseCode.INVALID_TOKEN)) == 0.0


def test_a_good_connection_allows_another_fresh_token() -> None:
    reconnect = rules()
    refused = Disconnected(CloseCode.INVALID_TOKEN)
    reconnect.after(refused)
    assert reconnect.after(refused, stayed=4.0) is None
    assert reconnect.after(refused, stayed=6.0) == 0.0


def test_a_client_without_tokens_has_no_fresh_one() -> None:
    assert rules(token=False).after(Disconnected(CloseCode.INVALID_TOKEN)) is None


def test_a_draining_server_says_how_long_to_wait() -> None:
    reconnect = rules(random=lambda: 0.0)
    assert reconnect.after(Disconnected(CloseCode.GOING_AWAY), drain=7.5) == 7.5
    assert reconnect.after(Disconnected(CloseCode.GOING_AWAY), drain=10_000.0) == CAP
    assert reconnect.attempts == 2


@pytest.mark.parametrize(
    ("status", "again"),
    [
        (200, False),
        (302, False),
        (400, False),
        (403, False),
        (404, False),
        (408, True),
        (425, True),
        (429, True),
        (500, True),
        (503, True),
    ],
)
def test_an_http_answer_is_final_when_it_will_not_change(status: int, again: bool) -> None:
    assert (rules().after(HandshakeRefused(status, "no")) is not None) == again


@pytest.mark.parametrize(
    ("value", "wait"), [("12", 12.0), ("1", 3.0), ("86400", 30.0), ("soon", 3.0), ("-5", 3.0), ("²", 3.0)]
)
def test_a_busy_server_may_ask_for_more_time(value: str, wait: float) -> None:
    assert rules().after(HandshakeRefused(503, "full", (("Retry-After", value),))) == wait


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError(), OSError()], ids=repr)
def test_a_network_error_may_pass(error: OSError) -> None:
    assert rules().after(error) == 3.0


@pytest.mark.parametrize("error", [ssl.SSLCertVerificationError(), ValueError()], ids=repr)
def test_what_will_not_change_is_final(error: Exception) -> None:
    assert rules().after(error) is None


@pytest.mark.parametrize("delay", [-1, float("nan"), float("inf"), "3", True, None])
def test_a_delay_must_be_seconds(delay: Any) -> None:
    with pytest.raises(ValueError, match="reconnect_delay"):
        rules(delay=delay)


@pytest.mark.parametrize("attempts", [-1, 1.5, "10", True])
def test_attempts_must_be_a_number(attempts: Any) -> None:
    with pytest.raises(ValueError, match="max_reconnect_attempts"):
        rules(attempts=attempts)


@pytest.mark.parametrize("status", [200, 204, 302, 307])
def test_a_page_or_a_redirect_is_no_last_word_for_a_client_that_was_connected(status: int) -> None:
    reconnect = rules()
    assert reconnect.after(Disconnected(CloseCode.ABNORMAL), stayed=0.5) is not None
    for _ in range(3):  # a network that wants somebody to log in
        assert reconnect.after(HandshakeRefused(status, "a page")) is not None
    assert reconnect.after(HandshakeRefused(403, "no")) is None
