from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from odac.serving.log import configure_logging

NAMES = ("odac", "uvicorn", "uvicorn.error", "uvicorn.access")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(each.level, each.handlers[:], each.propagate) for each in loggers]
    yield
    for each, (level, handlers, propagate) in zip(loggers, before, strict=True):
        each.setLevel(level)
        each.handlers[:] = handlers
        each.propagate = propagate


def test_odac_and_uvicorn_log_from_the_level_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("warning")
    logging.getLogger("odac.server").info("unseen")
    logging.getLogger("odac.server").warning("seen")
    logging.getLogger("uvicorn.error").warning("seen too")
    logging.getLogger("uvicorn.access").info("%s", "unseen")
    assert capsys.readouterr().err.split() == ["WARNING:", "seen", "WARNING:", "seen", "too"]


def test_the_access_log_is_seen_whatever_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("error", access_log=True)
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "1.2.3.4:5", "GET", "/", "1.1", 200)
    assert '1.2.3.4:5 "GET / HTTP/1.1" 200' in capsys.readouterr().err


def test_workers_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", name_process=True)
    logging.getLogger("odac").info("here")
    said = capsys.readouterr().err
    assert said.split()[0] == "INFO:"
    assert said.split()[1].strip("[]").isdecimal()
