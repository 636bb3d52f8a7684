"""The application that ``INSTALLED_APPS`` loads."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["OdacConfig"]


class OdacConfig(AppConfig):  # type: ignore[misc]
    """Odac in a Django project: connects the signals, and adds ``runserver`` under ASGI."""

    name = "odac.contrib.django"
    label = "odac"
    verbose_name = "Odac"

    def ready(self) -> None:
        """See Django's AppConfig."""
        from django.core.checks import register

        from odac.contrib.django.checks import check_runserver
        from odac.contrib.django.signals import connect

        connect()
        register(check_runserver)
