"""The Odac app of a Django project."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.asgi import get_asgi_application

from odac.app import Odac
from odac.contrib.django.authentication import authenticator
from odac.contrib.django.database import close_broken_connections
from odac.errors import ConfigurationError
from odac.security.secret import environment_secrets

__all__ = ["DjangoOdac", "broker_url", "running", "secrets"]

_CHECK_EVERY = 2.0
"""Seconds after which a database connection that has failed is replaced, for the asynchronous ORM in handlers."""

_apps: list[DjangoOdac] = []


class DjangoOdac(Odac):
    """An :class:`odac.Odac` around the project's own ASGI application, which authenticates the project's users.

    Args:
        http: the ASGI application that answers HTTP; default: Django's ``get_asgi_application()``, with static files
            while ``DEBUG`` is on.
        secret: default: ``$ODAC_SECRET``, else Django's ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS``.
        broker: default: the setting ``ODAC_BROKER``, else ``$ODAC_BROKER``.
        rest_framework: authentication classes of Django REST framework, for clients without a session, such as
            ``[TokenAuthentication]``.
        **options: of :class:`odac.Odac`.

    Raises:
        ConfigurationError: an argument or a setting cannot work; the message names the fix.
    """

    def __init__(
        self,
        http: Callable[..., Any] | None = None,
        *,
        secret: Any = None,
        broker: str | None = None,
        rest_framework: Collection[Any] = (),
        **options: Any,
    ) -> None:
        application = get_asgi_application()  # first, because it sets Django up
        super().__init__(
            secret if secret is not None else secrets(),
            http=http if http is not None else _with_static_files(application),
            broker=broker or broker_url(),
            **options,
        )
        self.authenticate(authenticator(rest_framework))
        self._checking: asyncio.Task[None] | None = None
        _apps[:] = [self]

    async def startup(self) -> None:
        """See :meth:`odac.Odac.startup`."""
        await super().startup()
        if self._checking is None or self._checking.get_loop() is not asyncio.get_running_loop():
            self._checking = asyncio.get_running_loop().create_task(
                self._check_database_connections(), name="odac: database connections"
            )

    async def shutdown(self) -> None:
        """See :meth:`odac.Odac.shutdown`."""
        checking, self._checking = self._checking, None
        if checking is not None and checking.get_loop() is asyncio.get_running_loop():
            checking.cancel()
            await asyncio.wait([checking])
        await super().shutdown()

    async def _check_database_connections(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_EVERY)
            await sync_to_async(close_broken_connections)()


def running() -> DjangoOdac | None:
    """The app, if this process serves it; None under WSGI, in a management command, in a Celery worker."""
    return next((app for app in _apps if app.is_running), None)


def secrets() -> Any:
    """Django's ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS``; None if ``$ODAC_SECRET`` is set, which takes precedence.

    Raises:
        ConfigurationError: one of them is too short.
    """
    if environment_secrets(os.environ):
        return None
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    if any(len(key) < 16 for key in keys):
        raise ConfigurationError(
            "Django's SECRET_KEY, or one of SECRET_KEY_FALLBACKS, has fewer than 16 characters: set a longer one, or"
            " $ODAC_SECRET"
        )
    return keys


def broker_url() -> str | None:
    """The setting ``ODAC_BROKER``, else ``$ODAC_BROKER``, else None."""
    return getattr(settings, "ODAC_BROKER", None) or os.environ.get("ODAC_BROKER")


def _with_static_files(application: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap Django's application so that it serves static files while ``DEBUG`` is on, as ``runserver`` does."""
    if not settings.DEBUG or "django.contrib.staticfiles" not in settings.INSTALLED_APPS:
        return application
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

    handler: Callable[..., Any] = ASGIStaticFilesHandler(application)
    return handler
