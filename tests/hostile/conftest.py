"""Fixtures for the tests of hostile input."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from tests.hostile.links import close_all
from tests.hostile.served import LANES


@pytest.fixture(params=LANES)
def lane(request: pytest.FixtureRequest) -> str:
    """The name of a lane."""
    name: str = request.param
    return name


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The lines that Odac has logged so far, without those of the server under it."""
    caplog.set_level(logging.INFO, "odac")
    return lambda: [record.getMessage() for record in caplog.records if record.name.startswith("odac")]


@pytest.fixture(autouse=True)
def _no_links_left() -> Iterator[None]:
    yield
    close_all()
