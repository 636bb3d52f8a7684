"""Which running server is taken over, and what keeps one from it. Real servers are in tests/integration."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn

from odac import Limits, Odac
from odac.errors import ConfigurationError
from odac.lanes.takeover import take_over
from odac.server import WebSocketProtocol

LIMITS = Limits(max_headers=7)


async def silent(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no request is made")


class Standing(uvicorn.Server):
    """A server that stands in its serving coroutine without listening."""

    async def serve(self, sockets: Any = None) -> None:
        await asyncio.sleep(3600)


def server(**options: Any) -> uvicorn.Server:
    made = Standing(uvicorn.Config(silent, log_config=None, **options))
    made.config.load()
    return made


async def taken(*servers: uvicorn.Server, nested: bool = False) -> None:
    """Take over while these servers are suspended in tasks of the event loop."""

    async def within(each: uvicorn.Server) -> None:
        await each.serve()

    tasks = [asyncio.ensure_future(within(each) if nested else each.serve()) for each in servers]
    await asyncio.sleep(0)
    try:
        take_over(LIMITS)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def ws_class(server: uvicorn.Server) -> Any:
    return server.config.ws_protocol_class


@pytest.mark.parametrize("nested", [False, True])
def test_the_servers_of_this_event_loop_get_the_class_with_the_apps_limits(nested: bool) -> None:
    one, two, elsewhere = server(), server(), server()
    asyncio.run(taken(one, two, nested=nested))
    for each in (one, two):
        assert issubclass(ws_class(each), WebSocketProtocol)
        assert ws_class(each).limits is LIMITS
    assert not issubclass(ws_class(elsewhere), WebSocketProtocol)


def test_a_second_app_changes_nothing() -> None:
    one = server()
    asyncio.run(taken(one))
    before = ws_class(one)
    asyncio.run(taken(one))
    assert ws_class(one) is before


def test_connections_that_are_not_upgraded_yet_get_it_too() -> None:
    one = server()

    class Kept:
        ws_protocol_class = ws_class(one)

    class Other:
        ws_protocol_class = None

    kept, other = Kept(), Other()
    one.server_state.connections.update({kept, other, object()})  # type: ignore[arg-type]
    asyncio.run(taken(one))
    assert kept.ws_protocol_class is ws_class(one)
    assert other.ws_protocol_class is None


def no_connections(one: uvicorn.Server) -> None:
    one.server_state.connections = []  # type: ignore[assignment]


def another_class(one: uvicorn.Server) -> None:
    one.config.ws_protocol_class = WebSocketProtocol.__mro__[1]  # asyncio's own


def no_state(one: uvicorn.Server) -> None:
    del one.server_state


def other_arguments(one: uvicorn.Server) -> None:
    class Renamed:
        __module__ = "uvicorn.protocols.websockets.renamed"

        def __init__(self, configuration: Any) -> None: ...

    one.config.ws_protocol_class = Renamed  # type: ignore[assignment]


@pytest.mark.parametrize("spoil", [no_connections, another_class, no_state, other_arguments])
def test_a_server_of_another_make_stays_as_it_is(
    spoil: Callable[[uvicorn.Server], None], caplog: pytest.LogCaptureFixture
) -> None:
    one = server()
    spoil(one)
    before = ws_class(one)
    asyncio.run(taken(one))
    assert ws_class(one) is before
    [line] = [each for each in caplog.records if each.name == "odac.server"]
    assert line.levelno == logging.WARNING
    assert "ASGI lane" in line.getMessage()
    assert "odac run" in line.getMessage()


@pytest.mark.parametrize("version", ["0.33.9", "1.0.0", "what"])
def test_a_version_that_is_not_known_stays_as_it_is(
    version: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn, "__version__", version)
    one = server()
    asyncio.run(taken(one))
    assert not issubclass(ws_class(one), WebSocketProtocol)
    assert f"uvicorn {version}" in caplog.text


@pytest.mark.parametrize("version", ["0.34.0", "0.99.1", "0.60.0rc1"])
def test_a_version_that_has_what_is_needed_is_taken_over(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn, "__version__", version)
    one = server()
    asyncio.run(taken(one))
    assert issubclass(ws_class(one), WebSocketProtocol)


def test_nothing_happens_and_nothing_is_logged_without_a_server(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "odac"):
        asyncio.run(taken())
    assert caplog.records == []


def test_the_argument_is_checked() -> None:
    with pytest.raises(ConfigurationError, match="takeover='no'"):
        Odac(secret="x" * 40, takeover="no")  # type: ignore[arg-type]
