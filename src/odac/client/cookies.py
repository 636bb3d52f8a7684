"""The cookies of one server: enough of RFC 6265 to keep a session."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from odac.client.options import check_mapping
from odac.wire.headers import is_token

__all__ = ["CookieJar"]

_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*|\"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*\"")
_MAX_COOKIES = 50  # RFC 6265 section 6.1 asks for at least this many per host


class _Cookie(NamedTuple):
    value: str
    expires: float | None  # seconds since the epoch


class CookieJar:
    """Keeps the cookies that one server sets, and returns those for a path.

    A jar is for one scheme, host and port, so the attributes ``Domain`` and ``Secure`` are ignored.

    Args:
        cookies: name and value of cookies to start with, sent to every path.

    Raises:
        TypeError: it is not a dict, or a name or value is not a str.
        ValueError: a name or value that a cookie header cannot hold.
    """

    __slots__ = ("_cookies",)

    def __init__(self, cookies: Mapping[str, str] | None = None) -> None:
        self._cookies: dict[tuple[str, str], _Cookie] = {}  # (name, path)
        check_mapping("cookies", cookies or {})
        for name, value in (cookies or {}).items():
            if not is_token(name) or not _VALUE.fullmatch(value):
                raise ValueError(
                    f"cookies: {name!r} has a name or value that a Cookie header cannot carry: encode it, for instance"
                    " with urllib.parse.quote"
                )
            self._cookies[name, "/"] = _Cookie(value, None)

    def store(self, set_cookie: Iterable[str], request_path: str = "/") -> None:
        """Store the cookies of ``Set-Cookie`` headers (RFC 6265 section 5.3) and ignore malformed ones.

        Args:
            set_cookie: the values of the headers.
            request_path: the path of the request that they answer, for the default path.
        """
        for header in set_cookie:
            pair, *attributes = header.split(";")
            name, equals, value = pair.partition("=")
            name, value = name.strip(), value.strip()
            if not equals or not is_token(name) or not _VALUE.fullmatch(value):
                continue
            path = _default_path(request_path)
            by_expires: float | None = None
            by_max_age: float | None = None
            for attribute in attributes:
                key, _, content = attribute.partition("=")
                key, content = key.strip().lower(), content.strip()
                if key == "path" and content.startswith("/"):
                    path = content
                elif key == "max-age" and re.fullmatch(r"-?\d+", content, re.ASCII):
                    by_max_age = time.time() + int(content) if int(content) > 0 else 0.0
                elif key == "expires":
                    by_expires = _expiry_of(content)
            self._set(name, path, _Cookie(value, by_max_age if by_max_age is not None else by_expires))

    def _set(self, name: str, path: str, cookie: _Cookie) -> None:
        self._cookies.pop((name, path), None)
        if cookie.expires is not None and cookie.expires <= time.time():
            return
        self._cookies[name, path] = cookie
        while len(self._cookies) > _MAX_COOKIES:
            self._cookies.pop(next(iter(self._cookies)))

    def for_path(self, path: str) -> dict[str, str]:
        """The cookies of a request to ``path``; of several with one name, the one with the longest path, which RFC 6265
        section 5.4 puts first.
        """
        now = time.time()
        self._cookies = {
            key: cookie for key, cookie in self._cookies.items() if cookie.expires is None or cookie.expires > now
        }
        matching = sorted((key for key in self._cookies if _path_matches(path, key[1])), key=lambda key: len(key[1]))
        return {name: self._cookies[name, cookie_path].value for name, cookie_path in matching}

    def header(self, path: str) -> str | None:
        """The value of the ``Cookie`` header for a request to ``path``, None when there is nothing to send."""
        cookies = self.for_path(path)
        return "; ".join(f"{name}={value}" for name, value in cookies.items()) or None

    def copy(self) -> CookieJar:
        """Another jar with the same cookies."""
        other = CookieJar()
        other._cookies = dict(self._cookies)
        return other


def _expiry_of(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text.replace("-", " ")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _default_path(path: str) -> str:
    # RFC 6265 section 5.1.4
    directory = path.rpartition("/")[0]
    return directory if directory.startswith("/") else "/"


def _path_matches(request: str, cookie: str) -> bool:
    # RFC 6265 section 5.1.4
    return request == cookie or (request.startswith(cookie) and (cookie.endswith("/") or request[len(cookie)] == "/"))
