"""Authenticates a handshake as Django authenticates a request."""

from __future__ import annotations

from collections.abc import Callable, Collection
from hashlib import sha256
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from odac.contrib.django.database import read
from odac.errors import ConfigurationError
from odac.request import Request, scope_of
from odac.security.authentication import LOGIN

__all__ = ["authenticate", "authenticator", "http_request", "login_name"]


async def authenticate(request: Request) -> Any:
    """Find the user of a handshake by Django's session: any session engine, any authentication backend, any user model.

    It is Django's own check: the backend refuses an inactive user, and a session's hash is wrong after a change of the
    password. The session is read and never written, because a handshake has no response that could carry a new key.

    Returns:
        the user, or None.
    """
    return await _find(request, ())


def authenticator(rest_framework: Collection[Any] = ()) -> Callable[[Request], Any]:
    """An authenticator that also uses authentication classes of Django REST framework, for clients without cookies.

    Args:
        rest_framework: classes such as ``TokenAuthentication``, used in this order if the session has no user.

    Raises:
        ConfigurationError: it is not a list of classes.
    """
    if not isinstance(rest_framework, Collection) or not all(isinstance(class_, type) for class_ in rest_framework):
        raise ConfigurationError(
            f"DjangoOdac(rest_framework={rest_framework!r}): must be a list of classes, such as [TokenAuthentication]"
        )
    classes = tuple(rest_framework)

    async def find(request: Request) -> Any:
        return await _find(request, classes)

    return find


async def _find(request: Request, classes: tuple[Any, ...]) -> Any:
    if settings.SESSION_COOKIE_NAME not in request.cookies and not (classes and "authorization" in request.headers):
        return None  # nothing to look up, so no thread and no query
    http = http_request(request)

    def find_user() -> Any:
        user = get_user(http)
        # Evaluated here: a lazy attribute would query the database on the event loop.
        if user.is_authenticated:
            return user
        return _by_header(http, classes)

    user = await read(find_user)
    if user is not None and (key := http.COOKIES.get(settings.SESSION_COOKIE_NAME)):
        scope_of(request)[LOGIN] = login_name(key)
    return user


def _by_header(http: HttpRequest, classes: tuple[Any, ...]) -> Any:
    if not classes:
        return None
    from rest_framework.exceptions import APIException

    for authentication in classes:
        try:
            found = authentication().authenticate(http)
        except APIException:
            return None  # the credentials are wrong
        if found is not None:
            return found[0]
    return None


def login_name(session_key: str) -> str:
    """The name of a Django session in messages between processes; the session's key cannot be computed from it."""
    return "django:" + sha256(session_key.encode("utf-8", "surrogatepass")).hexdigest()


def http_request(request: Request) -> HttpRequest:
    """The handshake as the request that Django's backends and authentication classes expect."""
    http: Any = HttpRequest()
    http.method = "GET"
    http.path = http.path_info = request.path
    http.COOKIES = dict(request.cookies)
    http.META = {
        "HTTP_" + name.decode("latin-1").upper().replace("-", "_"): value.decode("latin-1")
        for name, value in scope_of(request)["headers"]
    }
    http.META["REMOTE_ADDR"] = request.ip or ""
    http.session = _ReadOnlySession(http.COOKIES.get(settings.SESSION_COOKIE_NAME))
    return http


class _ReadOnlySession(dict[str, Any]):
    """A copy of the data that the project's session engine has stored, read on first use.

    Django renews the key of a session that an old ``SECRET_KEY`` has signed, and empties one whose hash is wrong. Here
    that changes only this copy: the browser would not get the new key, and so be logged out.
    """

    def __init__(self, key: str | None) -> None:
        super().__init__()
        self._key = key
        self._is_read = False

    def _read(self) -> None:
        if not self._is_read:
            store = import_module(settings.SESSION_ENGINE).SessionStore(self._key)
            self.update(store.items() if self._key else {})
            self._is_read = True

    def __getitem__(self, name: str) -> Any:
        self._read()
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._read()
        return super().get(name, default)

    def cycle_key(self) -> None:
        """Do nothing: see the class."""

    def flush(self) -> None:
        """Empty this copy."""
        self.clear()
