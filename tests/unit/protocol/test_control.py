from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from odac.close_codes import is_retryable, is_sendable
from odac.protocol import control
from odac.protocol.codec import encode
from odac.protocol.control import decode_control, encode_control, is_control, unescape
from odac.wire.frames import TEXT

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "wire.json").read_text())


def by(key: str) -> Any:
    return lambda case: case.get(key) if isinstance(case, dict) else None


@pytest.mark.parametrize("case", VECTORS["control"], ids=by("why"))
def test_control_messages(case: dict[str, Any]) -> None:
    payload = case["text"].encode()
    assert is_control(payload)
    assert decode_control(payload) == (case["kind"], case["values"])
    again = encode_control(case["kind"], *case["values"])
    assert again.opcode == TEXT
    assert decode_control(again.payload) == (case["kind"], case["values"])
    if " " not in case["text"]:
        assert again.payload == payload


@pytest.mark.parametrize("case", VECTORS["malformed_control"], ids=by("why"))
def test_malformed_control_messages_are_ignored(case: dict[str, Any]) -> None:
    payload = case["text"].encode()
    assert is_control(payload)
    assert decode_control(payload) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"\x1e" + b"[" * 100_000,
        b'\x1e["a",' + b"[" * 100_000 + b"]" * 100_001,
        b'\x1e["a",1e999]',
        b'\x1e["a",' + b"9" * 5000 + b"]",
        b'\x1e["\\ud800"]',
        b"\x1e\xff",
        b'\x1e["\xff"]',
    ],
    ids=["deep", "deep-value", "float", "integer", "surrogate", "not-utf8", "not-utf8-inside"],
)
def test_hostile_control_messages_are_ignored(payload: bytes) -> None:
    assert decode_control(payload) is None


@pytest.mark.parametrize("case", VECTORS["escaping"], ids=by("why"))
def test_escaping(case: dict[str, Any]) -> None:
    message = encode(case["application"])
    sent = (message.escaped or message).payload
    assert sent == case["wire"].encode()
    assert not is_control(sent)
    assert unescape(sent) == case["application"].encode()


@pytest.mark.parametrize("payload", [b"", b"x", b"[]", b"\x1e\x1e", b"\x1e\x1e[]"])
def test_application_text_is_no_control_message(payload: bytes) -> None:
    assert not is_control(payload)


def test_ready_made() -> None:
    assert control.PING.payload == b'\x1e["ping"]'
    assert control.PONG.payload == b'\x1e["pong"]'
    assert control.PING.frame == b'\x81\x09\x1e["ping"]'
    assert control.PING.escaped is None


@pytest.mark.parametrize("case", VECTORS["close_codes"], ids=by("code"))
def test_what_a_close_code_makes_a_client_do(case: dict[str, Any]) -> None:
    assert is_retryable(case["code"]) is (case["then"] == "retry")


def test_which_close_codes_may_be_sent() -> None:
    assert all(map(is_sendable, VECTORS["sendable_close_codes"]["yes"]))
    assert not any(map(is_sendable, VECTORS["sendable_close_codes"]["no"]))


@pytest.mark.parametrize("case", VECTORS["reconnect_delays"]["cases"], ids=str)
def test_reconnect_delays_follow_their_formula(case: dict[str, float]) -> None:
    """Guards the vectors, which the clients are held to."""
    delay = float(case["reconnectDelay"])
    for _ in range(int(case["attempt"])):
        delay = min(delay * 1.5, 30_000)
    assert min(delay, 30_000) * case["factor"] == pytest.approx(case["delay"])
