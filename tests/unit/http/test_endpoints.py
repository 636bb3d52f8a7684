from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from odac.errors import ConfigurationError
from odac.http.endpoints import Endpoints, Health, Services
from odac.http.publish import Publication
from odac.request import Request
from odac.security.authentication import AuthService
from odac.security.secret import Secrets
from odac.security.session import Sessions
from odac.security.token import Tokens

SECRETS = Secrets("a" * 32)
KEY = "a-key-of-some-length"


class Parts:
    """The endpoints with everything that they need."""

    def __init__(self, **services: Any) -> None:
        self.now = 1_800_000_000.0
        self.sessions = Sessions(SECRETS, clock=lambda: self.now)
        self.tokens = Tokens(SECRETS, clock=lambda: self.now)
        self.auth = AuthService(self.sessions)
        self.published: list[Publication] = []
        services = {"health": lambda: Health(True), "publish": self.published.append, **services}
        self.app = Endpoints(Services(auth=self.auth, tokens=self.tokens, **services))

    def session_of(self, response: httpx.Response, name: str = "odac") -> str:
        session = self.sessions.read(response.cookies[name])
        assert session is not None
        return session.id


def ask(app: ASGIApp, method: str, path: str, base: str = "http://site.example", **options: Any) -> httpx.Response:
    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
            return await client.request(method, path, **options)

    return asyncio.run(go())


def test_a_token_comes_with_the_session_that_it_is_for() -> None:
    parts = Parts()
    response = ask(parts.app, "GET", "/odac/token")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert parts.tokens.verify(response.json()["token"], parts.session_of(response))
    attributes = {each.strip().lower() for each in response.headers["set-cookie"].split(";")[1:]}
    assert attributes == {"httponly", "max-age=1209600", "path=/", "samesite=lax"}


def test_over_https_the_cookie_is_bound_to_host_and_scheme() -> None:
    parts = Parts()
    response = ask(parts.app, "GET", "/odac/token", base="https://site.example")
    assert parts.tokens.verify(response.json()["token"], parts.session_of(response, "__Host-odac"))
    cookie, _, attributes = response.headers["set-cookie"].partition("; ")
    assert cookie.startswith("__Host-odac=")
    assert {each.lower() for each in attributes.split("; ")} >= {"secure", "httponly", "path=/", "samesite=lax"}
    assert "domain" not in attributes.lower()


def test_with_a_session_the_token_is_for_that_one_and_the_cookie_stays() -> None:
    parts = Parts()
    session = parts.sessions.create("ada")
    response = ask(parts.app, "GET", "/odac/token", headers={"cookie": f"odac={parts.sessions.encode(session)}"})
    assert parts.tokens.verify(response.json()["token"], session.id)
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    "cookie", ["odac=", "odac=junk", "odac=a.b", "odac=" + "x" * 5000, "__Host-odac={}", "odac={}x"]
)
def test_a_cookie_that_is_not_valid_is_replaced(cookie: str) -> None:
    parts = Parts()
    value = parts.sessions.encode(parts.sessions.create("ada"))
    response = ask(parts.app, "GET", "/odac/token", headers={"cookie": cookie.format(value)})
    assert parts.tokens.verify(response.json()["token"], parts.session_of(response))


def test_a_session_in_its_second_half_is_renewed() -> None:
    parts = Parts()
    session = parts.sessions.create("ada")
    cookie = {"cookie": f"odac={parts.sessions.encode(session)}"}
    parts.now += 8 * 24 * 3600
    response = ask(parts.app, "GET", "/odac/token", headers=cookie)
    renewed = parts.sessions.read(response.cookies["odac"])
    assert renewed is not None
    assert (renewed.id, renewed.user, renewed.issued) == (session.id, "ada", int(parts.now))


def test_the_fingerprint_follows_session_and_user() -> None:
    parts = Parts()
    users: dict[str, Any] = {"u1": {"id": 1}, "u2": {"id": 2}}

    def fingerprint(session: Any, framework_user: str = "") -> str:
        cookie = f"odac={parts.sessions.encode(session)}; framework={framework_user}"
        return str(ask(parts.app, "GET", "/odac/token", headers={"cookie": cookie}).json()["session"])

    one, other = parts.sessions.create(), parts.sessions.create()
    assert fingerprint(one) == fingerprint(one)
    assert fingerprint(one) != fingerprint(other)

    @parts.auth.authenticate
    async def find(request: Request) -> Any:
        return users.get(request.cookie("framework", ""))

    # the same Odac session throughout: the framework's own login does not change it
    assert len({fingerprint(one), fingerprint(one, "u1"), fingerprint(one, "u2"), fingerprint(other, "u1")}) == 4
    assert fingerprint(one, "u1") == fingerprint(one, "u1")
    assert one.id not in fingerprint(one)


def test_a_user_without_an_id_gets_no_fingerprint() -> None:
    parts = Parts()
    parts.auth.authenticate(lambda request: object())
    response = ask(parts.app, "GET", "/odac/token")
    assert response.json().keys() == {"token"}


def test_an_authenticator_that_fails_answers_503(caplog: pytest.LogCaptureFixture) -> None:
    parts = Parts()

    @parts.auth.authenticate
    def find(request: Request) -> None:
        raise LookupError("database gone")

    response = ask(parts.app, "GET", "/odac/token")
    assert response.status_code == 503
    assert "database" not in response.text
    assert "database gone" in caplog.text


@pytest.mark.parametrize("site", ["same-origin", "same-site", "none", None])
def test_pages_of_this_site_get_tokens(site: str | None) -> None:
    response = ask(Parts().app, "GET", "/odac/token", headers={"sec-fetch-site": site} if site else {})
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/odac/token", "/"])
def test_other_sites_get_none(path: str) -> None:
    parts = Parts()
    headers = {"sec-fetch-site": "cross-site", "origin": "https://evil.example", "x-odac": "token"}
    response = ask(parts.app, "GET", path, headers=headers)
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert "token" not in response.headers.get("content-type", "")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_no_cors_header_whatever_asks(method: str) -> None:
    headers = {
        "origin": "https://evil.example",
        "access-control-request-method": "GET",
        "access-control-request-headers": "x-odac",
    }
    response = ask(Parts().app, method, "/odac/token", headers=headers)
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_tokens_are_for_get_alone(method: str) -> None:
    response = ask(Parts().app, method, "/odac/token")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET"
    assert "set-cookie" not in response.headers


def test_the_original_client_gets_its_token_at_the_root() -> None:
    parts = Parts()
    response = ask(parts.app, "GET", "/", headers={"X-Odac": "token"})
    assert parts.tokens.verify(response.json()["token"], parts.session_of(response))


def scope(path: str, root_path: str = "", **headers: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "root_path": root_path,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


CANONICAL = [
    ("/odac/publish", "/odac/publish", ""),
    ("/odac/publish", "/odac/publish?x=%70", ""),
    ("/rt/odac/publish", "/rt/odac/publish", "/rt"),
    ("/rt/odac/publish", "/odac/publish", "/rt"),
    ("/café/odac/publish", "/caf%C3%A9/odac/publish", "/café"),
]
OTHER_SPELLINGS = [
    ("/odac/publish", "/odac/%70ublish", ""),
    ("/odac/publish", "/%6fdac/publish", ""),
    ("/odac/publish", "/odac%2Fpublish", ""),
    ("/rt/odac/publish", "/%72t/odac/publish", "/rt"),
    ("/rt/odac/publish", "/rt/odac/publis%68", "/rt"),
    ("/odac/token", "/odac/%74oken", ""),
]


@pytest.mark.parametrize(("path", "raw", "mount"), CANONICAL)
def test_the_canonical_spelling_is_answered(path: str, raw: str, mount: str) -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": raw.encode(),
        "root_path": mount,
        "headers": [],
    }
    assert Parts(publish_keys=[KEY]).app.answers(scope)


@pytest.mark.parametrize(("path", "raw", "mount"), OTHER_SPELLINGS)
def test_other_spellings_are_no_endpoints(path: str, raw: str, mount: str) -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": raw.encode(),
        "root_path": mount,
        "headers": [],
    }
    assert not Parts(publish_keys=[KEY]).app.answers(scope)


def test_which_requests_are_answered_here() -> None:
    app = Parts().app
    assert app.answers(scope("/odac/token"))
    assert app.answers(scope("/odac/anything/at/all"))
    assert app.answers(scope("/rt/odac/token", "/rt"))
    assert app.answers(scope("/odac/token", "/rt"))  # a server whose path leaves the root path out
    assert app.answers(scope("/", **{"x-odac": "token"}))
    assert app.answers(scope("/rt", "/rt", **{"x-odac": "token"}))
    assert app.answers(scope("/rt/", "/rt", **{"x-odac": "token"}))
    assert not app.answers({**scope("/", **{"x-odac": "token"}), "method": "POST"})
    assert not app.answers(scope("/"))
    assert not app.answers(scope("/", **{"x-odac": "page"}))
    assert not app.answers(scope("/page", **{"x-odac": "token"}))
    assert not app.answers(scope("/odac"))
    assert not app.answers(scope("/odacious/token"))
    assert not app.answers(scope("/rt/odac/token"))


@pytest.mark.parametrize("path", ["/rt/odac/token", "/rt/odac/health", "/rt/odac/odac.js"])
def test_it_works_below_a_mount_point(path: str) -> None:
    app = Starlette(routes=[Mount("/rt", Parts().app)])
    assert ask(app, "GET", path).status_code == 200
    assert ask(app, "GET", path.removeprefix("/rt")).status_code == 404


def test_another_prefix() -> None:
    parts = Parts(prefix="/live/rt-1")
    assert ask(parts.app, "GET", "/live/rt-1/token").status_code == 200
    assert not parts.app.answers(scope("/odac/token"))


@pytest.mark.parametrize("prefix", ["", "/", "odac", "/odac/", "//odac", "/od ac", "/{id}", "/odac?x", None])
def test_a_prefix_that_is_no_path_is_refused(prefix: Any) -> None:
    with pytest.raises(ConfigurationError, match="prefix="):
        Parts(prefix=prefix)


def test_files_come_with_head_and_conditions() -> None:
    app = Parts().app
    full = ask(app, "GET", "/odac/odac.js")
    assert full.status_code == 200
    assert full.headers["content-type"] == "text/javascript; charset=utf-8"
    head = ask(app, "HEAD", "/odac/odac.js")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == full.headers
    again = ask(app, "GET", "/odac/odac.js?0.1.0", headers={"if-none-match": full.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert ask(app, "POST", "/odac/odac.js").status_code == 405


HOSTILE = [
    "/odac/",
    "/odac/__init__.py",
    "/odac/odac",
    "/odac/odac.js/",
    "/odac/odac.js%00",
    "/odac//odac.js",
    "/odac/./odac.js",
    "/odac/../app.py",
    "/odac/..%2fapp.py",
    "/odac/%2e%2e/app.py",
    "/odac/..%5capp.py",
    "/odac//etc/passwd",
    "/odac/ODAC.JS",
    "/odac/publish",
    "/odac/" + "a/" * 4000,
]


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path[:30])
def test_nothing_else_is_served(path: str) -> None:
    sent = asyncio.run(raw(Parts().app, {**scope(unquote(path)), "http_version": "1.1"}))
    assert sent[0]["status"] == 404
    assert b"Below this address are" in sent[1]["body"]


async def raw(app: Callable[..., Any], scope: dict[str, Any]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def test_health_says_how_the_process_is() -> None:
    well = ask(Parts().app, "GET", "/odac/health")
    assert (well.status_code, well.json()) == (200, {"status": "ok"})
    assert well.headers["cache-control"] == "no-store"
    ill = ask(Parts(health=lambda: Health(False, {"broker": "away", "status": "x"})).app, "GET", "/odac/health")
    assert (ill.status_code, ill.json()) == (503, {"broker": "away", "status": "unavailable"})
    assert ask(Parts(health=lambda: Health(False)).app, "HEAD", "/odac/health").status_code == 503
    assert ask(Parts().app, "POST", "/odac/health").status_code == 405


def test_publishing_is_off_without_a_key() -> None:
    parts = Parts()
    headers = {"authorization": f"Bearer {KEY}"}
    response = ask(parts.app, "POST", "/odac/publish", headers=headers, json={"room": "a", "data": 1})
    assert response.status_code == 404
    assert parts.published == []


def test_publishing_with_a_key() -> None:
    parts = Parts(publish_keys=[KEY])
    headers = {"authorization": f"Bearer {KEY}"}
    response = ask(parts.app, "POST", "/odac/publish", headers=headers, json={"room": "a", "data": 1})
    assert response.status_code == 202
    assert parts.published == [Publication(("a",), 1)]
    assert ask(parts.app, "POST", "/odac/publish", json={"room": "a", "data": 1}).status_code == 401
    assert ask(parts.app, "GET", "/odac/publish", headers=headers).headers["allow"] == "POST"


@given(st.dictionaries(st.sampled_from([b"cookie", b"x-odac", b"sec-fetch-site", b"host"]), st.binary(max_size=60)))
def test_any_bytes_in_the_headers_get_an_answer(headers: dict[bytes, bytes]) -> None:
    case = {**scope("/odac/token"), "scheme": "http", "headers": list(headers.items())}
    sent = asyncio.run(raw(Parts().app, case))
    assert sent[0]["status"] in (200, 403)


def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    parts = Parts(publish_keys=[KEY])
    with caplog.at_level(logging.DEBUG, logger="odac"):
        response = ask(parts.app, "GET", "/odac/token", headers={"cookie": "odac=forged.cookie"})
        ask(parts.app, "POST", "/odac/publish", headers={"authorization": f"Bearer {KEY}x"}, content=json.dumps({}))
    assert response.json()["token"] not in caplog.text
    assert response.cookies["odac"] not in caplog.text
    assert KEY not in caplog.text
