"""What a type checker says of code that uses Odac.

mypy reads this file with all others: an ``ignore`` where it finds no error is an error itself. So each of them stands
for a mistake that it must find, and the tests show that the mistake is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import assert_type

import pytest

from odac import ConfigurationError, Context, Limits, Odac, RateLimit, RouteOptions
from odac.realtime.sent import Sent
from tests.unit.realtime.realtime_fakes import Room, run


def handler(odac: Context) -> None: ...


async def slow_handler(odac: Context) -> None: ...


def make() -> Odac:
    return Odac(secret="x" * 32)


def test_the_options_of_a_route_are_known() -> None:
    route = make().route
    same: Callable[[Context], None] = route.ws("/a", handler, token=False, max_payload=1024)
    assert same is handler
    options: RouteOptions = {"rate_limit": RateLimit(5), "overflow": "drop_oldest", "subprotocols": ["chat"]}
    route.auth.use(handler).ws("/b", **options)(slow_handler)
    with pytest.raises(ConfigurationError, match="unknown option tokn"):
        route.ws("/c", handler, tokn=False)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="must be 'close' or 'drop_oldest'"):
        route.ws("/c", handler, overflow="drop")  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="max_payload"):
        route.ws("/c", max_payload="1 MiB")(handler)  # type: ignore[call-overload]


def test_the_events_and_what_their_listeners_take_are_known() -> None:
    def data(data: object) -> None: ...
    def nothing() -> None: ...
    def end(code: int, reason: str) -> None: ...
    async def code(code: int) -> None: ...
    async def failure(error: Exception) -> None: ...

    async def test() -> None:
        ws = Room(Limits(), asyncio.get_running_loop()).connect()
        same: Callable[[object], None] = ws.on("message", data)
        assert same is data
        ws.on("message", nothing)
        ws.on("message", ws.send)
        ws.on("message", lambda data: ws.to("room").send(data))
        ws.on("close", end)
        ws.on("close")(code)
        ws.on("error", failure)
        ws.on("pong")(nothing)
        ws.off("message", data)
        with pytest.raises(ValueError, match="message, invalid, close, error, pong"):
            ws.on("mesage", data)  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="message, invalid, close, error, pong"):
            ws.off("mesage")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="needs 2 arguments"):
            ws.on("message", end)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="needs 1 arguments"):
            ws.on("pong", data)  # type: ignore[call-overload]

    run(test())


def test_whatever_sends_may_be_awaited() -> None:
    async def test() -> None:
        ws = Room(Limits(), asyncio.get_running_loop()).connect()
        assert_type(ws.to("room").send(1), Sent)
        for sent in (ws.send(1), ws.to("room").send(1), ws.to("room").send_binary(b"1"), ws.broadcast(1)):
            async with asyncio.timeout(5):
                await sent

    run(test())
