"""``login`` and ``logout`` on the real response objects of the frameworks, with their real requests."""

from __future__ import annotations

import asyncio
import importlib
import os
from typing import Any

import httpx
import pytest

from odac.request import Request
from odac.security.authentication import AuthService, current_request
from odac.security.secret import Secrets
from odac.security.session import Sessions
from tests.unit.django_settings import configure

ADA = {"id": 7, "name": 'Ada; "ü"'}
SESSIONS = Sessions(Secrets("a" * 32))


def library(name: str) -> Any:
    """The library, typed loosely: not all of them have types. Where one is missing the test is skipped, never in CI."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{name} is not installed")


class Wrapping:
    """Passes requests on to an app as Odac(http=app) does."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        reset = current_request.set(Request(scope)) if scope["type"] == "http" else None
        try:
            await self.app(scope, receive, send)
        finally:
            if reset is not None:
                current_request.reset(reset)


def starlette_app(auth: AuthService, pass_request: bool) -> Any:
    applications, responses, routing = map(
        library, ("starlette.applications", "starlette.responses", "starlette.routing")
    )

    def login(request: Any) -> Any:  # in a thread
        response = responses.RedirectResponse("/")
        auth.login(response, ADA, request if pass_request else None)
        return response

    async def logout(request: Any) -> Any:
        response = responses.PlainTextResponse("bye")
        auth.logout(response, request if pass_request else None)
        return response

    return applications.Starlette(routes=[routing.Route("/login", login), routing.Route("/logout", logout)])


def fastapi_app(auth: AuthService, pass_request: bool) -> Any:
    fastapi = library("fastapi")
    app = fastapi.FastAPI()

    def login(request: Any, response: Any) -> dict[str, bool]:
        auth.login(response, ADA, request if pass_request else None)
        return {"ok": True}

    async def logout(request: Any, response: Any) -> dict[str, bool]:
        auth.logout(response, request if pass_request else None)
        return {"ok": True}

    for view in (login, logout):
        view.__annotations__ = {"request": fastapi.Request, "response": fastapi.Response}
        app.get(f"/{view.__name__}", response_model=None)(view)
    return app


def litestar_app(auth: AuthService, pass_request: bool) -> Any:
    litestar = library("litestar")

    async def login(request: Any) -> Any:
        response = litestar.Response({"ok": True})
        auth.login(response, ADA, request if pass_request else None)
        return response

    async def logout(request: Any) -> Any:
        response = litestar.Response({"ok": True})
        auth.logout(response, request if pass_request else None)
        return response

    for view in (login, logout):
        view.__annotations__ = {"request": litestar.Request, "return": litestar.Response}
    return litestar.Litestar([litestar.get("/login")(login), litestar.get("/logout")(logout)], openapi_config=None)


def django_app(auth: AuthService, pass_request: bool) -> Any:
    library("django")
    configure()
    names = ("django.core.handlers.asgi", "django.http", "django.test.utils", "django.urls")
    handlers, http, utils, urls = map(library, names)

    def login(request: Any) -> Any:  # in a thread
        response = http.HttpResponse("in")
        auth.login(response, ADA, request if pass_request else None)
        return response

    async def logout(request: Any) -> Any:
        response = http.JsonResponse({"ok": True})
        auth.logout(response, request if pass_request else None)
        return response

    class Urls:
        urlpatterns = (urls.path("login", login), urls.path("logout", logout))

    handler = handlers.ASGIHandler()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with utils.override_settings(ROOT_URLCONF=Urls):
            await handler(scope, receive, send)

    return app


APPS = {"starlette": starlette_app, "fastapi": fastapi_app, "litestar": litestar_app, "django": django_app}


@pytest.fixture(params=["wrapped", "request="])
def pass_request(request: pytest.FixtureRequest) -> bool:
    """Whether the view says which request it answers, or the app that wraps its framework knows."""
    return bool(request.param == "request=")


@pytest.fixture
def auth() -> tuple[AuthService, list[str]]:
    ended: list[str] = []
    return AuthService(SESSIONS, on_logout=lambda session: ended.append(session.id)), ended


@pytest.mark.parametrize("base", ["http://site.example", "https://site.example"], ids=["http", "https"])
@pytest.mark.parametrize("framework", APPS)
def test_login_and_logout(framework: str, pass_request: bool, base: str, auth: tuple[AuthService, list[str]]) -> None:
    service, ended = auth
    app = APPS[framework](service, pass_request)
    if not pass_request:
        app = Wrapping(app)
    name = "__Host-odac" if base.startswith("https") else "odac"

    async def go() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
            response = await client.get("/login")
            assert response.status_code in (200, 307), response.text
            check_attributes(response.headers["set-cookie"], name)
            session = SESSIONS.read(client.cookies[name].strip('"'))
            assert session is not None
            assert session.user == ADA

            response = await client.get("/logout")
            check_attributes(response.headers["set-cookie"], name)
            assert not list(client.cookies.jar)  # a browser's rules, as the standard library has them
            assert ended == [session.id]

    asyncio.run(go())


def check_attributes(header: str, name: str) -> None:
    cookie, *attributes = header.split("; ")
    found = {each.partition("=")[0].lower(): each.partition("=")[2].lower() for each in attributes}
    assert cookie.startswith(f"{name}=")
    assert found["path"] == "/"
    assert found["samesite"] == "lax"
    assert "httponly" in found
    assert "domain" not in found
    assert ("secure" in found) == name.startswith("__Host-")
    assert "max-age" in found


@pytest.mark.parametrize("base", ["http://site.example", "https://site.example"], ids=["http", "https"])
def test_flask(base: str, auth: tuple[AuthService, list[str]]) -> None:
    flask = library("flask")
    service, ended = auth
    app = flask.Flask("site")

    @app.get("/login")  # type: ignore[untyped-decorator, unused-ignore]
    def login() -> Any:
        response = flask.make_response("in")
        service.login(response, ADA, flask.request)
        return response

    @app.get("/logout")  # type: ignore[untyped-decorator, unused-ignore]
    def logout() -> Any:
        response = flask.jsonify(ok=True)
        service.logout(response, flask.request)
        return response

    name = "__Host-odac" if base.startswith("https") else "odac"
    client = app.test_client()
    response = client.get("/login", base_url=base)
    check_attributes(response.headers["set-cookie"], name)
    session = SESSIONS.read(response.headers["set-cookie"].split(";")[0].partition("=")[2])
    assert session is not None
    assert session.user == ADA
    response = client.get("/logout", base_url=base)
    check_attributes(response.headers["set-cookie"], name)
    assert ended == [session.id]
    assert client.get_cookie(name, domain="site.example") is None


def test_djangos_proxy_setting_decides_where_its_request_is_passed(auth: tuple[AuthService, list[str]]) -> None:
    django_app(auth[0], pass_request=True)
    test, http, utils = map(library, ("django.test", "django.http", "django.test.utils"))
    with utils.override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")):
        for proto, name in (("https", "__Host-odac"), ("http", "odac")):
            response = http.HttpResponse()
            auth[0].login(response, ADA, test.RequestFactory().get("/", headers={"x-forwarded-proto": proto}))
            assert list(response.cookies) == [name]


def test_djangos_user_in_the_scope_is_the_connections_user(auth: tuple[AuthService, list[str]]) -> None:
    django_app(auth[0], pass_request=True)
    anonymous = library("django.contrib.auth.base_user")

    class Member(anonymous.AbstractBaseUser):  # type: ignore[misc, name-defined, unused-ignore]
        class Meta:
            app_label = "site"

    member = Member(pk=5)
    scope = {"type": "websocket", "path": "/", "headers": [], "user": member}
    connection = auth[0].connection(Request(scope))
    assert asyncio.run(connection.user()) is member
    assert asyncio.run(connection.user_id()) == 5
