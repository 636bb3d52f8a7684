"""The checks that Odac adds to ``manage.py check``."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Warning  # noqa: A004 - Django's name
from django.core.management import get_commands

__all__ = ["check_runserver"]


def check_runserver(app_configs: Any, **options: Any) -> list[CheckMessage]:
    """Warn where ``manage.py runserver`` is one of Django's own, which serves no WebSockets."""
    if get_commands()["runserver"] not in ("django.core", "django.contrib.staticfiles"):
        return []
    return [
        Warning(
            "manage.py runserver is Django's own, which serves no WebSockets and nothing below /odac.",
            hint="In INSTALLED_APPS, put 'odac.contrib.django' before 'django.contrib.staticfiles'.",
            id="odac.W001",
        )
    ]
