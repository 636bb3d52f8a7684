from __future__ import annotations

import logging
from typing import Any

import pytest

from odac.serving.protocols.access import AccessLog

SCOPE: dict[str, Any] = {"path": "/chat", "query_string": b"token=secret", "client": ("203.0.113.9", 1234)}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "uvicorn.access")
    return caplog


def test_an_accepted_connection_has_two_lines(lines: pytest.LogCaptureFixture) -> None:
    log = AccessLog(SCOPE)
    log.answered(101)
    log.ended(4000)
    log.ended(1006)
    assert lines.messages == [
        '203.0.113.9:1234 - "WebSocket /chat HTTP/1.1" 101',
        '203.0.113.9:1234 - "WebSocket closed /chat HTTP/1.1" 4000',
    ]


def test_a_refused_one_has_one(lines: pytest.LogCaptureFixture) -> None:
    log = AccessLog({**SCOPE, "client": None, "path": "/a\n\x1b[31m"})
    log.answered(403)
    log.answered(500)
    log.ended(1006)
    assert lines.messages == [' - "WebSocket /a\\n\\x1b[31m HTTP/1.1" 403']


def test_it_is_off_without_a_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("uvicorn.access")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", [])
    assert not AccessLog.is_on(True)
    monkeypatch.setattr(logger, "handlers", [logging.NullHandler()])
    monkeypatch.setattr(logger, "level", logging.INFO)
    monkeypatch.setattr(logger, "_cache", {})
    assert AccessLog.is_on(True)
    assert not AccessLog.is_on(False)
