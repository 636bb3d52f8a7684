"""A connection before it is opened; the tests of sessions, calls and events open it."""

from __future__ import annotations

import odac

URL = "ws://127.0.0.1:1/chat"


def test_nothing_begins_before_it_is_asked_for() -> None:
    """No event loop runs here."""
    connection = odac.connect(URL)
    connection.on("message", print)
    assert connection.state is odac.ReadyState.CONNECTING
    assert not connection.connected
