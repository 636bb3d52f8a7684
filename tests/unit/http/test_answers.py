from __future__ import annotations

import asyncio
from typing import Any

import pytest

from odac.http.answers import not_found, upgrade_required


def answer(app: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is to be read")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({"method": "GET", "path": "/chat", "headers": [], **scope}, receive, send))
    return sent


def test_a_request_to_a_websocket_route_is_answered_with_the_reason() -> None:
    start, body = answer(upgrade_required, {"type": "http", "http_version": "1.1"})
    headers = dict(start["headers"])
    assert start["status"] == 426
    assert headers[b"upgrade"] == b"websocket"
    assert headers[b"connection"] == b"Upgrade"
    assert b"This is a WebSocket endpoint" in body["body"]


@pytest.mark.parametrize("version", ["2", "3"])
def test_http_2_gets_no_connection_headers(version: str) -> None:
    start, _ = answer(upgrade_required, {"type": "http", "http_version": version})
    assert not {b"upgrade", b"connection"} & dict(start["headers"]).keys()


def test_nothing_is_found_in_a_sentence_that_does_not_repeat_the_address() -> None:
    start, body = answer(not_found, {"type": "http", "path": "/<script>"})
    assert start["status"] == 404
    assert dict(start["headers"])[b"content-type"].startswith(b"text/plain")
    assert b"script" not in body["body"]
