"""What ``odac.connect`` refuses before it connects, and what it hands on."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import odac
from odac.client.connection import ClientConnection
from odac.client.opening import connect

URL = "ws://127.0.0.1:1/chat"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"subprotocols": "chat"}, r"must be a list: \['chat'\]"),
        ({"headers": {"Cookie": "a=b"}}, "give cookies with cookies="),
        ({"reconnect_delay": -1}, "reconnect_delay"),
        ({"prefix": "odac"}, "must begin with a slash"),
        ({"prefix": None}, "must begin with a slash"),
    ],
)
def test_invalid_arguments_raise_at_once(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        odac.connect(URL, **options)


def test_it_takes_what_a_connection_takes_but_for_the_tests_own_means() -> None:
    taken = dict(inspect.signature(connect).parameters)
    own = dict(inspect.signature(ClientConnection).parameters)
    assert set(own) - set(taken) == {"clock", "random", "dial", "get"}
    assert {name: each.default for name, each in taken.items()} == {name: own[name].default for name in taken}
