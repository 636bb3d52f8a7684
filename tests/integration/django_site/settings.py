"""The project's settings; database, sessions and cache come from the environment."""

from __future__ import annotations

import json
import os

SECRET_KEY = os.environ.get("SITE_SECRET_KEY", "a secret key of the tests, long enough to be one")
SECRET_KEY_FALLBACKS = [key for key in os.environ.get("SITE_FALLBACKS", "").split("|") if key]
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.integration.django_site.urls"
ASGI_APPLICATION = "tests.integration.django_site.asgi.application"
WSGI_APPLICATION = "tests.integration.django_site.wsgi.application"
INSTALLED_APPS = [
    "odac.contrib.django",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "tests.integration.django_site",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DATABASES = {"default": json.loads(os.environ["SITE_DATABASE"])}
MIGRATION_MODULES: dict[str, None] = dict.fromkeys(["auth", "contenttypes", "sessions", "authtoken", "django_site"])
AUTH_USER_MODEL = "django_site.Person"
AUTHENTICATION_BACKENDS = ["tests.integration.django_site.backends.EmailBackend"]
SESSION_ENGINE = os.environ.get("SITE_SESSIONS", "django.contrib.sessions.backends.db")
CACHES = {
    "default": json.loads(
        os.environ.get("SITE_CACHE") or '{"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}'
    )
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
STATICFILES_DIRS = [os.path.dirname(__file__) + "/static"]  # noqa: PTH120 - as startproject writes it
USE_TZ = True
