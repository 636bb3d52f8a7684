from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from odac.lifespan import Lifespan

STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
COMPLETE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]

Inner = Callable[..., Awaitable[Any]]


class Outer:
    """Notes what happens to it."""

    def __init__(self, *failures: str) -> None:
        self.seen: list[str] = []
        self._failures = failures

    async def startup(self) -> None:
        self._note("startup")

    async def shutdown(self) -> None:
        self._note("shutdown")

    def _note(self, what: str) -> None:
        self.seen.append(what)
        if what in self._failures:
            raise ValueError(f"no {what}")


async def live(outer: Outer, inner: Inner | None, state: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """One whole life: what the server is told."""
    incoming = [STARTUP, SHUTDOWN]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return incoming.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await Lifespan(outer, inner)({"type": "lifespan", "state": {} if state is None else state}, receive, send)
    return sent


async def obedient(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    scope["state"]["pool"] = 1
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def ignorant(scope: dict[str, Any], receive: Any, send: Any) -> None:
    raise AssertionError(scope["type"])


async def hasty(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})


async def failing_in_mid_life(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await hasty(scope, receive, send)
    raise ValueError("in mid-life")


async def failing_at_the_end(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await hasty(scope, receive, send)
    await receive()
    raise ValueError("at the end")


@pytest.mark.parametrize("inner", [None, obedient, ignorant, hasty], ids=lambda each: getattr(each, "__name__", "none"))
def test_a_life(inner: Inner | None) -> None:
    outer = Outer()
    state: dict[str, Any] = {}
    sent = asyncio.run(live(outer, inner, state))
    assert [message["type"] for message in sent] == COMPLETE
    assert outer.seen == ["startup", "shutdown"]
    assert state == ({"pool": 1} if inner is obedient else {})


@pytest.mark.parametrize("inner", [failing_in_mid_life, failing_at_the_end], ids=lambda each: each.__name__)
def test_an_inner_app_that_fails_after_its_start_is_logged_and_this_app_lives_on_until_the_end(
    inner: Inner, caplog: pytest.LogCaptureFixture
) -> None:
    outer = Outer()
    sent = asyncio.run(live(outer, inner))
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.failed"]
    assert sent[1]["message"] in ("in mid-life", "at the end")
    assert outer.seen == ["startup", "shutdown"]
    assert "behind http= failed" in caplog.text


def test_an_inner_app_that_cannot_start_says_why() -> None:
    async def inner(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    outer = Outer()
    assert asyncio.run(live(outer, inner)) == [{"type": "lifespan.startup.failed", "message": "no database"}]
    assert outer.seen == ["startup", "shutdown"]


def test_an_app_that_cannot_start_keeps_the_inner_one_from_starting() -> None:
    outer = Outer("startup")
    assert asyncio.run(live(outer, ignorant)) == [{"type": "lifespan.startup.failed", "message": "no startup"}]


@pytest.mark.parametrize("inner", [None, obedient], ids=lambda each: getattr(each, "__name__", "none"))
def test_a_shutdown_that_fails_is_logged_and_stopping_continues(
    inner: Inner | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        sent = asyncio.run(live(Outer("shutdown"), inner))
    assert [message["type"] for message in sent] == COMPLETE
    assert "no shutdown" in caplog.text
