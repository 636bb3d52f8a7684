"""Sessions in a signed cookie: they identify a browser without storage on the server.

The cookie is ``payload.signature``, both in base64url without padding: the payload is the JSON
``[issued, id, user, began]``, the signature HMAC-SHA256 over the encoded payload. Its owner can read it but not change
it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import time
from collections.abc import Callable, Mapping
from secrets import token_urlsafe
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from odac.config import SessionOptions
from odac.request import Request
from odac.security.base64url import base64url, from_base64url
from odac.security.mac import Mac
from odac.security.revocation import RevokedSessions
from odac.security.secret import Secrets

__all__ = ["CookieResponse", "Found", "Session", "Sessions"]

_COOKIE_LIMIT: Final = 4000
"""Bytes of a cookie that every browser keeps (RFC 6265 section 6.1 says 4096 with name and attributes)."""

_form = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}").fullmatch


class CookieResponse(Protocol):
    """Any framework's response that can set a cookie."""

    @property
    def set_cookie(self) -> Callable[..., Any]:
        """Adds a ``Set-Cookie`` header."""
        ...


class Session:
    """One browser's session.

    Attributes:
        id: unguessable; tokens are bound to it. 22 characters.
        user: what ``login`` stored, or None for an anonymous session.
        issued: when its cookie was signed, in whole seconds since 1970.
        began: when the session was created; renewing the cookie does not change it.
    """

    __slots__ = ("began", "id", "issued", "user")

    def __init__(self, id: str, user: Any, issued: int, began: int) -> None:  # noqa: A002 - it is the attribute's name
        self.id = id
        self.user = user
        self.issued = issued
        self.began = began

    def fingerprint(self, user_id: Any) -> str:
        """An opaque value that is equal only for the same session and the same user.

        It is not secret, and neither can be derived from it: the id, 128 random bits, is the key of an HMAC over the
        user. It does not depend on the app's secret, so that it stays the same when that is rotated.

        Args:
            user_id: the user's id, or None for an anonymous session.
        """
        user = "" if user_id is None else f"={user_id}"
        mac = hmac.digest(self.id.encode(), b"odac shared" + user.encode("utf-8", "surrogatepass"), "sha256")
        return base64url(mac[:15]).decode("ascii")

    def __repr__(self) -> str:
        return f"<Session {'anonymous' if self.user is None else 'of a user'}>"  # the id stays out of logs


class Found(NamedTuple):
    """The result of searching a request's cookies for the session."""

    session: Session | None
    name: str
    """The name of the cookie with the session, or for a new one."""


class Sessions:
    """Creates, signs and reads sessions.

    Args:
        secrets: the app's secrets; the first signs, all verify.
        options: the cookie's name and how long a session lasts.
        clock: the time in seconds since 1970.
    """

    __slots__ = ("_clock", "_macs", "_names", "_revoked", "_secure_names", "cookie", "lifetime", "max_age")

    def __init__(
        self,
        secrets: Secrets,
        options: SessionOptions = SessionOptions(),  # noqa: B008 - a frozen value
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.cookie = options.cookie
        self.max_age = options.max_age
        self.lifetime = options.lifetime
        self._clock = clock
        # Cookies are shared by all ports (RFC 6265 section 8.5), so another project's may have the first name.
        self._names = (options.cookie, *(f"{options.cookie}-{suffix}" for suffix in _suffixes(secrets)))
        self._secure_names = tuple(f"__Host-{name}" for name in self._names)
        self._macs = [Mac(key) for key in secrets.keys("session v1")]
        self._revoked = RevokedSessions(options.lifetime, clock)

    def ends(self, session: Session) -> float:
        """When a session's cookie stops being valid, in seconds since 1970."""
        return float(min(session.issued + self.max_age, session.began + self.lifetime))

    def load(self, request: Request) -> Session | None:
        """The request's session, or None if it has no cookie, or one that is forged, expired or revoked."""
        cookies = request.cookies
        if cookies:
            for name in self._secure_names if request.secure else self._names:
                value = cookies.get(name)
                if value and (session := self.read(value)) is not None:
                    return session
        return None

    def find(self, cookies: Mapping[str, str], secure: bool) -> Found:
        """The session among a request's cookies, and the name of the cookie to write a session into.

        Args:
            cookies: the request's, by name.
            secure: whether the request came over HTTPS, where names have the ``__Host-`` prefix: no other host and no
                HTTP page can set such cookies.
        """
        names = self._secure_names if secure else self._names
        free: str | None = None
        for name in names:
            value = cookies.get(name)
            session = self.read(value) if value else None
            if session is not None:
                return Found(session, name)
            if free is None and not (value and self._is_foreign(value)):
                free = name
        # The name with a suffix belongs to this project: its cookie was signed with a former secret.
        return Found(None, free or names[1])

    def create(self, user: Any = None) -> Session:
        """A new session with an id of its own."""
        now = int(self._clock())
        return Session(token_urlsafe(16), user, now, now)

    def encode(self, session: Session) -> str:
        """The cookie's value for a session.

        Raises:
            TypeError: ``session.user`` is not JSON.
            ValueError: it is too big for a cookie.
        """
        try:
            payload = msgspec.json.encode((session.issued, session.id, session.user, session.began))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise TypeError(
                f"the user in a session must be JSON, such as {{'id': 7, 'name': 'Ada'}}, and this one is not: {error}"
            ) from None
        signed = base64url(payload)
        value = (signed + b"." + base64url(self._macs[0].sign(signed))).decode("ascii")
        if len(value) > _COOKIE_LIMIT:
            raise ValueError(
                f"the user makes a session cookie of {len(value)} bytes, and browsers drop those over {_COOKIE_LIMIT}: "
                "store the id and what every page needs, and load the rest by id"
            )
        return value

    def read(self, value: str) -> Session | None:
        """The session in a cookie's value, or None if it is forged, expired or revoked. Never raises."""
        payload = self._signed(value)
        if payload is None:
            return None
        try:
            issued, session_id, user, *rest = _decode(from_base64url(payload))
        except (ValueError, RecursionError):
            return None
        began = rest[0] if rest else issued  # up to version 0.1, cookies did not contain the beginning of the session
        now = self._clock()
        # A cookie that was signed slightly in the future is from a machine whose clock is ahead.
        if now - issued >= self.max_age or now - began >= self.lifetime:
            return None
        if began <= self._revoked.none_before or session_id in self._revoked:
            return None
        return Session(session_id, user, issued, began)

    def renewed(self, session: Session) -> Session | None:
        """The session with a new time of issue if more than half of the cookie's time has passed, else None."""
        now = int(self._clock())
        if now - session.issued <= self.max_age / 2:
            return None
        return Session(session.id, session.user, now, session.began)

    def revoke(self, session_id: str) -> None:
        """Refuse this session's cookies from now on, in this process, though they are signed.

        A logout removes the cookie from the browser; this refuses copies of it, and handshakes that were sent before.
        The entry is kept for :attr:`lifetime` seconds. Callable from any thread.

        Args:
            session_id: the id of a session with a user: clients can create and end any number of anonymous sessions,
                and must not decide how much memory this takes.
        """
        self._revoked.add(session_id)

    def set_cookie(self, response: CookieResponse, session: Session, secure: bool, name: str | None = None) -> None:
        """Put the session's cookie on any framework's response.

        Args:
            response: has ``set_cookie``.
            session: the session to store.
            secure: whether the response is sent over HTTPS.
            name: the name from :meth:`find`.
        """
        left = min(self.max_age, session.began + self.lifetime - int(self._clock()))
        self._put(response, name, self.encode(session), max(left, 0), secure)

    def clear_cookie(self, response: CookieResponse, secure: bool, name: str | None = None) -> None:
        """Make the browser delete the cookie.

        ``delete_cookie`` is not used: Litestar's cannot set ``Secure``, and browsers ignore a ``__Host-`` cookie
        without it.
        """
        self._put(response, name, "", 0, secure)

    def _signed(self, value: str) -> bytes | None:
        """The payload of a cookie's value, if one of the app's secrets has signed it."""
        if len(value) > _COOKIE_LIMIT or not value.isascii():
            return None
        payload, _, signature = value.encode("ascii").rpartition(b".")
        for mac in self._macs:
            # Compared as text: after decoding, several spellings of the last character would be accepted.
            if hmac.compare_digest(signature, base64url(mac.sign(payload))):
                return payload
        return None

    def _is_foreign(self, value: str) -> bool:
        """Whether a cookie is another project's session: overwriting it would log the user out there."""
        return _form(value) is not None and self._signed(value) is None

    def _put(self, response: CookieResponse, name: str | None, value: str, max_age: int, secure: bool) -> None:
        set_cookie = getattr(response, "set_cookie", None)
        if set_cookie is None:
            raise TypeError(
                f"a response with set_cookie() is needed, such as Starlette's, Django's or Flask's; this is a "
                f"{type(response).__name__}"
            )
        name = name or (self._secure_names if secure else self._names)[0]
        set_cookie(name, value, max_age=max_age, path="/", secure=secure, httponly=True, samesite="lax")


def _suffixes(secrets: Secrets) -> tuple[str, ...]:
    """Suffixes that distinguish this project's cookie from another project's, beginning with the one for writing."""
    if secrets.is_random:  # a random secret changes with each start; the project's directory does not
        return (hashlib.sha256(os.fsencode(os.environ.get("PWD", ""))).hexdigest()[:8],)
    return tuple(key[:4].hex() for key in secrets.keys("session cookie name"))


_decode = msgspec.json.Decoder(tuple[Any, ...]).decode
