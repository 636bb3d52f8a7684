from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.security.mac import Mac


@given(st.binary(max_size=64), st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_it_signs_as_the_standard_library_does(key: bytes, messages: list[bytes]) -> None:
    mac = Mac(key)
    for message in messages:
        assert mac.sign(message) == hmac.digest(key, message, "sha256")


def test_rfc_4231_test_case_2() -> None:
    signature = Mac(b"Jefe").sign(b"what do ya want for nothing?")
    assert signature.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def test_a_key_longer_than_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 64"):
        Mac(b"k" * 65)
