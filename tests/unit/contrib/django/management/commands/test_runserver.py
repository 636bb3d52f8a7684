from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test.utils import override_settings

from odac.contrib.django.management.commands import runserver
from odac.errors import ConfigurationError


def run(*arguments: str, application: str | None = "shop.asgi.application") -> None:
    with override_settings(ASGI_APPLICATION=application):
        call_command(runserver.Command(stdout=StringIO()), *arguments)


def test_it_serves_the_projects_asgi_application(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(runserver, "run_app", lambda app, **options: served.append((app, options)))
    run("0:8123", "--noreload")
    run()
    assert served == [
        ("shop.asgi:application", {"exiting": True, "host": "0.0.0.0", "port": 8123, "reload": False}),
        ("shop.asgi:application", {"exiting": True, "host": "127.0.0.1", "port": 8000, "reload": True}),
    ]


def test_a_project_without_an_asgi_application_is_an_error() -> None:
    with pytest.raises(CommandError, match="Set ASGI_APPLICATION"):
        run("--noreload", application=None)


def test_what_keeps_odac_from_starting_is_the_commands_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(app: str, **options: Any) -> None:
        raise ConfigurationError("the port is taken")

    monkeypatch.setattr(runserver, "run_app", fail)
    with pytest.raises(CommandError, match="the port is taken"):
        run("--noreload")
