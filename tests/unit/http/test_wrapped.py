"""An app behind Odac at a handshake: whether it takes it, and whose its errors are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from odac.http.wrapped import WrappedWebSockets


async def nothing(*_: Any) -> None:
    pass


def wrapped_app() -> WrappedWebSockets:
    return WrappedWebSockets(app, lambda scope, without_reason: None)


def takes(wrapped: WrappedWebSockets, path: str) -> bool:
    return asyncio.run(wrapped.serve({"type": "websocket", "path": path}, nothing, nothing))


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/receives":
        await receive()
    elif scope["path"] == "/sends":
        await send({"type": "websocket.close"})
    elif scope["path"] != "/returns":
        raise ValueError("not HTTP")


def test_an_app_that_raises_at_once_does_not_take_it() -> None:
    wrapped = wrapped_app()
    assert [takes(wrapped, "/raises") for _ in range(2)] == [False, False]


def test_an_app_that_returns_has_said_what_it_says() -> None:
    assert takes(wrapped_app(), "/returns")


@pytest.mark.parametrize("path", ["/receives", "/sends"])
def test_the_errors_of_an_app_that_has_ever_taken_one_are_its_own(path: str) -> None:
    wrapped = wrapped_app()
    assert takes(wrapped, path)
    with pytest.raises(ValueError, match="not HTTP"):
        takes(wrapped, "/raises")


@pytest.mark.parametrize(
    ("first", "is_refusal"),
    [("websocket.close", True), ("websocket.http.response.start", True), ("websocket.accept", False)],
)
def test_a_refusal_is_noticed_by_the_first_message(first: str, is_refusal: bool) -> None:
    async def answering(scope: Any, receive: Any, send: Any) -> None:
        for kind in (first, "websocket.close"):
            await send({"type": kind})

    told: list[Any] = []
    wrapped = WrappedWebSockets(answering, lambda scope, without_reason: told.append(scope))
    assert takes(wrapped, "/first")
    assert takes(wrapped, "/second"), "an app that is known to take WebSockets is watched as well"
    assert [scope["path"] for scope in told] == (["/first", "/second"] if is_refusal else [])


@pytest.mark.parametrize(
    ("refusal", "without_reason"),
    [
        ({"type": "websocket.close"}, True),
        ({"type": "websocket.close", "code": 1000, "reason": ""}, True),
        ({"type": "websocket.close", "code": 1008}, False),
        ({"type": "websocket.close", "reason": "full"}, False),
        ({"type": "websocket.http.response.start", "status": 403, "headers": []}, False),
    ],
)
def test_a_refusal_with_a_reason_is_told_from_one_without(refusal: dict[str, Any], without_reason: bool) -> None:
    async def refusing(scope: Any, receive: Any, send: Any) -> None:
        await send(refusal)

    told: list[bool] = []
    takes(WrappedWebSockets(refusing, lambda scope, without_reason: told.append(without_reason)), "/")
    assert told == [without_reason]
