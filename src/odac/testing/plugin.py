"""The pytest plugin: fixtures for every test suite in whose environment Odac is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from odac.testing.sync import TestClient

__all__ = ["odac_app", "odac_client"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting ``odac_app``."""
    parser.addini("odac_app", "the app that the fixture odac_client runs, such as chat:app", default="")


@pytest.fixture
def odac_app(request: pytest.FixtureRequest) -> Any:
    """The app under test: the setting ``odac_app``, unless the suite has a fixture of this name.

    Raises:
        pytest.UsageError: there is neither.
    """
    from odac.serving.loading import load_app

    target = request.config.getini("odac_app")
    if not target:
        raise pytest.UsageError(
            "odac_client has no app: set odac_app = chat:app in pytest's configuration, or write a fixture"
            " odac_app that returns it"
        )
    return load_app(target)


@pytest.fixture
def odac_client(odac_app: Any) -> Iterator[TestClient]:
    """A :class:`~odac.testing.TestClient` of the app, which runs until the end of the test."""
    with TestClient(odac_app) as client:
        yield client
