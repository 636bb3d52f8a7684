from __future__ import annotations

import asyncio
from typing import Any

import pytest

from odac.http.answers import not_found, refuse_handshake, upgrade_required


def answer(app: Any, scope: dict[str, Any], *arguments: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is to be read")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({"method": "GET", "path": "/chat", "headers": [], **scope}, receive, send, *arguments))
    return sent


def test_a_request_to_a_websocket_route_is_told_so() -> None:
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


def test_a_handshake_is_refused_with_a_sentence_where_the_server_can() -> None:
    scope = {"type": "websocket", "extensions": {"websocket.http.response": {}}}
    start, body = answer(refuse_handshake, scope, 503, "Too many connections.", [("Retry-After", "5")])
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 503)
    assert (b"retry-after", b"5") in start["headers"]
    assert (body["type"], body["body"]) == ("websocket.http.response.body", b"Too many connections.\n")


@pytest.mark.parametrize("extensions", [{}, {"extensions": {}}, {"extensions": None}])
def test_elsewhere_it_is_refused_bare(extensions: dict[str, Any]) -> None:
    sent = answer(refuse_handshake, {"type": "websocket", **extensions}, 403, "Not from there.")
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": ""}]
