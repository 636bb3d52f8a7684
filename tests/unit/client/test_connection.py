"""What ``odac.connect`` refuses before it connects."""

from __future__ import annotations

from typing import Any

import pytest

import odac

URL = "ws://127.0.0.1:1/chat"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"subprotocols": "chat"}, r"must be a list: \['chat'\]"),
        ({"subprotocols": ["chat", "two words"]}, "'two words' has characters"),
        ({"headers": {"X-Trace": "a\r\nCookie: b"}}, "'X-Trace' has a name or value"),
        ({"headers": {"Cookie": "a=b"}}, "give cookies with cookies="),
        ({"reconnect_delay": -1}, "reconnect_delay"),
        ({"prefix": "odac"}, "must begin with a slash"),
    ],
)
def test_what_cannot_work_is_told_at_once(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        odac.connect(URL, **options)


def test_nothing_begins_before_it_is_asked_for() -> None:
    """No event loop runs here."""
    connection = odac.connect(URL)
    connection.on("message", print)
    assert connection.state is odac.ReadyState.CONNECTING
    assert not connection.connected
