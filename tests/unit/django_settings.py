"""Django's settings for the unit tests: one process has them once, and needs no database server.

Sessions are in memory, users are in :data:`USERS`, and transactions are those of an empty SQLite in memory.
"""

from __future__ import annotations

from typing import Any

__all__ = ["USERS", "Backend", "configure"]

USERS: dict[str, Any] = {}


class Backend:
    """Finds the users of the tests."""

    def get_user(self, key: Any) -> Any:
        return USERS.get(str(key))


def configure() -> None:
    """Set Django up, unless it is."""
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            SECRET_KEY="a" * 50,
            MIDDLEWARE=[],
            INSTALLED_APPS=["odac.contrib.django", "django.contrib.auth", "django.contrib.contenttypes"],
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            SESSION_ENGINE="django.contrib.sessions.backends.cache",
            AUTHENTICATION_BACKENDS=[f"{__name__}.Backend"],
            PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        )
    django.setup()
