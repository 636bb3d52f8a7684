from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from odac.close_codes import CloseCode
from odac.context import Context
from odac.errors import Disconnected
from odac.realtime.phase import Phase
from odac.routing.admission import Admission
from odac.routing.verdict import passes


class Socket:
    """A connection that notes how it is closed."""

    def __init__(self) -> None:
        self.is_open = True
        self.phase = Phase.ADMITTING
        self.policy = SimpleNamespace(path="/chat")
        self.closed: list[tuple[int, str]] = []

    def begin_close(self, code: int, reason: str) -> None:
        self.is_open = False
        self.closed.append((int(code), reason))


class Waits:
    """An admission that counts how often its deadline is started."""

    def __init__(self) -> None:
        self.started = 0

    async def start_deadline(self) -> None:
        self.started += 1


def ask(function: Any) -> tuple[bool, list[tuple[int, str]], int]:
    socket, waits = Socket(), Waits()
    context = cast("Context[Any, Any]", SimpleNamespace(ws=socket))
    passed = asyncio.run(passes("check", function, context, cast("Admission", waits)))
    return passed, socket.closed, waits.started


async def later(verdict: Any) -> Any:
    await asyncio.sleep(0)
    return verdict


@pytest.mark.parametrize(
    ("verdict", "passed", "closed"),
    [
        (None, True, []),
        (True, True, []),
        (False, False, [(CloseCode.FORBIDDEN, "Forbidden")]),
        ("no seat left", False, [(CloseCode.MIDDLEWARE_REJECTED, "no seat left")]),
        ("é" * 100, False, [(CloseCode.MIDDLEWARE_REJECTED, "é" * 60 + "…")]),
        ("", False, [(CloseCode.MIDDLEWARE_REJECTED, "Rejected")]),
        (0, False, [(CloseCode.MIDDLEWARE_REJECTED, "Rejected")]),
        (1, False, [(CloseCode.MIDDLEWARE_REJECTED, "Rejected")]),
    ],
)
def test_each_verdict(verdict: Any, passed: bool, closed: list[tuple[int, str]]) -> None:
    assert ask(lambda context: verdict) == (passed, closed, 0)
    assert ask(lambda context: later(verdict)) == (passed, closed, 1)


def test_an_exception_closes_with_1011_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken(context: Any) -> None:
        raise LookupError("a mistake")

    with caplog.at_level(logging.ERROR):
        assert ask(broken) == (False, [(CloseCode.INTERNAL_ERROR, "internal error")], 0)
    assert [record.getMessage() for record in caplog.records] == [
        "/chat: the middleware 'check' raised; its connection is closed with 1011"
    ]


def test_an_exception_after_the_end_closes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(context: Any) -> None:
        context.ws.phase = Phase.CLOSED
        raise LookupError("a mistake")

    with caplog.at_level(logging.ERROR):
        ask(broken)
    assert caplog.records[0].getMessage() == "/chat: the middleware 'check' raised after its connection had ended"


def test_a_middleware_that_closes_by_itself_has_refused() -> None:
    def closing(context: Any) -> bool:
        context.ws.begin_close(4321, "mine")
        return True

    assert ask(closing) == (False, [(4321, "mine")], 0)


def test_using_a_connection_that_has_ended_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    def asks(context: Any) -> None:
        context.ws.phase = Phase.CLOSED
        raise Disconnected(1006, "")

    assert ask(asks) == (False, [], 0)
    assert caplog.records == []
