from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError, fields
from math import inf, nan
from typing import Any

import pytest

from odac.config import Limits, RateLimit, SessionOptions
from odac.errors import ConfigurationError


def test_the_defaults() -> None:
    """A change here is a change of what users were promised."""
    limits = Limits()
    assert {field.name: getattr(limits, field.name) for field in fields(limits)} == {
        "max_payload": 1024 * 1024,
        "max_fragments": 1024,
        "rate_limit": RateLimit(100, 1.0),
        "outgoing_buffer": 1024 * 1024,
        "incoming_queue": 16,
        "handshake_timeout": 10.0,
        "max_headers": 100,
        "max_header_bytes": 16 * 1024,
        "ping_interval": 25.0,
        "pong_timeout": 20.0,
        "close_timeout": 10.0,
        "rooms_per_connection": 128,
        "recovery_entries": 1000,
        "recovery_bytes": 4 * 1024 * 1024,
        "recovery_rooms": 128,
        "recovery_burst": 20_000,
        "recovery_rate": 200,
        "recovery_sessions": 10_000,
        "resume_bytes": 64 * 1024,
        "resume_timeout": 5.0,
        "catch_up_entries": 256,
        "catch_up_bytes": 64 * 1024,
        "history_bytes": 64 * 1024 * 1024,
        "history_cache_bytes": 32 * 1024 * 1024,
        "history_queue_bytes": 16 * 1024 * 1024,
        "history_queue_time": 10.0,
        "history_batch": 128,
        "history_batch_bytes": 256 * 1024,
        "history_notices": 1024,
        "history_reads": 64,
        "history_page": 1000,
        "max_connections": 65_536,
        "connections_per_ip": None,
        "calls_per_connection": 16,
        "remembered_time": 120.0,
        "remembered_calls": 256,
        "remembered_bytes": 64 * 1024 * 1024,
        "drain_timeout": 10.0,
    }


def test_every_default_gives_its_reason() -> None:
    lines = inspect.cleandoc(Limits.__doc__ or "").splitlines()
    for field in fields(Limits):
        assert any(line.startswith(f"    {field.name}: ") for line in lines)


def test_limits_are_frozen_and_named() -> None:
    with pytest.raises(FrozenInstanceError):
        Limits().max_payload = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        Limits(1)  # type: ignore[call-arg]


COUNTS = [
    "max_payload",
    "max_fragments",
    "outgoing_buffer",
    "incoming_queue",
    "max_headers",
    "max_header_bytes",
    "rooms_per_connection",
    "recovery_rooms",
    "recovery_burst",
    "recovery_rate",
    "recovery_sessions",
    "resume_bytes",
    "catch_up_entries",
    "catch_up_bytes",
    "history_bytes",
    "history_cache_bytes",
    "history_queue_bytes",
    "history_batch",
    "history_batch_bytes",
    "history_notices",
    "history_reads",
    "history_page",
    "max_connections",
]
TIMES = [
    "handshake_timeout",
    "ping_interval",
    "pong_timeout",
    "close_timeout",
    "drain_timeout",
    "resume_timeout",
    "history_queue_time",
]


LEAST = {"max_payload": 16, "resume_bytes": 64 * 1024, "max_headers": 5, "max_header_bytes": 128}


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.5, "1", None, True, nan, inf, 10**30])
def test_a_count_is_a_whole_number_from_one(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"Limits\({field}=.*whole number from \d"):
        Limits(**{field: value})
    right: dict[str, Any] = {field: LEAST.get(field, 1)}
    assert getattr(Limits(**right), field) == LEAST.get(field, 1)


@pytest.mark.parametrize("field", LEAST)
def test_limits_that_would_admit_no_client_are_refused(field: str) -> None:
    wrong: dict[str, Any] = {field: LEAST[field] - 1}
    with pytest.raises(ConfigurationError, match=rf"Limits\({field}=.*from {LEAST[field]}: "):
        Limits(**wrong)


@pytest.mark.parametrize("field", TIMES)
@pytest.mark.parametrize("value", [0, -1, inf, nan, "1", None, True, 25_000_000])
def test_a_time_is_a_number_of_seconds_above_zero(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"Limits\({field}=.*seconds above 0"):
        Limits(**{field: value})
    right: dict[str, Any] = {field: 0.5}
    assert getattr(Limits(**right), field) == 0.5


@pytest.mark.parametrize("value", [0, -1, "1", True, 1.0])
def test_connections_per_ip(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"connections_per_ip"):
        Limits(connections_per_ip=value)
    assert Limits(connections_per_ip=1).connections_per_ip == 1


@pytest.mark.parametrize("value", [5, (5, 1), "5"])
def test_rate_limit(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a RateLimit or None"):
        Limits(rate_limit=value)
    assert Limits(rate_limit=None).rate_limit is None


@pytest.mark.parametrize(
    ("maximum", "window"), [(0, 1.0), (-1, 1.0), (1, 0), (1, -1.0), (1, nan), (1, inf), (1, 10**9)]
)
def test_a_rate_that_makes_no_sense(maximum: int, window: float) -> None:
    with pytest.raises(ConfigurationError, match="RateLimit"):
        RateLimit(maximum, window)


@pytest.mark.parametrize(("maximum", "window"), [("5", 1.0), (None, 1.0), (5, "1"), (5, None), (1.5, 1.0), (True, 1.0)])
def test_a_rate_of_the_wrong_type(maximum: Any, window: Any) -> None:
    with pytest.raises(ConfigurationError, match="RateLimit"):
        RateLimit(maximum, window)


def test_a_drain_of_more_than_30_seconds_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at most 30"):
        Limits(drain_timeout=31)


def test_more_connections_of_one_address_than_there_may_be() -> None:
    with pytest.raises(ConfigurationError, match=r"connections_per_ip=11.*max_connections=10"):
        Limits(connections_per_ip=11, max_connections=10)
    Limits(connections_per_ip=10, max_connections=10)


def test_a_rate_that_closes_clients_for_answering_pings() -> None:
    with pytest.raises(ConfigurationError, match=r"rate_limit.*answers the 3 pings of 60 s.*ping_interval=25"):
        Limits(rate_limit=RateLimit(2, 60))
    Limits(rate_limit=RateLimit(3, 60))
    Limits(rate_limit=RateLimit(2, 60), ping_interval=30)


@pytest.mark.parametrize("field", ["max_age", "lifetime"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3600", None, 401 * 86_400])
def test_a_session_lasts_a_whole_number_of_seconds(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"SessionOptions\({field}=.*seconds from 1"):
        SessionOptions(**{field: value})
    right: dict[str, Any] = {field: 1}
    assert getattr(SessionOptions(**right), field) == 1


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "é", 7, None, "x" * 65])
def test_a_cookie_has_a_name_that_browsers_send(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a cookie's name"):
        SessionOptions(cookie=name)


@pytest.mark.parametrize("name", ["__Host-shop", "__secure-shop"])
def test_a_cookies_prefix_is_left_to_odac(name: str) -> None:
    with pytest.raises(ConfigurationError, match="leave the prefix out"):
        SessionOptions(cookie=name)


def test_a_rate_in_bytes_must_let_the_largest_message_in() -> None:
    Limits(max_payload=1000, rate_limit=RateLimit(10, 1.0, bytes=1000))
    with pytest.raises(ConfigurationError, match="would never pass: raise bytes"):
        Limits(max_payload=1001, rate_limit=RateLimit(10, 1.0, bytes=1000))
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ConfigurationError, match="bytes"):
            RateLimit(10, 1.0, bytes=wrong)  # type: ignore[arg-type]
