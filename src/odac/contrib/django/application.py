"""The Odac app of a Django project."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
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

_LOOK_EVERY = 2.0
"""Seconds after which a database connection that has failed is replaced, for the asynchronous ORM in handlers."""

_apps: list[DjangoOdac] = []


class DjangoOdac(Odac):
    """An :class:`odac.Odac` around the project's own ASGI application, which knows the project's users.

    Args:
        http: what answers HTTP; default: Django's ``get_asgi_application()``, with its static files while ``DEBUG`` is
            on.
        secret: default: ``$ODAC_SECRET``, else Django's ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS``.
        broker: default: the setting ``ODAC_BROKER``, else ``$ODAC_BROKER``.
        rest_framework: authentication classes of Django REST framework for clients without a session, such as
            ``[TokenAuthentication]``.
        **options: of :class:`odac.Odac`.

    Raises:
        ConfigurationError: an argument cannot work; the message names the fix.
    """

    def __init__(
        self,
        http: Callable[..., Any] | None = None,
        *,
        secret: Any = None,
        broker: str | None = None,
        rest_framework: Iterable[Any] = (),
        **options: Any,
    ) -> None:
        application = get_asgi_application()  # sets Django up, which all that follows needs
        super().__init__(
            secret if secret is not None else secrets(),
            http=http if http is not None else _with_static_files(application),
            broker=broker or broker_url(),
            **options,
        )
        self.authenticate(authenticator(rest_framework))
        self._looking: asyncio.Task[None] | None = None
        _apps[:] = [self]

    async def startup(self) -> None:
        """See :meth:`odac.Odac.startup`."""
        await super().startup()
        if self._looking is None or self._looking.get_loop() is not asyncio.get_running_loop():
            self._looking = asyncio.get_running_loop().create_task(self._look(), name="odac: database connections")

    async def shutdown(self) -> None:
        """See :meth:`odac.Odac.shutdown`."""
        looking, self._looking = self._looking, None
        if looking is not None and looking.get_loop() is asyncio.get_running_loop():
            looking.cancel()
            await asyncio.wait([looking])
        await super().shutdown()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            await sync_to_async(close_broken_connections)()


def running() -> DjangoOdac | None:
    """The app of this process, if it serves; None under WSGI, in a management command, in a Celery worker."""
    return next((app for app in _apps if app.is_running), None)


def secrets() -> Any:
    """The secrets of the project: None where ``$ODAC_SECRET`` has them.

    Raises:
        ConfigurationError: ``SECRET_KEY`` is too short.
    """
    if environment_secrets(os.environ):
        return None
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    if any(len(key) < 16 for key in keys):
        raise ConfigurationError("Django's SECRET_KEY has fewer than 16 characters: set a longer one, or $ODAC_SECRET")
    return keys


def broker_url() -> str | None:
    """The setting ``ODAC_BROKER``, else ``$ODAC_BROKER``, else None."""
    return getattr(settings, "ODAC_BROKER", None) or os.environ.get("ODAC_BROKER")


def _with_static_files(application: Callable[..., Any]) -> Callable[..., Any]:
    """Serve the apps' static files in development, as ``runserver`` does under WSGI."""
    if not settings.DEBUG or "django.contrib.staticfiles" not in settings.INSTALLED_APPS:
        return application
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

    handler: Callable[..., Any] = ASGIStaticFilesHandler(application)
    return handler
