"""Authentication: ``odac.auth`` for a connection, ``app.auth`` for logging in and out over HTTP."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from time import time
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

from odac.errors import ConfigurationError
from odac.realtime.audience import check_user_id
from odac.realtime.listeners import fit
from odac.request import Request, scope_of
from odac.security.asked import Asked
from odac.security.session import CookieResponse, Found, Session, Sessions
from odac.security.users import authenticated, expiry, identify, says_authenticated

__all__ = ["LOGIN", "AuthService", "Authentication", "Authenticator", "current_request", "given_user"]

Authenticator = Callable[[Request], Any]
"""Takes the request, and returns a user or None, or an awaitable of one."""

_AuthenticatorT = TypeVar("_AuthenticatorT", bound=Authenticator)

current_request: ContextVar[Request | None] = ContextVar("odac_request", default=None)
"""The HTTP request that the app passes to the wrapped app, for ``login`` and ``logout`` in its views."""

given_user: ContextVar[Any] = ContextVar("odac_given_user", default=None)
"""A user that is not looked up, set by the test client. It is not part of the scope, so that no server can set it."""

LOGIN: Final = "odac.login"
"""A key of the scope. An authenticator may store there the name of the login by which it found the user: closing the
:func:`odac.realtime.audience.browser_room` of that name closes only the connections of this login, not the user's
others.
"""

_UNREAD: Final[Any] = object()
_log = logging.getLogger(__name__)


class IdentityListener(Protocol):
    """Receives information about a connection's user."""

    def recognized(self, user_id: object) -> None:
        """Called once, with the user's id, when the user was looked up and found."""
        ...

    def belongs_to(self, login: str) -> None:
        """Called with the name of the login by which the user was found, if the authenticator stored one."""
        ...

    def expires(self, when: float) -> None:
        """Called with the time at which the user's login expires, in seconds since 1970, if that is known."""
        ...

    async def start_deadline(self) -> None:
        """Awaited before an ``async`` authenticator is awaited."""
        ...


class AuthService:
    """``app.auth``: logs users in and out, and finds a connection's user.

    Args:
        sessions: creates and reads the session cookie.
        user_id: returns the id of a user; by default its ``id`` or ``pk``, or the ``"id"``, ``"pk"`` or ``"sub"`` of a
            mapping.
        on_logout: called with a session that has ended, to close its connections everywhere. It may be called from any
            thread.
    """

    __slots__ = ("_told", "_user_id", "authenticator", "on_logout", "sessions")

    def __init__(
        self,
        sessions: Sessions,
        *,
        user_id: Callable[[Any], Any] | None = None,
        on_logout: Callable[[Session], object] | None = None,
    ) -> None:
        self.sessions = sessions
        self.on_logout = on_logout
        self.authenticator: Authenticator | None = None
        self._user_id = user_id
        self._told = False

    def authenticate(self, function: _AuthenticatorT) -> _AuthenticatorT:
        """Register the function that finds a request's user: ``@app.authenticate``.

        It is called at most once for each connection, on the event loop: a function that queries a database should be
        ``async``.

        Raises:
            ConfigurationError: it is not callable, or there is one already.
        """
        if not callable(function):
            raise ConfigurationError(f"@app.authenticate takes a function of the request, not {function!r}")
        try:
            fit(function, 1)
        except TypeError as error:
            raise ConfigurationError(f"@app.authenticate takes a function of the request alone: {error}") from None
        if self.authenticator is not None:
            raise ConfigurationError(
                f"@app.authenticate is used twice, for {_name(self.authenticator)} and {_name(function)}: "
                "use one function for both sources"
            )
        self.authenticator = function
        return function

    def connection(self, request: Request, listener: IdentityListener | None = None) -> Authentication:
        """The ``odac.auth`` of one connection.

        Args:
            request: the handshake.
            listener: receives the user's id once it is known.
        """
        return Authentication(self, request, listener)

    def login(self, response: CookieResponse, user: Any, request: Any = None) -> None:
        """Log a user in: put a session cookie with a new id on the response.

        Tokens issued before are not valid after. If a user was logged in before, even the same one, that session ends,
        and its connections are closed.

        Args:
            response: any response with ``set_cookie`` (Starlette, FastAPI, Django, Flask, Litestar).
            user: JSON: a dict such as ``{"id": 7, "name": "Ada"}``, a str or an int. It is stored in the cookie, where
                its owner can read it and no client can change it; ``await odac.auth.user()`` returns it.
            request: the request of any of these frameworks; not needed if the app is served through
                ``Odac(http=app)``.

        Raises:
            TypeError: ``user`` is not JSON, or ``response`` cannot set cookies.
            ValueError: ``user`` is too big for a cookie.
        """
        if not isinstance(user, (dict, str, int)) or isinstance(user, bool) or authenticated(user) is None:
            what = "one that is no user" if isinstance(user, (dict, str, int)) else type(user).__name__
            raise TypeError(
                f"login() needs a user that a session cookie can hold: a dict, str or int, such as {{'id': user.id}}; "
                f"not {what}"
            )
        secure, found = self._where(request)
        self.sessions.set_cookie(response, self.sessions.create(user), secure, found.name)
        if found.session is not None and found.session.user is not None:
            self._end(found.session)

    def logout(self, response: CookieResponse, request: Any = None) -> None:
        """Log the user out: clear the cookie, and end the session, its tokens and its connections.

        Args:
            response: any response with ``set_cookie``.
            request: as for :meth:`login`.
        """
        secure, found = self._where(request)
        self.sessions.clear_cookie(response, secure, found.name)
        if found.session is not None:
            self._end(found.session)

    def session(self, request: Any = None) -> Session | None:
        """The session of the HTTP request being answered, or None; for views that are not ``async``.

        Args:
            request: as for :meth:`login`.
        """
        return self._where(request)[1].session

    async def user(self, request: Any = None) -> Any:
        """The user of the HTTP request being answered, or None; as :meth:`Authentication.user` for a connection.

        Args:
            request: as for :meth:`login`.
        """
        scope = getattr(request, "scope", None)
        known = Request(scope) if isinstance(scope, Mapping) else current_request.get()
        if known is not None:
            return await self.connection(known).user()
        session = self.session(request)
        return None if session is None else authenticated(session.user)

    def user_id(self, user: Any) -> Any:
        """The id of a user, or None if there is none: see the ``user_id`` argument."""
        if user is None or self._user_id is None:
            return identify(user)
        return self._user_id(user)

    def address(self, user: Any) -> str:
        """The text of a user's id, for ``ws_server.user(…)``.

        Args:
            user: a user, or an id: a str, an int, or another object that has neither ``id`` nor ``pk`` and whose text
                is the id, such as a UUID.

        Raises:
            TypeError: it is neither, or a user without an id.
            ValueError: the id is empty.
        """
        if user is None or isinstance(user, (str, int, UUID)):
            return check_user_id(user)
        try:
            found = self.user_id(user)
        except (TypeError, AttributeError, LookupError):  # Odac(user_id=…) expects a user, and this may be an id
            found = None
        if found is None:
            return check_user_id(user)
        return check_user_id(found)

    def _end(self, session: Session) -> None:
        if session.user is not None:
            self.sessions.revoke(session.id)
        elif self.authenticator is None:
            return  # an anonymous session has no connections to close, and any client can create any number of them
        if self.on_logout is not None:
            self.on_logout(session)

    def _where(self, request: Any) -> tuple[bool, Found]:
        """Whether the request being answered was received over TLS, and the session among its cookies."""
        current = current_request.get()
        if current is not None:
            return current.secure, self.sessions.find(current.cookies, current.secure)
        if request is not None:
            secure, cookies = _read_foreign(request)
            return secure, self.sessions.find(cookies, secure)
        if not self._told:
            self._told = True
            _log.warning(
                "app.auth does not know which request is being answered, so it assumes plain HTTP without a "
                "session. Serve the app through Odac(http=app), or pass request=request"
            )
        return False, self.sessions.find({}, False)


class Authentication:
    """``odac.auth``: the connection's user, who is looked up when a handler or gate first needs it."""

    __slots__ = ("_listener", "_request", "_service", "_session", "_user")

    def __init__(self, service: AuthService, request: Request, listener: IdentityListener | None = None) -> None:
        self._service = service
        self._listener = listener
        self._request = request
        self._session: Session | None = _UNREAD
        self._user: Any = _UNREAD

    @property
    def session(self) -> Session | None:
        """Odac's own session, from its cookie, or None."""
        if self._session is _UNREAD:
            self._session = self._service.sessions.load(self._request)
        return self._session

    def check(self) -> Asked[bool]:
        """Whether the connection has a user; to be awaited."""
        return Asked(self._check(), "odac.auth.check()")

    async def _check(self) -> bool:
        return await self._ask() is not None

    def user(self) -> Asked[Any]:
        """The user, or None; to be awaited.

        From the first of these that has one: the function registered with ``@app.authenticate``; ``scope["user"]`` if
        its ``is_authenticated`` is true; the session cookie. A falsy value, or one whose ``is_authenticated`` is false,
        means that there is no user. An exception of the function is raised here, as is a TypeError for a value that can
        only be a mistake (see :func:`odac.security.users.authenticated`).
        """
        return Asked(self._ask(), "odac.auth.user()")

    async def _ask(self) -> Any:
        if self._user is _UNREAD:
            user, ends = await self._find()
            if self._user is _UNREAD:  # another task may have looked it up meanwhile: the first result counts
                self._user = user
                if self._listener is not None and user is not None:
                    if ends is not None:
                        self._listener.expires(ends)
                    if (user_id := self._service.user_id(user)) is not None:
                        self._listener.recognized(user_id)
                    if (login := scope_of(self._request).get(LOGIN)) is not None:
                        self._listener.belongs_to(login)
        return self._user

    async def user_id(self) -> Any:
        """The user's id (its ``id``, ``pk`` or ``["id"]``, or the result of ``Odac(user_id=…)``), or None."""
        return self._service.user_id(await self._ask())

    async def _find(self) -> tuple[Any, float | None]:
        """The user, and when its login expires; no user if it has expired."""
        given = given_user.get()
        if given is not None:
            user = authenticated(given)
            return (None, None) if user is None else (user, expiry(user))
        if self._service.authenticator is not None:
            user = self._service.authenticator(self._request)
            if inspect.isawaitable(user):
                if self._listener is not None:
                    await self._listener.start_deadline()
                user = await user
            user = authenticated(user)
            if user is not None:
                ends = expiry(user)
                return (user, ends) if ends is None or ends > time() else (None, None)
        user = scope_of(self._request).get("user")
        # Any middleware may have set it, so it counts only if it is marked as authenticated.
        if user is not None and says_authenticated(getattr(user, "is_authenticated", False)):
            user = authenticated(user)
            if user is not None:
                return user, None
        session = self.session
        if session is None or (user := authenticated(session.user)) is None:
            return None, None
        return user, self._service.sessions.ends(session)

    def __repr__(self) -> str:
        return "<Authentication>"


def _read_foreign(request: Any) -> tuple[bool, Mapping[str, str]]:
    """Whether a request of any framework was received over TLS, and its cookies."""
    is_secure = getattr(request, "is_secure", None)
    if is_secure is not None:  # Django: a method; Flask: a property. Both consider the framework's proxy settings
        cookies = getattr(request, "COOKIES", None)
        return bool(is_secure() if callable(is_secure) else is_secure), request.cookies if cookies is None else cookies
    scope = getattr(request, "scope", None)
    if isinstance(scope, Mapping):  # Starlette, FastAPI, Litestar
        known = Request(scope)
        return known.secure, known.cookies
    raise TypeError(
        f"request= takes the request of Starlette, FastAPI, Litestar, Django or Flask, not {type(request).__name__}"
    )


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
