from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.security.base64url import base64url, from_base64url


@given(st.binary(max_size=100))
def test_it_is_the_standard_librarys_without_padding(data: bytes) -> None:
    encoded = base64url(data)
    assert encoded == base64.urlsafe_b64encode(data).rstrip(b"=")
    assert from_base64url(encoded) == from_base64url(encoded.decode()) == data


def test_a_length_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="base64"):
        from_base64url("abcde")
