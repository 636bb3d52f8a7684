from __future__ import annotations

from typing import Any

import pytest

from odac import AsyncPublisher, Publisher
from odac.brokers.url import DIRECTORY_VARIABLE
from odac.errors import BrokerNotConfigured, ConfigurationError
from odac.publishing.publication import binary_message, checked_timeout, checked_url, closing, message, moving
from odac.realtime.audience import Audience

AUDIENCE = Audience(("a",))


def test_what_each_call_publishes() -> None:
    text, binary = message(AUDIENCE, {"n": 1}), binary_message(AUDIENCE, memoryview(b"\xff"))
    assert (text.audience, text.opcode, text.payload) == (AUDIENCE, 1, b'{"n":1}')
    assert (binary.opcode, binary.payload) == (2, b"\xff")
    move = moving(AUDIENCE, "b", joins=True)
    assert (move.audience, move.room, move.joins) == (AUDIENCE, "b", True)
    one, other = closing(AUDIENCE, 4001, "out"), closing(AUDIENCE, 4001, "out")
    assert (one.code, one.reason, one.keep) == (4001, "out", False)
    assert one.id != other.id
    assert one.given == one.sent <= other.given


def test_wrong_arguments_are_found_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="1006"):
        closing(AUDIENCE, 1006, "")
    with pytest.raises(ValueError, match="must not be empty"):
        moving(AUDIENCE, "", joins=False)
    with pytest.raises(TypeError, match="cannot send"):
        message(AUDIENCE, object())


@pytest.mark.parametrize("timeout", ["5", None, True, 0, -1, float("inf"), float("nan")])
def test_a_timeout_is_a_number_of_seconds_above_0(timeout: Any) -> None:
    assert checked_timeout(0.5) == 0.5
    with pytest.raises(ConfigurationError, match=r"Publisher\(timeout=.*\): must be a number of seconds above 0"):
        checked_timeout(timeout)
    for publisher in (Publisher, AsyncPublisher):
        with pytest.raises(ConfigurationError, match="timeout="):
            publisher("redis://localhost", timeout=timeout)


def test_the_url_is_the_arguments_the_users_or_that_of_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ODAC_BROKER", DIRECTORY_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BrokerNotConfigured, match="set ODAC_BROKER"):
        checked_url(None)
    monkeypatch.setenv(DIRECTORY_VARIABLE, "/run/private")
    assert checked_url(None) == "local://"
    monkeypatch.setenv("ODAC_BROKER", "redis://h")
    assert checked_url(None) == "redis://h"
    assert checked_url("nats://h") == "nats://h"
    with pytest.raises(BrokerNotConfigured, match="stays within one process"):
        checked_url("memory://name")
    with pytest.raises(ConfigurationError, match="must be the URL of a broker"):
        checked_url(7)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="scheme"):
        checked_url("nonsense")
