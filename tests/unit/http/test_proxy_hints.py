from __future__ import annotations

from typing import Any

import pytest

from odac.http.proxy_hints import altered_handshake, doubled_root_path

KEY = (b"sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA==")
UPGRADE = (b"upgrade", b"WebSocket")
CONNECTION = (b"connection", b"keep-alive, Upgrade")


def scope(*headers: tuple[bytes, bytes], version: str = "1.1") -> dict[str, Any]:
    return {"type": "http", "http_version": version, "headers": list(headers)}


@pytest.mark.parametrize(
    ("headers", "version", "expected"),
    [
        ([KEY], "1.1", "without Upgrade and Connection"),
        ([KEY, CONNECTION], "1.1", "without Upgrade:"),
        ([KEY, UPGRADE], "1.1", "without Connection:"),
        ([KEY, UPGRADE, (b"connection", b"close")], "1.1", "without Connection:"),
        ([KEY, UPGRADE, CONNECTION], "1.0", "proxy_http_version 1.1"),
    ],
)
def test_a_handshake_that_lost_something_is_named(
    headers: list[tuple[bytes, bytes]], version: str, expected: str
) -> None:
    assert expected in str(altered_handshake(scope(*headers, version=version)))


def test_other_requests_are_not() -> None:
    assert altered_handshake(scope()) is None
    assert altered_handshake(scope(UPGRADE, CONNECTION, version="1.0")) is None


def test_a_root_path_that_comes_twice_is_named() -> None:
    assert "--root-path" in str(doubled_root_path({"root_path": "/live", "path": "/live/live/chat"}))
    assert doubled_root_path({"root_path": "/live", "path": "/live/lively"}) is None
    assert doubled_root_path({"root_path": "", "path": "//chat"}) is None
