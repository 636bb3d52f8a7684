"""The HTTP request that opened a connection: ``odac.request``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload
from urllib.parse import unquote

from odac.speedups import compiled

if TYPE_CHECKING:
    from starlette.datastructures import Headers, QueryParams

__all__ = [
    "BEARER",
    "Data",
    "Request",
    "add_cookies",
    "parsed_parts",
    "private_scope",
    "route_path",
    "scope_of",
    "usual_cookies",
    "with_lower_names",
    "with_whole_path",
]

BEARER: Final = "odac.bearer"
"""The key of the scope for a bearer token that the client sent over the connection itself."""

_Default = TypeVar("_Default")


class Data:
    """The data in the address: ``odac.request.data``."""

    __slots__ = ("url",)

    def __init__(self, url: Mapping[str, Any]) -> None:
        self.url = url
        """The path parameters by name, converted as the route's pattern says."""

    def __repr__(self) -> str:
        return f"Data(url={dict(self.url)!r})"


class Request:
    """The handshake request; each part is parsed when it is first read.

    Args:
        scope: the ASGI scope of the connection (or of an HTTP request).
    """

    __slots__ = ("_cookies", "_data", "_headers", "_is_read", "_on_read", "_query", "_scope")

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._scope = scope
        self._is_read = False
        self._on_read: Callable[[Any], None] | None = None
        self._data: Data | None = None
        self._headers: Headers | None = None
        self._cookies: dict[str, str] | None = None
        self._query: QueryParams | None = None

    @property
    def scope(self) -> Mapping[str, Any]:
        """The ASGI scope of the handshake."""
        self._is_read = True
        if self._on_read is not None:
            on_read, self._on_read = self._on_read, None
            on_read(self._scope)
        return self._scope

    @scope.setter
    def scope(self, scope: Mapping[str, Any]) -> None:
        self._is_read = True
        self._on_read = None
        self._scope = scope

    @property
    def data(self) -> Data:
        """``data.url``: the path parameters."""
        if self._data is None:
            self._data = Data(self._scope.get("path_params") or {})
        return self._data

    @property
    def path(self) -> str:
        """The path that the client requested, decoded, including the mount point of a mounted app."""
        path: str = self._scope["path"]
        return path

    @property
    def headers(self) -> Headers:
        """All headers; names in any case, ``getlist`` for repeated ones."""
        if self._headers is None:
            from starlette.datastructures import Headers

            self._headers = Headers(raw=list(self._scope["headers"]))
        return self._headers

    @overload
    def header(self, name: str) -> str | None: ...
    @overload
    def header(self, name: str, default: _Default) -> str | _Default: ...
    def header(self, name: str, default: Any = None) -> Any:
        """One header's value (the first if it is repeated), or ``default``; the name in any case."""
        wanted = name.lower().encode("utf-8", "replace")
        for key, value in self._scope["headers"]:
            if key == wanted:
                return value.decode("latin-1")
        return default

    @property
    def bearer(self) -> str | None:
        """The bearer token, or None.

        From the ``Authorization`` header (RFC 6750 section 2.1), or from the first message of a browser that connects
        with ``Odac.ws(path, {auth: …})``.
        """
        sent: str | None = self._scope.get(BEARER)
        if sent is not None:
            return sent
        scheme, _, token = (self.header("authorization") or "").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies by name."""
        if self._cookies is None:
            cookies: dict[str, str] = {}
            for key, value in self._scope["headers"]:
                if key == b"cookie" and not usual_cookies(value, cookies):
                    add_cookies(value, cookies)
            self._cookies = cookies
        return self._cookies

    @overload
    def cookie(self, name: str) -> str | None: ...
    @overload
    def cookie(self, name: str, default: _Default) -> str | _Default: ...
    def cookie(self, name: str, default: Any = None) -> Any:
        """One cookie's value, or ``default``."""
        return self.cookies.get(name, default)

    @property
    def query(self) -> QueryParams:
        """The query string's parameters: ``query["page"]``, ``query.get("page")``, ``query.getlist("tag")``."""
        if self._query is None:
            from starlette.datastructures import QueryParams

            self._query = QueryParams(self._scope.get("query_string", b"").decode("latin-1"))
        return self._query

    @property
    def ip(self) -> str | None:
        """The client's address as the server saw it; None where there is none (a Unix socket).

        ``X-Forwarded-For`` is never read here, because any client can send it. Behind a proxy, have the server read it
        from that proxy alone: ``odac run --proxy-headers`` with ``$FORWARDED_ALLOW_IPS`` set to its address.
        """
        client = self._scope.get("client")
        return client[0] if client else None

    @property
    def secure(self) -> bool:
        """Whether the client connected over TLS (``https``, ``wss``), as far as the server knows."""
        return self._scope.get("scheme") in ("https", "wss")

    def __repr__(self) -> str:
        # Neither query string nor headers: tokens and session cookies must not end up in a log.
        return f"<Request {self._scope.get('path')!r} from {self.ip}>"


def scope_of(request: Request) -> Any:
    """The scope, for code that neither copies it nor passes it on; see :func:`private_scope`."""
    return request._scope


def private_scope(request: Request, on_read: Callable[[Any], None]) -> dict[str, Any] | None:
    """Copy the scope, so that only the request refers to it.

    Args:
        request: of the handshake.
        on_read: called with the copy before the application reads ``request.scope`` for the first time.

    Returns:
        The copy; None, if the application has read the scope already, or the scope is no dict.
    """
    scope = request._scope
    if request._is_read or type(scope) is not dict:
        return None
    request._on_read = on_read
    request._scope = copy = scope.copy()
    return copy


def parsed_parts(request: Request) -> list[object]:
    """The objects that reading a request has made so far, without the cookies, which are a dict of strings."""
    parts = request._data, request._headers, request._query
    return [each for each in parts if each is not None]


_escaped = re.compile(r"\\(?:([0-3][0-7]{2})|(.))", re.DOTALL)


def add_cookies(header: bytes, cookies: dict[str, str]) -> bool:
    """Add the cookies of a ``Cookie`` header as browsers write it; the last of several cookies of one name counts.

    Takes linear time for any bytes. The standard library's ``_unquote``, which Starlette's parser calls, takes
    quadratic time over backslashes in Python before 3.11.10 and 3.12.6 (CVE-2024-7592).

    Returns:
        True: all were added. The compiled ``usual_cookies``, which is called first, returns False for a header with a
        cookie that has no name, or whose value is in quotation marks; it may have added those before.
    """
    for chunk in header.decode("latin-1").split(";"):
        name, equals, value = chunk.partition("=")
        if not equals:
            name, value = "", name  # a cookie with no name, as browsers send it
        name, value = name.strip(" \t"), value.strip(" \t")
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
            if "\\" in value:
                value = _escaped.sub(_unescape, value)
        if name or value:
            cookies[name] = value
    return True


usual_cookies = compiled("usual_cookies", add_cookies)


def _unescape(match: re.Match[str]) -> str:
    octal: str | None = match[1]
    return chr(int(octal, 8)) if octal else match[2]


def with_lower_names(scope: dict[str, Any]) -> dict[str, Any]:
    """The scope with lower-case header names: the ASGI specification demands them, and some servers do not send them.

    Every check that looks for a header (Origin, Cookie, X-Forwarded-Proto, …) compares lower-case names, so a name that
    a server passes on as the client spelled it would silently skip that check.
    """
    headers = scope["headers"]
    for name, _ in headers:
        if name != name.lower():
            return {**scope, "headers": [(bytes(name).lower(), value) for name, value in headers]}
    return scope


def with_whole_path(scope: dict[str, Any]) -> dict[str, Any]:
    """The scope with the whole path, for frameworks that remove the mount point and add a slash.

    Litestar passes a mounted application ``/chat/`` for ``/live/chat``, and no ``root_path``. In ASGI, ``path`` is the
    whole path and ``root_path`` the mount point (HTTP connection scope); both are restored from ``raw_path``.
    """
    path: str = scope["path"]
    raw: bytes | None = scope.get("raw_path")
    if path[-1:] != "/" or not raw or (raw[-1:] == b"/" and b"?" not in raw):
        return scope
    sent = unquote(raw.partition(b"?")[0].decode("latin-1"))
    below = path[:-1]
    if sent[-1:] == "/" or not sent.endswith(below):
        return scope
    mount = sent.removesuffix(below) or scope.get("root_path") or ""
    return {**scope, "path": sent if below else f"{sent}/", "root_path": mount}


def route_path(scope: Mapping[str, Any]) -> str:
    """The path below the mount point, which routes are matched with (ASGI HTTP connection scope: root_path)."""
    path: str = scope["path"]
    mount: str = scope.get("root_path") or ""
    below = path.removeprefix(mount)
    return below if not below or below.startswith("/") else path
