from __future__ import annotations

from typing import Any

import pytest

from odac.client.address import Address


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("ws://example.com", (False, "example.com", 80, "/", "example.com")),
        (
            "ws://example.com:8000/chat?room=a&x=%20",
            (False, "example.com", 8000, "/chat?room=a&x=%20", "example.com:8000"),
        ),
        ("wss://example.com/chat", (True, "example.com", 443, "/chat", "example.com")),
        ("wss://example.com:80/", (True, "example.com", 80, "/", "example.com:80")),
        ("ws://[::1]:8000/chat", (False, "::1", 8000, "/chat", "[::1]:8000")),
        ("WS://Example.COM/Chat", (False, "example.com", 80, "/Chat", "example.com")),
        ("ws://h/raum/ä b", (False, "h", 80, "/raum/%C3%A4%20b", "h")),
        ("ws://bücher.example/", (False, "xn--bcher-kva.example", 80, "/", "xn--bcher-kva.example")),
    ],
)
def test_the_parts_of_a_url(url: str, parts: tuple[bool, str, int, str, str]) -> None:
    address = Address.parse(url)
    assert (address.secure, address.host, address.port, address.target, address.authority) == parts
    assert Address.parse(address.url) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/chat",
        "http://example.com/chat",
        "ws:///chat",
        "ws://",
        "ws://u:p@example.com/",
        "ws://example.com/#top",
        "ws://h:99999/",
        "ws://h:x/",
        "ws://h:0/",
        "wss://[::1]:00",
        "ws://[::1/",
        None,
        7,
        b"ws://example.com",
    ],
)
def test_what_is_no_websocket_url(url: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a WebSocket URL: |a WebSocket URL has neither"):
        Address.parse(url)


def test_a_query_is_not_shown() -> None:
    assert str(Address.parse("wss://example.com/chat?ticket=secret")) == "wss://example.com/chat"
    with pytest.raises(ValueError, match="user name") as caught:
        Address.parse("ws://me:secret@example.com/")
    assert "secret" not in str(caught.value)


def test_a_line_break_does_not_reach_the_request() -> None:
    assert "\r" not in Address.parse("ws://h/a\r\nX: y").target
