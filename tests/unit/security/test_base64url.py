from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.security.base64url import reference_base64url, reference_from_base64url


@pytest.fixture(params=["reference", "compiled"], scope="module")
def functions(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    if request.param == "reference":
        return reference_base64url, reference_from_base64url
    compiled = pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler")
    return compiled.base64url, compiled.from_base64url


@given(data=st.binary(max_size=100))
def test_it_is_the_standard_librarys_without_padding(functions: tuple[Any, Any], data: bytes) -> None:
    encode, decode = functions
    encoded = encode(data)
    assert encoded == base64.urlsafe_b64encode(data).rstrip(b"=")
    assert decode(encoded) == decode(encoded.decode()) == data


@pytest.mark.parametrize(
    "text", ["abcde", "a", "ab+c", "ab/c", "YQ==", "ab c", "abc\n", "abc\0", "ab\u00e9c", "ab\udc80c"]
)
def test_other_text_is_refused(functions: tuple[Any, Any], text: str) -> None:
    _, decode = functions
    with pytest.raises(ValueError, match=r".+"):
        decode(text)
    with pytest.raises(ValueError, match=r".+"):
        decode(text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=40) | st.text("ABCabc019-_+/= ", max_size=20).map(str.encode))
def test_the_compiled_function_decodes_what_the_reference_does(text: bytes) -> None:
    compiled = pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").from_base64url
    try:
        expected = reference_from_base64url(text)
    except ValueError:
        with pytest.raises(ValueError, match=r".+"):
            compiled(text)
    else:
        assert compiled(text) == expected


def test_the_compiled_functions_take_nothing_else() -> None:
    compiled = pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler")
    with pytest.raises(TypeError, match="bytes"):
        compiled.base64url("text")
    with pytest.raises(TypeError, match="bytes"):
        compiled.from_base64url(bytearray(b"abcd"))
