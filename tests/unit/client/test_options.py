from __future__ import annotations

from typing import Any

import pytest

from odac.client.options import check_subprotocols, checked_headers


def test_headers_are_given_back_in_order() -> None:
    assert checked_headers(None) == ()
    assert checked_headers({"X-B": "2", "X-A": "1"}) == (("X-B", "2"), ("X-A", "1"))


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"X-Trace": "a\r\nCookie: b"}, "'X-Trace' has a name or value"),
        ({"X Trace": "a"}, "'X Trace' has a name or value"),
        ({"X-Trace": "a\0"}, "'X-Trace' has a name or value"),
        ({"X-Name": "Zoë €"}, "encode what is not ASCII"),
        ({"X-Name": "\x7f"}, "'X-Name' has a name or value"),
        ({"X-Name": "a\x1bb"}, "'X-Name' has a name or value"),
        ({"Cookie": "a=b"}, "give cookies with cookies="),
        ({"cookie": "a=b"}, "give cookies with cookies="),
    ],
)
def test_a_header_that_http_cannot_carry_is_refused(headers: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked_headers(headers)


@pytest.mark.parametrize("headers", [{"X-Number": 7}, {7: "x"}, {"X-Bytes": b"x"}, {"X-None": None}])
def test_a_header_is_text(headers: Any) -> None:
    with pytest.raises(TypeError, match="must be a str"):
        checked_headers(headers)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("chat", r"must be a list: \['chat'\]"),
        (["chat", "two words"], "'two words' has characters"),
        ([""], "'' has characters"),
        ([7], "7 has characters"),
    ],
)
def test_a_subprotocol_that_is_no_token_is_refused(names: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_subprotocols(names)


def test_tokens_are_subprotocols() -> None:
    check_subprotocols(["chat", "v2.example"])
