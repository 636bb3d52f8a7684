"""Sessions in a signed cookie: who a browser is, with no storage on the server.

The cookie is ``payload.signature``, both in base64url without padding: the payload is the JSON ``[issued, id, user]``, the
signature HMAC-SHA256 over the payload as it stands there. Whoever holds it can read it, nobody can change it.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from secrets import token_urlsafe
from typing import Any, Final, Protocol

import msgspec

from odac.errors import ConfigurationError
from odac.request import Request
from odac.security.base64url import base64url, from_base64url
from odac.security.mac import Mac
from odac.security.secret import Secrets

__all__ = ["MAX_AGE", "CookieResponse", "Session", "Sessions"]

MAX_AGE: Final = 14 * 24 * 3600
"""Seconds that a session lasts after it was last renewed: two weeks, as Django's and Starlette's."""

_COOKIE_LIMIT: Final = 4000
"""Bytes of a cookie that every browser keeps (RFC 6265 section 6.1 says 4096 with name and attributes)."""

_REVOKED_LIMIT: Final = 65_536


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
        user: what ``login`` stored, or None: nobody is logged in.
        issued: when its cookie was signed, in whole seconds since 1970.
    """

    __slots__ = ("id", "issued", "user")

    def __init__(self, id: str, user: Any, issued: int) -> None:  # noqa: A002 - it is the attribute's name
        self.id = id
        self.user = user
        self.issued = issued

    def fingerprint(self, user_id: Any) -> str:
        """An opaque value that two answers share only if they are of the same session and the same user.

        It is no secret and leads back to neither: the id, 128 random bits, is the key of an HMAC over the user. No
        secret of the app goes in, so that it outlives a rotation.

        Args:
            user_id: what identifies the user, or None for nobody.
        """
        user = "" if user_id is None else f"={user_id}"
        mac = hmac.digest(self.id.encode(), b"odac shared" + user.encode("utf-8", "surrogatepass"), "sha256")
        return base64url(mac[:15]).decode("ascii")

    def __repr__(self) -> str:
        return f"<Session {'anonymous' if self.user is None else 'of a user'}>"  # the id stays out of logs


class Sessions:
    """Makes, signs and reads sessions.

    Args:
        secrets: the app's secrets; the first signs, all verify.
        max_age: seconds that a session lasts after it was signed.
        clock: the time in seconds since 1970.
        name: the cookie's name over HTTP; over HTTPS it is ``__Host-`` and this.

    Raises:
        ConfigurationError: ``max_age`` is not a number of seconds from 1.
    """

    __slots__ = ("_clock", "_lock", "_macs", "_name", "_revoked", "_secure_name", "max_age")

    def __init__(
        self,
        secrets: Secrets,
        *,
        max_age: int = MAX_AGE,
        clock: Callable[[], float] = time.time,
        name: str = "odac",
    ) -> None:
        if isinstance(max_age, bool) or not isinstance(max_age, int) or max_age < 1:
            raise ConfigurationError(f"a session's max_age of {max_age!r}: must be a whole number of seconds from 1")
        self.max_age = max_age
        self._clock = clock
        self._name = name
        self._secure_name = f"__Host-{name}"
        self._macs = [Mac(key) for key in secrets.keys("session v1")]
        self._revoked: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def cookie_name(self, secure: bool) -> str:
        """The cookie's name: over HTTPS with the ``__Host-`` prefix, which no other host and no HTTP page can set."""
        return self._secure_name if secure else self._name

    def load(self, request: Request) -> Session | None:
        """The request's session, or None where it has no cookie, or one that is forged, expired or revoked."""
        value = request.cookies.get(self._secure_name if request.secure else self._name)
        return self.read(value) if value else None

    def create(self, user: Any = None) -> Session:
        """A new session with an id of its own."""
        return Session(token_urlsafe(16), user, int(self._clock()))

    def encode(self, session: Session) -> str:
        """The cookie's value for a session.

        Raises:
            TypeError: ``session.user`` is not JSON.
            ValueError: it is too big for a cookie.
        """
        try:
            payload = msgspec.json.encode((session.issued, session.id, session.user))
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
        """The session in a cookie's value, or None where it is forged, expired or revoked. Never raises."""
        if len(value) > _COOKIE_LIMIT or not value.isascii():
            return None
        try:
            payload, _, signature = value.encode("ascii").rpartition(b".")
            for mac in self._macs:
                # Compared as text: decoding first would let several spellings of the last character through.
                if hmac.compare_digest(signature, base64url(mac.sign(payload))):
                    break
            else:
                return None
            issued, session_id, user = _decode(from_base64url(payload))
        except (ValueError, RecursionError):
            return None
        # One signed a little in the future comes from a machine whose clock is ahead.
        if self._clock() - issued >= self.max_age or session_id in self._revoked:
            return None
        return Session(session_id, user, issued)

    def renewed(self, session: Session) -> Session | None:
        """The same session signed anew if more than half its time is over, else None."""
        now = int(self._clock())
        return Session(session.id, session.user, now) if now - session.issued > self.max_age / 2 else None

    def revoke(self, session_id: str) -> None:
        """Refuse this session's cookies from now on, in this process, though they are signed.

        The cookie is gone from the browser at logout; this is for a copy of it, and for a handshake that was on its
        way. The last 65,536 are remembered. Callable from any thread.
        """
        with self._lock:
            self._revoked[session_id] = None
            if len(self._revoked) > _REVOKED_LIMIT:
                self._revoked.popitem(last=False)

    def set_cookie(self, response: CookieResponse, session: Session, secure: bool) -> None:
        """Put the session's cookie on any framework's response."""
        self._put(response, self.cookie_name(secure), self.encode(session), self.max_age, secure)

    def clear_cookie(self, response: CookieResponse, secure: bool) -> None:
        """Have the browser forget the cookie.

        Not through ``delete_cookie``: Litestar's cannot set ``Secure``, and browsers ignore a ``__Host-`` cookie
        without it.
        """
        self._put(response, self.cookie_name(secure), "", 0, secure)

    def _put(self, response: CookieResponse, name: str, value: str, max_age: int, secure: bool) -> None:
        set_cookie = getattr(response, "set_cookie", None)
        if set_cookie is None:
            raise TypeError(
                f"a response with set_cookie() is needed, such as Starlette's, Django's or Flask's; this is a "
                f"{type(response).__name__}"
            )
        set_cookie(name, value, max_age=max_age, path="/", secure=secure, httponly=True, samesite="lax")


_decode = msgspec.json.Decoder(tuple[int, str, Any]).decode
