from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from odac import ConfigurationError, Limits, Odac, SessionOptions
from odac.security import secret
from tests.unit.realtime.realtime_fakes import idle, run

SECRET = "x" * 32

Messages = list[dict[str, Any]]


class Server:
    """As much of an ASGI server as one scope needs."""

    def __init__(self, *incoming: dict[str, Any]) -> None:
        self._incoming = list(incoming)
        self.sent: Messages = []

    async def receive(self) -> dict[str, Any]:
        if len(self._incoming) == 1:
            await idle()  # the end comes when all else has happened
        return self._incoming.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


def http_scope(path: str, method: str = "GET", headers: Any = (), **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "headers": list(headers),
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        **more,
    }


def get(app: Odac, path: str, **more: Any) -> tuple[int, bytes]:
    async def ask() -> tuple[int, bytes]:
        server = Server({"type": "http.request", "body": b"", "more_body": False})
        await app(http_scope(path, **more), server.receive, server.send)
        return server.sent[0]["status"], b"".join(each.get("body", b"") for each in server.sent[1:])

    return run(ask())


def live(app: Odac) -> Messages:
    server = Server({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    run(app({"type": "lifespan"}, server.receive, server.send))
    return server.sent


# Arguments


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"limits": 7}, r"must be Limits\(…\)"),
        ({"limits": {"max_payload": 1}}, r"must be Limits\(…\)"),
        ({"http": 7}, "must be an ASGI app"),
        ({"http": Flask("shop")}, "is a WSGI app"),
        ({"prefix": "odac"}, "prefix"),
        ({"prefix": "/odac/"}, "prefix"),
        ({"prefix": ""}, "prefix"),
        ({"broker": "gopher://x"}, "gopher"),
        ({"origins": ["example.com"]}, "example.com"),
        ({"secret": ""}, "secret"),
    ],
)
def test_arguments_that_cannot_work_say_so(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Odac(**{"secret": SECRET, **arguments})


def test_without_a_secret_there_is_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("ODAC_SECRET", raising=False)
    secret._random_secret.cache_clear()  # it is made, and told, once a process
    Odac()
    assert "ODAC_SECRET" in caplog.text
    caplog.clear()
    monkeypatch.setenv("ODAC_SECRET", SECRET)
    Odac()
    assert caplog.text == ""


def test_the_broker_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Odac(SECRET).broker_url == "memory://"
    monkeypatch.setenv("ODAC_BROKER", "redis://localhost")
    assert Odac(SECRET).broker_url == "redis://localhost"
    assert Odac(SECRET, broker="memory://").broker_url == "memory://"


def test_repr_counts_the_routes_and_shows_no_secret() -> None:
    app = Odac(SECRET)
    app.route.ws("/a", print)
    assert "1 " in repr(app)
    assert SECRET not in repr(app)
    assert [route.path for route in app.websocket_routes] == ["/a"]


# Start


def test_an_unknown_middleware_fails_at_start_with_the_fix(caplog: pytest.LogCaptureFixture) -> None:
    app = Odac(SECRET)
    app.route.use("rate-limit").ws("/chat", print)
    with pytest.raises(ConfigurationError, match=r"'/chat'.*@app\.middleware\('rate-limit'\)"):
        app.check()
    [answer] = live(app)
    assert answer["type"] == "lifespan.startup.failed"
    assert "@app.middleware('rate-limit')" in answer["message"]
    assert "rate-limit" in caplog.text


def test_a_middleware_may_be_named_after_its_use() -> None:
    app = Odac(SECRET)
    app.route.use("later").ws("/chat", print)

    @app.middleware("later")
    def later(odac: object) -> None: ...

    app.check()
    assert [each["type"] for each in live(app)] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_it_can_be_started_again_on_another_loop() -> None:
    app = Odac(SECRET)
    for _ in range(3):
        assert live(app)[0]["type"] == "lifespan.startup.complete"
        assert get(app, "/odac/health")[0] == 200


def test_two_starts_at_once_are_one() -> None:
    async def test() -> None:
        app = Odac(SECRET)
        await asyncio.gather(*(app.startup() for _ in range(5)))
        first = app._hub.delivery
        await app.startup()
        assert app._hub.delivery is first
        await app.shutdown()
        await app.shutdown()

    run(test())


def test_lifespan_is_a_context_manager_for_an_outer_app() -> None:
    async def test() -> None:
        app = Odac(SECRET)
        async with app.lifespan(object()):
            assert app.is_running
        assert not app.is_running

    run(test())


# Lifespans of a wrapped app


def test_a_wrapped_app_lives_inside() -> None:
    order: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        order.append(f"inner starts, outer runs: {app.is_running}")
        scope["state"]["key"] = "value"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        order.append("inner stops")
        await send({"type": "lifespan.shutdown.complete"})

    app = Odac(SECRET, http=inner)
    state: dict[str, str] = {}
    server = Server({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    run(app({"type": "lifespan", "state": state}, server.receive, server.send))
    assert [each["type"] for each in server.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert order == ["inner starts, outer runs: True", "inner stops"]
    assert state == {"key": "value"}
    assert not app.is_running


@pytest.mark.parametrize("how", ["raises", "returns"])
def test_a_wrapped_app_that_knows_no_lifespan_is_left_alone(how: str) -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        if how == "raises":
            raise AssertionError("HTTP only")

    assert [each["type"] for each in live(Odac(SECRET, http=inner))] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


def test_a_wrapped_app_that_fails_to_start_stops_the_outer_one() -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    app = Odac(SECRET, http=inner)
    assert live(app) == [{"type": "lifespan.startup.failed", "message": "no database"}]
    assert not app.is_running


# Requests


def test_health_is_503_while_it_drains() -> None:
    async def test() -> tuple[int, int]:
        app = Odac(SECRET)
        await app.startup()
        statuses = []
        for _ in range(2):
            server = Server({"type": "http.request", "body": b"", "more_body": False})
            await app(http_scope("/odac/health"), server.receive, server.send)
            statuses.append(server.sent[0]["status"])
            app.drain()
        await app.shutdown()
        return statuses[0], statuses[1]

    assert run(test()) == (200, 503)


def test_a_scope_of_another_kind_is_refused() -> None:
    async def test() -> None:
        await Odac(SECRET)({"type": "gopher"}, None, None)

    with pytest.raises(RuntimeError, match="gopher"):
        run(test())


# Handshakes in plain ASGI


def websocket_scope(path: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "websocket",
        "path": path,
        "headers": [(b"host", b"localhost")],
        "query_string": b"",
        "scheme": "ws",
        "client": ("10.0.0.1", 1234),
        "subprotocols": [],
        **more,
    }


def handshake(app: Odac, path: str, **more: Any) -> Messages:
    server = Server({"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000})
    run(app(websocket_scope(path, **more), server.receive, server.send))
    return server.sent


def test_a_route_added_while_the_app_runs_has_its_middleware() -> None:
    app = Odac(SECRET)
    ran: list[str] = []

    @app.middleware("notes")
    def notes(odac: Any) -> None:
        ran.append("middleware")

    async def test() -> None:
        await app.startup()
        app.route.use("notes").ws("/late", lambda odac: ran.append("handler"), token=False)
        server = Server({"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000})
        await app(websocket_scope("/late"), server.receive, server.send)
        await app.shutdown()

    run(test())
    assert ran == ["middleware", "handler"]


def test_registering_twice_is_a_mistake() -> None:
    app = Odac(SECRET)
    decorators: list[Callable[[Any], Any]] = [app.authenticate, app.middleware("x")]
    for decorate in decorators:
        assert decorate(print) is print
    with pytest.raises(ConfigurationError, match="twice"):
        app.authenticate(repr)
    with pytest.raises(ConfigurationError, match="two middlewares"):
        app.middleware("x")


@pytest.mark.parametrize(
    "wrong",
    [{"compression": "no"}, {"user_id": 7}, {"broker": 7}, {"http": "app"}, {"limits": None}, {"origins": 7}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_arguments_that_cannot_work_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Odac(SECRET, **wrong)


def test_the_session_cookie_can_be_set_up() -> None:
    app = Odac(SECRET, session=SessionOptions(cookie="shop", lifetime=60))
    response = Response()
    app.auth.login(response, {"id": 7}, request=HttpRequest(http_scope("/", scheme="https")))
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("__Host-shop=")
    assert "Max-Age=60;" in cookie
    with pytest.raises(ConfigurationError, match="SessionOptions"):
        Odac(SECRET, session={"cookie": "shop"})  # type: ignore[arg-type]


def test_a_logout_cannot_be_flushed_by_others() -> None:
    app = Odac(SECRET)

    def logged_out(cookies: dict[str, str]) -> None:
        app.auth.logout(Response(), request=SimpleNamespace(is_secure=False, cookies=cookies))

    ada = {"odac": app.auth.sessions.encode(app.auth.sessions.create({"id": 7}))}
    logged_out(ada)
    for _ in range(66_000):
        logged_out({"odac": app.auth.sessions.encode(app.auth.sessions.create())})
    assert app.auth.session(SimpleNamespace(is_secure=False, cookies=ada)) is None


@pytest.mark.parametrize(("broker", "warned"), [("memory://", False), ("memory://limits", True)])
def test_a_limit_above_what_can_be_sent_between_processes_is_logged_at_start(
    broker: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        app = Odac("x" * 40, broker=broker, limits=Limits(max_payload=4 * 1024 * 1024, outgoing_buffer=8 * 1024 * 1024))
        async with app.lifespan():
            pass

    asyncio.run(main())
    assert any("can be sent to other processes" in record.getMessage() for record in caplog.records) == warned


@pytest.mark.parametrize("name", ["get", "websocket", "mount"])
def test_what_a_web_framework_has_is_answered_with_what_there_is_here(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"'Odac' object has no attribute '{name}'.*@app\.route\.ws.*Odac\(http="):
        getattr(Odac(SECRET), name)
    with pytest.raises(AttributeError, match="'Odac' object has no attribute 'gett'"):
        getattr(Odac(SECRET), "gett")  # noqa: B009 - a type checker refuses it otherwise
    assert not hasattr(Odac(SECRET), name)


def test_a_property_of_a_subclass_that_fails_is_answered_with_its_own_error() -> None:
    class App(Odac):
        @property
        def motto(self) -> Any:
            return self.request.motto  # type: ignore[attr-defined]

    with pytest.raises(AttributeError, match="'App' object has no attribute 'request'"):
        _ = App(SECRET).motto
    assert not hasattr(App(SECRET), "motto")


@pytest.mark.parametrize("name", ["route", "room_rules", "addresses", "_hub"])
def test_a_subclass_that_does_not_call_init_gets_an_error_that_says_so(name: str) -> None:
    class App(Odac):
        def __init__(self) -> None:
            self.name = "app"

    with pytest.raises(AttributeError, match=r"call super\(\)\.__init__\(…\) first in App\.__init__"):
        getattr(App(), name)


def test_an_app_in_the_place_of_the_secret() -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="an app to wrap is given as http="):
        Odac(page)  # type: ignore[arg-type]
