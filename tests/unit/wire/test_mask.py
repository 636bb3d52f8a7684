from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.wire.mask import apply_mask


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4), st.integers(0, 20))
def test_each_byte_is_xored_with_its_turn_of_the_mask(data: bytes, mask: bytes, start: int) -> None:
    expected = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
    assert apply_mask(data, mask) == expected
    assert apply_mask(apply_mask(data, mask), mask) == data
    # A view that begins anywhere: the bytes need not lie at an address that suits the machine's words.
    shifted = memoryview(b"x" * start + data)[start:]
    assert apply_mask(shifted, bytearray(mask)) == expected


@pytest.mark.parametrize("mask", [b"", b"abc", b"abcde"])
def test_a_mask_has_four_bytes(mask: bytes) -> None:
    with pytest.raises(ValueError, match="4 bytes"):
        apply_mask(b"data", mask)


def test_what_is_no_bytes_is_refused() -> None:
    with pytest.raises(TypeError):
        apply_mask("text", b"abcd")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        apply_mask(b"data", "text")  # type: ignore[arg-type]


def test_without_the_accelerator_another_library_does_it() -> None:
    program = (
        "from odac.wire.mask import apply_mask; print(apply_mask.__module__, apply_mask(b'abcde', b'\\0\\1\\0\\1'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "ODAC_SPEEDUPS": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    module, result = done.stdout.split()
    assert module.startswith("websocket")
    assert result == "b'accee'"
