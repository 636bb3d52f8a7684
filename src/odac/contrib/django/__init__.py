"""Odac inside a Django project: its users, its database, its transactions.

Add ``"odac.contrib.django"`` to ``INSTALLED_APPS`` and, in ``asgi.py``::

    from odac.contrib.django import DjangoOdac

    application = DjangoOdac()

Each name is imported when it is first used, because Django's models need its settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odac.contrib.django.application import DjangoOdac
    from odac.contrib.django.authentication import authenticate
    from odac.contrib.django.database import database_sync_to_async
    from odac.contrib.django.publishing import publisher

__all__ = ["DjangoOdac", "authenticate", "database_sync_to_async", "publisher"]

_MODULES = {
    "DjangoOdac": "odac.contrib.django.application",
    "authenticate": "odac.contrib.django.authentication",
    "database_sync_to_async": "odac.contrib.django.database",
    "publisher": "odac.contrib.django.publishing",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'odac.contrib.django' has no attribute {name!r}")
