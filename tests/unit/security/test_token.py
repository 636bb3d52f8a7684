from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.errors import ConfigurationError
from odac.security.secret import Secrets
from odac.security.token import Tokens

SECRETS = Secrets("a" * 32)
ALPHABET = string.ascii_letters + string.digits + "-_"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_token_is_valid_for_its_session_only() -> None:
    tokens = Tokens(SECRETS)
    token = tokens.issue("alpha")
    assert tokens.verify(token, "alpha")
    assert not tokens.verify(token, "beta")
    assert not tokens.verify(token, "")
    assert not tokens.verify(token, None)


def test_its_form_is_the_documented_one() -> None:
    clock = Clock()
    token = Tokens(SECRETS, clock=clock).issue("alpha")
    raw = base64.urlsafe_b64decode(token)
    nonce, expiry, mac = raw[:16], raw[16:22], raw[22:]
    assert int.from_bytes(expiry, "big") == clock.now + 600
    assert mac == hmac.new(SECRETS.keys("token v1")[0], b"alpha" + nonce + expiry, hashlib.sha256).digest()
    assert set(token) <= set(ALPHABET)  # a Sec-WebSocket-Protocol value: no padding


def test_two_tokens_of_one_session_differ() -> None:
    assert Tokens(SECRETS).issue("alpha") != Tokens(SECRETS).issue("alpha")


def test_it_expires() -> None:
    clock = Clock()
    tokens = Tokens(SECRETS, clock=clock)
    token = tokens.issue("alpha")
    clock.now += 599.9
    assert tokens.verify(token, "alpha")
    clock.now += 0.1
    assert not tokens.verify(token, "alpha")


def test_each_character_changed_to_each_other_one_fails() -> None:
    tokens = Tokens(SECRETS)
    token = tokens.issue("alpha")
    for at in range(len(token)):
        for character in ALPHABET + "+/=. \n\x00é":
            if character != token[at]:
                assert not tokens.verify(token[:at] + character + token[at + 1 :], "alpha"), (at, character)


def test_each_bit_of_its_bytes_flipped_fails() -> None:
    tokens = Tokens(SECRETS)
    raw = base64.urlsafe_b64decode(tokens.issue("alpha"))
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not tokens.verify(base64.urlsafe_b64encode(flipped).decode(), "alpha"), bit


def test_truncated_extended_or_spelled_otherwise_it_fails() -> None:
    tokens = Tokens(SECRETS)
    token = tokens.issue("alpha")
    for end in range(len(token)):
        assert not tokens.verify(token[:end], "alpha")
        assert not tokens.verify(token[end + 1 :], "alpha")
    for other in (token + "=", token + "\n", "\n" + token, token + token, token + "A", token + "AAAA", " " + token):
        assert not tokens.verify(other, "alpha"), other


def test_the_parts_cannot_be_shifted_into_one_another() -> None:
    """What is signed ends in two parts of fixed length, so no other session gets the same bytes signed."""
    tokens = Tokens(SECRETS)
    raw = base64.urlsafe_b64decode(tokens.issue("alphabet"))
    for cut in range(1, 8):
        session, rest = "alphabet"[:cut], "alphabet"[cut:].encode()
        shifted = base64.urlsafe_b64encode(rest + raw).decode()
        assert not tokens.verify(shifted, session)
        assert not tokens.verify(base64.urlsafe_b64encode((rest + raw[:22])[:22] + raw[22:]).decode(), session)


@given(st.one_of(st.text(), st.text(ALPHABET, min_size=72, max_size=72)))
def test_whatever_comes_it_is_refused_and_nothing_raised(token: str) -> None:
    assert not Tokens(SECRETS).verify(token, "alpha")


@given(st.text())
def test_any_session_id_will_do(session: str) -> None:
    tokens = Tokens(SECRETS)
    assert tokens.verify(tokens.issue(session), session)


def test_no_token_is_no_valid_token() -> None:
    assert not Tokens(SECRETS).verify(None, "alpha")
    assert not Tokens(SECRETS).verify("", "alpha")


def test_a_mebibyte_of_token_is_refused_by_its_length() -> None:
    assert not Tokens(SECRETS).verify("A" * 1024 * 1024, "alpha")


def test_another_secret_refuses_it_and_rotation_accepts_the_old_one() -> None:
    old, new = "a" * 32, "b" * 32
    token = Tokens(Secrets(old)).issue("alpha")
    assert not Tokens(Secrets(new)).verify(token, "alpha")
    rotated = Tokens(Secrets([new, old]))
    assert rotated.verify(token, "alpha")
    assert Tokens(Secrets(new)).verify(rotated.issue("alpha"), "alpha")


@pytest.mark.parametrize("lifetime", [0, -1, 0.5, float("inf"), float("nan"), True])
def test_a_lifetime_that_cannot_be_is_refused(lifetime: float) -> None:
    with pytest.raises(ConfigurationError, match="lifetime"):
        Tokens(SECRETS, lifetime)


def test_the_comparison_takes_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr("odac.security.token._compare", compare)
    tokens = Tokens(SECRETS)
    assert tokens.verify(tokens.issue("alpha"), "alpha")
    assert [len(one) for one, _ in compared] == [32]


def test_nothing_of_it_is_logged_or_in_a_repr(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        tokens = Tokens(SECRETS)
        token = tokens.issue("alpha")
        tokens.verify(token, "alpha")
        tokens.verify(token, "beta")
        tokens.verify(token[:-1] + "!", "alpha")
    assert caplog.records == []
    assert repr(tokens) == "<Tokens lifetime=600>"


def test_a_refused_token_can_be_told_from_an_expired_one() -> None:
    clock = Clock()
    tokens = Tokens(SECRETS, clock=clock)
    token = tokens.issue("alpha")
    assert tokens.is_current(token)
    assert not tokens.verify(token, "beta")
    clock.now += tokens.lifetime + 1
    assert not tokens.is_current(token)
    for wrong in (None, "", "x", "x" * 71 + "!"):
        assert not tokens.is_current(wrong)
