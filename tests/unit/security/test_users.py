from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils.functional import SimpleLazyObject
from starlette.authentication import AuthCredentials, SimpleUser, UnauthenticatedUser

from odac.security.users import authenticated, expiry, identify
from tests.ids import stable


class AnonymousUser:
    """As Django's, whose own needs settings."""

    id = None
    pk = None
    is_authenticated = False

    def __str__(self) -> str:
        return "AnonymousUser"


class Falsy:
    id = 7
    is_authenticated = True

    def __bool__(self) -> bool:
        return False


class ByMethod:
    def __init__(self, answer: bool) -> None:
        self.answer = answer

    def is_authenticated(self) -> bool:
        return self.answer


class ByCoroutine:
    async def is_authenticated(self) -> bool:
        return False


NOBODY = {
    "none": None,
    "false": False,
    "empty-str": "",
    "zero": 0,
    "empty-bytes": b"",
    "empty-dict": {},
    "empty-tuple": (),
    "falsy": Falsy(),
    "django": AnonymousUser(),
    "django-lazy": SimpleLazyObject(AnonymousUser),
    "starlette": UnauthenticatedUser(),
    "namespace": SimpleNamespace(id=7, is_authenticated=False),
    "method": ByMethod(False),
    "mapping": {"id": 7, "is_authenticated": False},
}


@pytest.mark.parametrize("value", NOBODY.values(), ids=NOBODY)
def test_what_is_no_user(value: Any) -> None:
    assert authenticated(value) is None


@pytest.mark.parametrize(
    "user",
    [
        True,
        7,
        "ada",
        {"id": 7},
        {"id": 7, "is_authenticated": True},
        (7, "Ada"),
        SimpleUser("ada"),
        ByMethod(True),
        object(),
    ],
    ids=stable,
)
def test_what_is_one(user: Any) -> None:
    assert authenticated(user) is user


async def find() -> Any:
    return {"id": 7}


async def find_each() -> Any:
    yield {"id": 7}


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "coroutine": (find, "await"),
    "function": (lambda: find, "called"),
    "method": (lambda: SimpleUser("ada").__repr__, "called"),
    "class": (lambda: SimpleUser, "called"),
    "generator": (lambda: (each for each in [7]), "yield"),
    "async-generator": (find_each, "yield"),
    "exception": (lambda: PermissionError("no"), "raise it"),
    "starlette-pair": (lambda: (AuthCredentials(), UnauthenticatedUser()), "alone"),
    "rest-framework-pair": (lambda: (SimpleUser("ada"), None), "alone"),
    "async-is_authenticated": (ByCoroutine, "async"),
}


@pytest.mark.parametrize(("make", "why"), MISTAKES.values(), ids=MISTAKES)
def test_what_can_only_be_a_mistake_is_an_error(make: Callable[[], Any], why: str) -> None:
    with pytest.raises(TypeError, match=why):
        authenticated(make())


def test_a_future_is_left_to_its_owner() -> None:
    async def go() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with pytest.raises(TypeError, match="await"):
            authenticated(future)
        assert not future.cancelled()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("user", "identity"),
    [
        (None, None),
        (True, None),
        (7, 7),
        ("ada", "ada"),
        ({"id": None, "pk": 8}, 8),
        ({"sub": "248289761001"}, "248289761001"),
        ({"name": "ada"}, None),
        (SimpleNamespace(id=None, pk=5), 5),
        (AnonymousUser(), None),
        (object(), None),
    ],
    ids=stable,
)
def test_what_identifies_a_user(user: Any, identity: Any) -> None:
    assert identify(user) == identity


@pytest.mark.parametrize(
    ("user", "when"),
    [
        ({"sub": "a", "exp": 7}, 7.0),
        ({"sub": "a", "expires": 8.5, "exp": 7}, 8.5),
        ({"sub": "a"}, None),
        ("a", None),
        (7, None),
        (SimpleNamespace(expires=datetime(1970, 1, 1, 0, 1, tzinfo=UTC)), 60.0),
        (SimpleNamespace(), None),
    ],
)
def test_when_a_login_ends(user: Any, when: float | None) -> None:
    assert expiry(user) == when


@pytest.mark.parametrize("wrong", ["7", True, datetime(2026, 1, 1), float("nan"), float("inf"), [7]])
def test_what_is_no_end(wrong: Any) -> None:
    with pytest.raises(TypeError, match="seconds since 1970"):
        expiry({"sub": "a", "expires": wrong})
