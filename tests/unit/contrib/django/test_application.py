from __future__ import annotations

import pytest
from django.conf import settings
from django.test.utils import override_settings

from odac.contrib.django.application import DjangoOdac, broker_url, running, secrets
from odac.errors import ConfigurationError
from odac.testing import TestClient


def test_only_an_app_that_serves_is_running() -> None:
    app = DjangoOdac()
    assert running() is None
    with TestClient(app):
        assert running() is app
    assert running() is None


def test_the_projects_keys_are_the_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ODAC_SECRET", raising=False)
    monkeypatch.setenv("ODAC_WORKERS_SECRET", "w" * 43)  # as in a worker of a server without $ODAC_SECRET
    with override_settings(SECRET_KEY_FALLBACKS=["b" * 50]):
        assert secrets() == [settings.SECRET_KEY, "b" * 50]
    with override_settings(SECRET_KEY="short"), pytest.raises(ConfigurationError, match="fewer than 16 characters"):
        secrets()
    monkeypatch.setenv("ODAC_SECRET", "c" * 32)
    assert secrets() is None


def test_the_setting_names_the_broker_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ODAC_BROKER", raising=False)
    assert broker_url() is None
    monkeypatch.setenv("ODAC_BROKER", "redis://environment")
    assert broker_url() == "redis://environment"
    with override_settings(ODAC_BROKER="redis://setting"):
        assert broker_url() == "redis://setting"
