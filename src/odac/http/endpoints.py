"""The app's own HTTP endpoints: the browser client's files, tokens, health and publishing."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from odac.errors import ConfigurationError
from odac.http.answers import explain, json_answer
from odac.http.docs import DOCS, DocsPage
from odac.http.files import FILES, ClientFiles
from odac.http.publish import Publication, PublishEndpoint
from odac.notices import raised, unhandled
from odac.request import Request, route_path
from odac.security.authentication import AuthService
from odac.security.token import Tokens

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

__all__ = ["Endpoints", "Health", "Services"]

_prefix_form = re.compile(r"(/[A-Za-z0-9._~-]+)+").fullmatch
_READING: Final = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Health:
    """The state of the process.

    Args:
        healthy: False answers 503, so that a load balancer sends no connections here.
        details: further JSON; it is public.
    """

    healthy: bool
    details: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Services:
    """The services of the app that the endpoints use.

    Args:
        auth: creates and reads the session cookie, and looks up the user.
        tokens: issues tokens.
        health: returns the state of the process.
        publish: sends a publication; sync or async, ``ValueError`` and ``TypeError`` become a 400, ``BrokerError``
            a 503.
        publish_keys: bearer keys for ``publish``; without any, there is no such endpoint.
        max_body: the most bytes of a publish request's body.
        prefix: the path below which the endpoints are.
        docs: the page that shows the routes.
    """

    auth: AuthService
    tokens: Tokens
    health: Callable[[], Health]
    publish: Callable[[Publication], Awaitable[object] | object] | None = None
    publish_keys: Sequence[str] = ()
    max_body: int = 1024 * 1024
    prefix: str = "/odac"
    docs: DocsPage | None = None


class Endpoints:
    """An ASGI app for the paths below the prefix.

    Args:
        services: the services of the app.

    Raises:
        ConfigurationError: the prefix is not a path, or a publish key is too short.
    """

    __slots__ = ("_below", "_files", "_publisher", "_services")

    def __init__(self, services: Services) -> None:
        if not isinstance(services.prefix, str) or not _prefix_form(services.prefix):
            raise ConfigurationError(
                f"prefix={services.prefix!r}: must be a path such as '/odac', beginning with a slash and not ending"
                " with one"
            )
        self._services = services
        self._below = services.prefix + "/"
        self._files = ClientFiles()
        self._publisher: PublishEndpoint | None = None
        if services.publish is not None and services.publish_keys:
            self._publisher = PublishEndpoint(services.publish, services.publish_keys, services.max_body)

    def answers(self, scope: Scope) -> bool:
        """Whether an HTTP request is for the endpoints.

        Its path is below the prefix; or it is ``GET /`` with ``X-Odac: token``, by which the original browser client
        requests a token. Another spelling of an endpoint's path, such as ``/odac/%70ublish``, does not count: a proxy
        that compares paths as they were sent would let it pass.
        """
        path = route_path(scope)
        if path.startswith(self._below):
            return is_canonical(scope, path)
        return path in ("", "/") and scope["method"] == "GET" and Request(scope).header("x-odac") == "token"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        path = route_path(scope)
        name = path.removeprefix(self._below) if path.startswith(self._below) else "token"
        response = await self._respond(name, scope, receive)
        if scope["method"] == "HEAD":
            response.body = b""  # its headers stay, including the length
        await response(scope, receive, send)

    async def _respond(self, name: str, scope: Scope, receive: Receive) -> Response:
        method = scope["method"]
        if name == "publish" and self._publisher is not None:
            if method != "POST":
                return _wrong_method("POST")
            from starlette.requests import Request as StarletteRequest

            return await self._publisher.answer(StarletteRequest(scope, receive))
        if name == "token":
            return await self._token(Request(scope)) if method == "GET" else _wrong_method("GET")
        if name == "health":
            return self._health() if method in _READING else _wrong_method("GET, HEAD")
        if name in FILES:
            return (
                self._files.answer(name, Request(scope).headers) if method in _READING else _wrong_method("GET, HEAD")
            )
        docs = self._services.docs
        if docs is None or not await docs.is_shown(Request(scope)):
            return explain(404, f"Nothing is here. Below this address are {', '.join(FILES)}, token and health.")
        if name in DOCS and method in _READING:
            return docs.answer(name)
        return explain(404, f"Nothing is here. Below this address are docs, {', '.join(FILES)}, token and health.")

    async def _token(self, request: Request) -> Response:
        if request.header("sec-fetch-site") == "cross-site":
            return explain(403, "Tokens are for this site's own pages: this request came from another site.")
        sessions = self._services.auth.sessions
        session, cookie = sessions.find(request.cookies, request.secure)
        fresh = sessions.create() if session is None else sessions.renewed(session)
        session = session or fresh
        assert session is not None
        content = {"token": self._services.tokens.issue(session.id)}
        identity = self._services.auth.connection(request)
        try:
            user, user_id = await identity.user(), await identity.user_id()
        except Exception as error:
            raised("@app.authenticate failed for a token request", error)
            unhandled(error)
            return explain(503, "The server cannot identify the user now. Try again later.")
        if user is None or user_id is not None:  # without an id, users cannot be distinguished
            content["session"] = session.fingerprint(user_id)
        response = json_answer(content, headers={"Cross-Origin-Resource-Policy": "same-origin"})
        if fresh is not None:
            sessions.set_cookie(response, fresh, request.secure, cookie)
        return response

    def _health(self) -> Response:
        health = self._services.health()
        content = {**(health.details or {}), "status": "ok" if health.healthy else "unavailable"}
        return json_answer(content, 200 if health.healthy else 503)


def is_canonical(scope: Scope, path: str) -> bool:
    """Whether a request's target has its path in canonical form (RFC 3986 section 6.2.2).

    Args:
        scope: of the request. Without ``raw_path``, which is optional in ASGI, the path counts as canonical.
        path: the decoded path below the mount point; an endpoint's consists of unreserved characters.
    """
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        return True
    raw = raw.partition(b"?")[0]
    # Some servers leave the mount point out of raw_path.
    return raw in (_canonical(scope["path"]), _canonical(path))


def _canonical(path: str) -> bytes:
    return quote(path, safe="/!$&'()*+,;=:@", errors="replace").encode()


def _wrong_method(allowed: str) -> Response:
    return explain(405, f"Only {allowed} is answered here.", {"Allow": allowed})
