from __future__ import annotations

import ssl as ssl_module
from typing import Any

import pytest

import odac
from odac.client.options import check_subprotocols, check_types, checked_headers


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


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"X-Number": 7}, "'X-Number': name and value must be a str each, not str and int"),
        ({7: "x"}, "7: name and value must be a str each, not int and str"),
        ({"X-Bytes": b"x"}, "not str and bytes"),
        ({"X-None": None}, "not str and NoneType"),
        ([("X-A", "1")], "headers: must be a dict of names and values, not list"),
    ],
)
def test_headers_are_a_dict_of_text(headers: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        checked_headers(headers)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("chat", r"must be a list: \['chat'\]"),
        (["chat", "two words"], "'two words' must be a str without spaces"),
        ([""], "'' must be a str"),
        ([7], "7 must be a str"),
    ],
)
def test_a_subprotocol_that_is_no_token_is_refused(names: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_subprotocols(names)


def test_subprotocols_are_a_list() -> None:
    with pytest.raises(TypeError, match="subprotocols=None: must be a list of names"):
        check_subprotocols(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("auth", [7, b"token", ["token"]])
def test_auth_is_a_token_or_a_function(auth: Any) -> None:
    check_types(auth=None, token=True, ssl=None)
    check_types(auth="token", token=True, ssl=None)
    check_types(auth=lambda: "token", token=True, ssl=None)
    with pytest.raises(
        TypeError, match=f"auth=: must be a str or a function that returns one, not {type(auth).__name__}"
    ):
        check_types(auth=auth, token=True, ssl=None)


@pytest.mark.parametrize("token", ["secret", None, 0])
def test_token_is_a_bool(token: Any) -> None:
    with pytest.raises(TypeError, match=f"token=: must be True or False, not {type(token).__name__}.*given as auth="):
        odac.connect("ws://chat.example/x", token=token)


@pytest.mark.parametrize("ssl", [False, True, "cert.pem"])
def test_ssl_is_a_context(ssl: Any) -> None:
    odac.connect("wss://chat.example/x", ssl=ssl_module.create_default_context())
    with pytest.raises(TypeError, match=f"ssl=: must be an ssl.SSLContext, .*, not {type(ssl).__name__}"):
        odac.connect("wss://chat.example/x", ssl=ssl)


def test_tokens_are_subprotocols() -> None:
    check_subprotocols(["chat", "v2.example"])
