"""An app behind Odac at a handshake: whether it takes it, and whose its errors are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from odac.http.wrapped import WrappedWebSockets


async def nothing(*_: Any) -> None:
    pass


def takes(wrapped: WrappedWebSockets, path: str) -> bool:
    return asyncio.run(wrapped.takes({"type": "websocket", "path": path}, nothing, nothing))


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/receives":
        await receive()
    elif scope["path"] == "/sends":
        await send({"type": "websocket.close"})
    elif scope["path"] != "/returns":
        raise ValueError("not HTTP")


def test_an_app_that_raises_at_once_does_not_take_it() -> None:
    wrapped = WrappedWebSockets(app)
    assert [takes(wrapped, "/raises") for _ in range(2)] == [False, False]


def test_an_app_that_returns_has_said_what_it_says() -> None:
    assert takes(WrappedWebSockets(app), "/returns")


@pytest.mark.parametrize("path", ["/receives", "/sends"])
def test_the_errors_of_an_app_that_has_ever_taken_one_are_its_own(path: str) -> None:
    wrapped = WrappedWebSockets(app)
    assert takes(wrapped, path)
    with pytest.raises(ValueError, match="not HTTP"):
        takes(wrapped, "/raises")
