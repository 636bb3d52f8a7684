"""Odac around another app, and inside one: FastAPI and Starlette, with their own WebSocket routes and middleware."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from websockets.exceptions import InvalidStatus

from odac import Context, Odac
from tests.integration.harness import (
    DEADLINE,
    OpenRoutes,
    Probe,
    Server,
    closing,
    everybody,
    handshake_status,
    receive,
    receive_all,
)


class Life:
    """A lifespan that tells what it does."""

    def __init__(self, probe: Probe, name: str) -> None:
        self._probe = probe
        self._name = name

    @asynccontextmanager
    async def __call__(self, app: object) -> AsyncIterator[dict[str, str]]:
        self._probe("life", f"{self._name} starts")
        yield {"greeting": "from the lifespan"}
        self._probe("life", f"{self._name} stops")


def realtime(probe: Probe, **options: Any) -> Odac:
    app = Odac(secret="x" * 32, **options)
    ws = OpenRoutes(app)

    @ws("/room/{id}")
    def room(odac: Context) -> None:
        odac.ws.join("room")
        odac.ws.on("message", odac.ws.to("room").send)
        odac.ws.send([odac.request.path, odac.request.data.url])

    @ws("/who")
    async def who(odac: Context) -> None:
        odac.ws.send([str(await odac.auth.user()), dict(odac.request.scope.get("session", {}))])

    app.route.ws("/token", lambda odac: odac.ws.send("with a token"))
    app.route.auth.ws("/auth", who, token=False)
    return app


def fastapi_app(probe: Probe) -> FastAPI:
    web = FastAPI(lifespan=Life(probe, "FastAPI"))

    @web.get("/hello")
    def hello(name: str = "nobody") -> dict[str, str]:
        return {"hello": name}

    @web.get("/room/page")
    def page() -> dict[str, str]:
        return {"a": "page"}

    @web.get("/state")
    def state(request: Request) -> dict[str, str]:
        return {"greeting": request.state.greeting}

    @web.websocket("/own/{number}")
    async def own(socket: WebSocket, number: int) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_json([number, await socket.receive_json()])
        except WebSocketDisconnect as error:
            probe("left", error.code)

    return web


@pytest.fixture(scope="module", params=["direct", "asgi"])
def lane(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def wrapping(lane: Any) -> Iterator[Server]:
    """An Odac app around a FastAPI app."""
    probe = Probe()
    with Server(realtime(probe, http=fastapi_app(probe)), lane=lane, probe=probe) as server:
        yield server
    assert probe.so_far("life") == ["FastAPI starts", "FastAPI stops"]


class Backend(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        name = conn.headers.get("x-user")
        return (AuthCredentials(["authenticated"]), SimpleUser(name)) if name else None


def inside(kind: str, probe: Probe) -> Any:
    """An Odac app below /rt of another app, with that app's lifespan and middleware in front."""
    odac = realtime(probe)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
        async with Life(probe, kind)(app) as state, odac.lifespan(app):
            yield state

    middleware: list[Any] = [
        Middleware(SessionMiddleware, secret_key="y" * 32),
        Middleware(AuthenticationMiddleware, backend=Backend()),
    ]

    async def sign_in(request: Request) -> Response:
        request.session["name"] = "Ada"
        return PlainTextResponse("in")

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close(4444)

    if kind == "FastAPI":
        web = FastAPI(lifespan=lifespan, middleware=middleware)
        web.add_route("/sign-in", sign_in)
        web.add_api_websocket_route("/own", echo)
        web.mount("/rt", odac)
        web.mount("/tenant/{name}", odac)
        return web
    routes = [
        Route("/sign-in", sign_in),
        WebSocketRoute("/own", echo),
        Mount("/rt", odac),
        Mount("/tenant/{name}", odac),
    ]
    return Starlette(routes=routes, lifespan=lifespan, middleware=middleware)


@pytest.fixture(scope="module", params=["FastAPI", "Starlette"])
def mounted(request: pytest.FixtureRequest, lane: Any) -> Iterator[Server]:
    """An Odac app inside another."""
    probe = Probe()
    with Server(inside(request.param, probe), lane=lane, probe=probe) as server:
        yield server
    assert probe.so_far("life") == [f"{request.param} starts", f"{request.param} stops"]


# Around


def test_http_goes_to_the_wrapped_app(wrapping: Server) -> None:
    assert wrapping.http("GET", "/hello?name=Ada").json == {"hello": "Ada"}
    assert wrapping.http("GET", "/docs").status == 200
    assert wrapping.http("GET", "/nothing").json == {"detail": "Not Found"}
    assert wrapping.http("POST", "/hello").status == 405


def test_a_page_may_have_the_path_of_a_websocket_route_and_where_there_is_none_it_is_explained(
    wrapping: Server,
) -> None:
    assert wrapping.http("GET", "/room/page").json == {"a": "page"}
    answer = wrapping.http("GET", "/room/1")
    assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")
    assert b"WebSocket endpoint" in answer.body
    assert wrapping.http("POST", "/room/page").status == 405


def test_the_wrapped_apps_lifespan_state_reaches_its_requests(wrapping: Server) -> None:
    assert wrapping.http("GET", "/state").json == {"greeting": "from the lifespan"}


def test_the_endpoints_stay_odacs(wrapping: Server) -> None:
    assert wrapping.http("GET", "/odac/odac.js").headers["content-type"].startswith("text/javascript")
    assert "token" in wrapping.http("GET", "/odac/token").json
    assert wrapping.http("GET", "/odac/health").json["status"] == "ok"
    assert "token" in wrapping.http("GET", "/", {"X-Odac": "token"}).json
    with wrapping.connect("/token", token=True) as client:
        assert receive(client) == "with a token"


def test_odacs_routes_and_the_wrapped_apps_own_live_side_by_side(wrapping: Server) -> None:
    with everybody(wrapping.connect("/room/1"), wrapping.connect("/own/7")) as (ours, own):
        assert receive(ours) == ["/room/1", {"id": "1"}]
        own.send('{"a": 1}')
        assert receive(own) == [7, {"a": 1}]
        ours.send("2")
        assert receive(ours) == 2
        own.close(4001)
    assert wrapping.probe.get("left") == 4001


def test_a_path_that_neither_knows_is_refused(wrapping: Server) -> None:
    with pytest.raises(InvalidStatus) as failure, wrapping.connect("/nothing"):
        pass
    assert failure.value.response.status_code in (403, 404)


def test_the_wrapped_apps_own_refusal_reaches_the_client(wrapping: Server) -> None:
    with pytest.raises(InvalidStatus) as failure, wrapping.connect("/own/not-a-number"):
        pass
    assert failure.value.response.status_code == 403


# Inside


@pytest.mark.parametrize(
    ("path", "parameters"), [("/rt/room/1", {"id": "1"}), ("/tenant/acme/room/1", {"name": "acme", "id": "1"})]
)
def test_routes_lie_below_the_mount_point(mounted: Server, path: str, parameters: dict[str, str]) -> None:
    with mounted.connect(path) as client:
        got_path, got = receive(client)
        assert got_path == path
        assert {name: got[name] for name in parameters} == parameters
        client.send('"hello"')
        assert receive(client) == "hello"


def test_the_endpoints_lie_below_the_mount_point(mounted: Server) -> None:
    assert mounted.http("GET", "/rt/odac/odac.js").status == 200
    assert mounted.http("GET", "/rt/odac/odac.mjs").status == 200
    assert mounted.http("GET", "/odac/odac.js").status == 404
    for path, headers in (("/rt/odac/token", {}), ("/rt/", {"X-Odac": "token"})):
        answer = mounted.http("GET", path, headers)
        token, cookie = answer.json["token"], answer.headers["set-cookie"].partition(";")[0]
        with mounted.connect("/rt/token", subprotocols=[f"odac-token-{token}"], headers={"Cookie": cookie}) as client:
            assert receive(client) == "with a token"


def test_http_and_missing_paths_below_the_mount_point(mounted: Server) -> None:
    assert mounted.http("GET", "/rt/room/1").status == 426
    assert mounted.http("GET", "/rt/nothing").status == 404
    for path in ("/rt/nothing", "/room/1"):
        with pytest.raises(InvalidStatus) as failure, mounted.connect(path):
            pass
        assert failure.value.response.status_code in (403, 404)


def test_the_outer_apps_own_websocket_routes_work(mounted: Server) -> None:
    with mounted.connect("/own") as client:
        client.send("text")
        assert client.recv(DEADLINE) == "text"
        assert closing(client)[0] == 4444


def test_the_user_of_the_middleware_in_front_is_the_user(mounted: Server) -> None:
    with mounted.connect("/rt/auth") as client:
        assert closing(client)[0] == 4001
    with mounted.connect("/rt/auth", headers={"X-User": "ada"}) as client:
        receive(client)
        assert mounted.http("GET", "/sign-in").status == 200


def test_the_session_of_the_middleware_in_front_is_in_the_scope(mounted: Server) -> None:
    cookie = mounted.http("GET", "/sign-in").headers["set-cookie"].partition(";")[0]
    with mounted.connect("/rt/who", headers={"Cookie": cookie}) as client:
        assert receive(client)[1] == {"name": "Ada"}


# Lifespans


@pytest.mark.parametrize("kind", ["FastAPI", "Starlette"])
def test_mounted_without_a_lifespan_it_starts_with_the_first_request(kind: str) -> None:
    odac = realtime(Probe())
    web: Any = FastAPI() if kind == "FastAPI" else Starlette()
    web.mount("/rt", odac)
    with Server(web) as server, server.connect("/rt/room/1") as client:
        assert receive_all(client, 1)[0][0] == "/rt/room/1"
        assert server.http("GET", "/rt/odac/health").json["connections"] == 1


def test_odacs_lifespan_fits_where_a_lifespan_is_taken() -> None:
    odac = realtime(Probe())
    web = FastAPI(lifespan=odac.lifespan)
    web.mount("/rt", odac)
    with Server(web) as server, server.connect("/rt/room/1") as client:
        receive(client)


def test_a_wrapped_app_without_lifespan_works() -> None:
    async def bare(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http", "this app knows nothing but HTTP"
        await JSONResponse({"bare": True})(scope, receive, send)

    with Server(realtime(Probe(), http=bare)) as server:
        assert server.http("GET", "/anything").json == {"bare": True}


async def http_only(scope: Any, receive: Any, send: Any) -> None:
    """As Django, and what makes an ASGI app of Flask's, have it."""
    if scope["type"] != "http":
        raise ValueError(f"only HTTP connections, not {scope['type']}")
    await PlainTextResponse("an ordinary page")(scope, receive, send)


def test_a_handshake_for_an_app_that_knows_only_http_is_answered_with_404(
    lane: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with Server(realtime(Probe(), http=http_only), lane=lane) as server:
        assert server.http("GET", "/page").body == b"an ordinary page"
        with caplog.at_level("INFO", "odac"):
            # Over plain ASGI uvicorn has the extension that lets an app say which status.
            assert [handshake_status(server, path) for path in ("/page", "/other")] == [404, 404]
        assert [record.exc_info is not None for record in caplog.records if "http=" in record.message] == [True]
        assert handshake_status(server, "/page", "Origin: https://elsewhere.example") == 403
        with server.connect("/room/1") as client:
            assert receive(client) == ["/room/1", {"id": "1"}]


def test_an_error_of_an_app_that_takes_websockets_is_an_error(lane: Any) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] != "lifespan"
        if scope["path"] == "/works":
            await receive()
            await send({"type": "websocket.close"})
        raise ValueError("broken")

    with Server(realtime(Probe(), http=failing), lane=lane) as server:
        assert handshake_status(server, "/works") == 403
        assert handshake_status(server, "/broken") == 500


def test_a_root_path_that_the_proxy_does_not_strip_is_named(lane: Any, caplog: pytest.LogCaptureFixture) -> None:
    """``--root-path /live`` behind a proxy that passes ``/live/…`` on as it is: the path has it twice."""
    with Server(realtime(Probe()), lane=lane, root_path="/live") as server, caplog.at_level("WARNING", "odac"):
        with server.connect("/room/1") as client:
            assert receive(client) == ["/live/room/1", {"id": "1"}]
        assert not caplog.records
        assert handshake_status(server, "/live/room/1") == 404
        assert server.http("GET", "/live/odac/token").status == 404
    told = [record.getMessage() for record in caplog.records if "twice" in record.getMessage()]
    assert len(told) == 2, caplog.text
    assert all("Let the proxy strip it" in line for line in told)


@pytest.mark.parametrize("around", [False, True], ids=["alone", "within Odac"])
def test_what_a_view_raises_is_the_servers_to_log_as_without_odac(
    around: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Each with its traceback, at uvicorn's own logger, where error trackers look for it."""
    requests = 12  # more than Odac writes of one kind in a minute

    def broken(request: Request) -> Response:
        raise ValueError("of the view")

    views = Starlette(routes=[Route("/broken", broken)])
    with Server(realtime(Probe(), http=views) if around else views) as server, caplog.at_level("ERROR"):
        assert [server.http("GET", "/broken").status for _ in range(requests)] == [500] * requests
    logged = [record for record in caplog.records if record.exc_info and isinstance(record.exc_info[1], ValueError)]
    assert [record.name for record in logged] == ["uvicorn.error"] * requests


def test_several_apps_in_one_process_do_not_see_each_other() -> None:
    one, two = realtime(Probe()), realtime(Probe())
    web = Starlette(routes=[Mount("/one", one), Mount("/two", two)])
    with Server(web) as server, everybody(server.connect("/one/room/1"), server.connect("/two/room/1")) as (a, b):
        receive(a), receive(b)
        assert (one.route.ws_server.client_count, two.route.ws_server.client_count) == (1, 1)
        one.route.ws_server.to_room("room", "one")
        two.route.ws_server.broadcast("two")
        assert receive(a) == "one"
        assert receive(b) == "two"
