"""HTTP in process: one request to an ASGI app, and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict, Unpack
from urllib.parse import unquote, urlencode, urlsplit

import msgspec

from odac.client.cookies import CookieJar
from odac.client.options import check_headers
from odac.notices import unhandled_listener
from odac.security.authentication import given_user

__all__ = ["AsgiApp", "HttpClient", "Login", "RequestOptions", "Response", "Environment"]

Message = MutableMapping[str, Any]
AsgiApp = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to an HTTP request.

    Args:
        status: the HTTP status.
        headers: names in lower case, and values.
        content: the bytes of the body.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    content: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return next((value for key, value in self.headers if key == name.lower()), None)

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.content.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.content)


class Login(NamedTuple):
    """The user that a connection was opened with by ``user=``, and the cookies of its session."""

    user: Any
    jar: CookieJar


class Environment:
    """What all requests and handshakes of a test client share: the app, its address, the client's, and the state of the
    lifespan.

    Args:
        app: the ASGI app.
        base_url: scheme and host of the app.
        headers: sent with every request and handshake.
        client: address and port that they appear to come from.
        raises: whether exceptions of the app's code are raised in the test.
    """

    def __init__(
        self,
        app: AsgiApp,
        base_url: str,
        headers: Mapping[str, str] | None,
        client: tuple[str, int] | None,
        raises: bool = True,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(
                f"base_url={base_url!r}: must be http://host or https://host; give paths to connect() and http"
            )
        self.app = app
        self.raises = raises
        self.user: Any = None  # the user that the client is logged in as, if it is an object that no cookie holds
        self.secure = parts.scheme == "https"
        self.authority = parts.netloc
        self.server = (parts.hostname, parts.port or (443 if self.secure else 80))
        check_headers(headers or {})
        self.headers = dict(headers or {})
        self.client = client
        self.state: dict[str, Any] = {}
        self.activity = 0
        """The number of ASGI messages so far: while it grows, the app is not idle."""
        self.failures: list[BaseException] = []
        """Exceptions of the app's code that were not raised in the test so far, oldest first."""

    def raise_failure(self) -> None:
        """Raise the oldest exception of the app's code, each once."""
        if self.failures:
            raise self.failures.pop(0)

    def scope(self, kind: str, url: str, headers: Mapping[str, str], jar: CookieJar, **more: Any) -> dict[str, Any]:
        """An ASGI scope for one request or handshake.

        Args:
            kind: ``http`` or ``websocket``.
            url: path and query.
            headers: of this request, besides those of all.
            jar: the cookies.
            more: further keys of the scope.
        """
        if not url.startswith("/"):
            raise ValueError(f"{url!r}: must be a path that begins with a slash")
        check_headers(headers)
        path, _, query = url.partition("?")
        fields = {"host": self.authority, "user-agent": "odac-testing"}
        fields |= {name.lower(): value for name, value in (*self.headers.items(), *headers.items())}
        if (cookie := jar.header(path)) is not None:
            fields["cookie"] = cookie if "cookie" not in fields else f"{fields['cookie']}; {cookie}"
        scheme = ("wss" if self.secure else "ws") if kind == "websocket" else ("https" if self.secure else "http")
        return {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": scheme,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()],
            "client": self.client,
            "server": self.server,
            "state": self.state.copy(),
            **more,
        }


class RequestOptions(TypedDict, total=False):
    """The headers and the body of a request; see :meth:`HttpClient.request`."""

    headers: Mapping[str, str] | None
    json: Any
    form: Mapping[str, str] | None
    content: bytes | None


class HttpClient:
    """Sends HTTP requests to the app. Cookies that it sets are kept, and sent with later requests and handshakes.

    ``await client.http.get("/path")``; without ``await`` on the synchronous client.
    """

    def __init__(self, environment: Environment, jar: CookieJar) -> None:
        self._environment = environment
        self._jar = jar

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Response:
        """Send one HTTP request; redirects are not followed. Exceptions of the app propagate.

        Args:
            method: such as ``GET``.
            url: path and query.
            headers: further headers.
            json: a body, encoded as JSON.
            form: a body, encoded as an HTML form's.
            content: a body as it is.
        """
        check_headers(headers or {})
        fields = {name.lower(): value for name, value in (headers or {}).items()}
        body = content or b""
        if json is not None:
            body = msgspec.json.encode(json)
            fields.setdefault("content-type", "application/json")
        elif form is not None:
            body = urlencode(form).encode()
            fields.setdefault("content-type", "application/x-www-form-urlencoded")
        if body or method not in ("GET", "HEAD"):
            fields.setdefault("content-length", str(len(body)))
        answer = await exchange(self._environment, self._jar, method, url, fields, body, self._environment.user)
        self._environment.raise_failure()
        return answer

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Response:
        """``GET``."""
        return await self.request("GET", url, headers=headers)

    async def post(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """``POST``; with headers and a body as for :meth:`request`."""
        return await self.request("POST", url, **options)


async def exchange(
    environment: Environment,
    jar: CookieJar,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    user: Any = None,
) -> Response:
    """Send one request, of ``user`` if there is one, and store the cookies that the app sets in the jar."""
    scope = environment.scope("http", url, headers, jar, method=method.upper())
    incoming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    answered = asyncio.Event()
    status = 0
    fields: list[tuple[str, str]] = []
    content = bytearray()

    async def receive() -> Message:
        environment.activity += 1
        if incoming:
            return incoming.pop()
        await answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        environment.activity += 1
        if message["type"] == "http.response.start":
            status = message["status"]
            for name, value in message.get("headers", ()):
                fields.append((bytes(name).decode("latin-1").lower(), bytes(value).decode("latin-1")))
        elif message["type"] == "http.response.body":
            content.extend(message.get("body", b""))
            if not message.get("more_body", False):
                answered.set()

    listener_token = unhandled_listener.set(environment.failures.append if environment.raises else None)
    user_token = given_user.set(user)
    try:
        await environment.app(scope, receive, send)
    finally:
        unhandled_listener.reset(listener_token)
        given_user.reset(user_token)
    if not answered.is_set():
        raise AssertionError(f"{method} {url}: the app returned without a complete answer")
    jar.store([value for name, value in fields if name == "set-cookie"], scope["path"])
    return Response(status, tuple(fields), bytes(content))
