"""A Django project in this process, and an Odac app in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from odac.context import Context
from odac.testing import TestClient
from tests.unit.django_settings import USERS, configure

configure()  # before a module of tests imports what needs it


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    from django.core.cache import cache
    from django.db import connections

    yield
    connections.close_all()
    cache.clear()
    USERS.clear()


@pytest.fixture
def user() -> Any:
    from django.contrib.auth.models import User

    user = USERS["5"] = User(pk=5, username="Ada")
    user.set_password("secret")
    user._password = None  # as after save()
    return user


@pytest.fixture
def session(user: Any) -> str:
    """The key of a session that the user is logged in with."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.cache import SessionStore

    store = SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.save()
    return str(store.session_key)


@pytest.fixture
def client() -> Iterator[TestClient]:
    """Of a project whose route ``/me`` sends the name of the user, and whose connections are in a room."""
    from odac.contrib.django import DjangoOdac

    app = DjangoOdac()

    @app.route.ws("/me", token=False)
    async def me(odac: Context) -> None:
        user = await odac.auth.user()
        odac.ws.join("tea")
        odac.ws.send(None if user is None else user.username)

    with TestClient(app) as client:
        yield client
