"""Routes, and the checks between a handshake and its handler: each refusal is a status or a close code."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from websockets.exceptions import InvalidStatus

from odac import Context, Odac
from odac.request import Request
from tests.integration.harness import (
    DEADLINE,
    Answer,
    OpenRoutes,
    Probe,
    Server,
    closing,
    handshake_status,
    receive,
    receive_all,
)

ADA = {"X-User": "ada"}
VERDICTS: list[object] = ["", 0, 1, "rejected", [], {"reason": "x"}, 2.5]


def build(probe: Probe) -> Odac:
    app = Odac(secret="x" * 32)
    ws = OpenRoutes(app)

    @app.authenticate
    async def find_user(request: Request) -> str | None:
        await asyncio.sleep(0)
        probe("authenticate", request.path)
        if request.header("x-user") == "cancelled":
            raise asyncio.CancelledError
        if request.header("x-user") == "raise":
            raise RuntimeError("the user database is gone")
        return request.header("x-user")

    def ready(odac: Context) -> None:
        probe("handler", odac.request.path)
        odac.ws.send(["ready", odac.request.data.url])

    # Ways to add a route

    app.route.ws("/called", ready, token=False)

    @app.route.ws("/decorated", token=False)
    async def decorated(odac: Context) -> None:
        await asyncio.sleep(0)
        ready(odac)

    @ws("/no-argument")
    def no_argument() -> None:
        probe("handler", "/no-argument")

    class Chat:
        def __call__(self, odac: Context) -> None:
            odac.ws.send("an object")

        async def method(self, odac: Context) -> None:
            odac.ws.send("a method")

    app.route.ws("/object", Chat(), token=False)
    app.route.ws("/method", Chat().method, token=False)

    # Parameters

    for path in (
        "/room/{id}",
        "/room/mine",
        "/number/{n:int}",
        "/float/{n:float}",
        "/file/{where:path}",
        "/two/{a}/x/{b:int}",
        "/user-{name}.json",
    ):
        app.route.ws(path, ready, token=False)

    @ws("/uuid/{id:uuid}")
    def uuid(odac: Context) -> None:
        assert isinstance(odac.request.data.url["id"], UUID)
        odac.ws.send(str(odac.request.data.url["id"]))

    # Gates

    app.route.ws("/token", ready)
    app.route.auth.ws("/auth", ready, token=False)
    app.route.auth.ws("/auth-and-token", ready)

    @app.middleware("logs")
    def logs(odac: Context) -> None:
        probe("middleware", "logs")

    @app.middleware("async-true")
    async def async_true(odac: Context) -> bool:
        await asyncio.sleep(0)
        probe("middleware", "async-true")
        return True

    @app.middleware("no")
    def no(odac: Context) -> bool:
        probe("middleware", "no")
        return False

    @app.middleware("no-argument")
    def no_odac() -> None:
        probe("middleware", "no-argument")

    @app.middleware("raises")
    def raises(odac: Context) -> None:
        raise ZeroDivisionError("in the middleware")

    @app.middleware("async-raises")
    async def async_raises(odac: Context) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError("in the async middleware")

    @app.middleware("closes")
    def closes(odac: Context) -> None:
        odac.ws.send("why")
        odac.ws.close(4567, "my own words")

    @app.middleware("sends")
    def sends(odac: Context) -> None:
        odac.ws.data.seen = ["sends"]
        odac.ws.join("from the middleware")
        odac.ws.send("hello from the middleware")

    def function(odac: Context) -> None:
        odac.ws.data.seen.append("function")

    for verdict in VERDICTS:
        app.route.use(partial(lambda verdict: verdict, verdict)).ws(f"/verdict/{verdict!r}", ready, token=False)

    app.route.use("logs", "async-true").ws("/passes", ready, token=False)
    app.route.use("logs").use("async-true", "no", "logs").ws("/stops", ready, token=False)
    app.route.use("no-argument").ws("/middleware-no-argument", ready, token=False)

    @app.middleware("cancelled")
    async def cancelled(odac: Context) -> None:
        task = asyncio.ensure_future(asyncio.Event().wait())
        task.cancel()
        await task

    app.route.use("cancelled").ws("/cancelled", ready, token=False)
    app.route.use("raises").ws("/raises", ready, token=False)
    app.route.use("async-raises").ws("/async-raises", ready, token=False)
    app.route.use("closes").ws("/closes", ready, token=False)
    app.route.use("logs").auth.ws("/use-auth", ready, token=False)
    app.route.auth.use("logs").ws("/auth-use", ready, token=False)
    app.route.use("auth", "logs").ws("/use-auth-by-name", ready, token=False)
    app.route.use("no").auth.ws("/everything")(ready)

    @app.middleware("timed")
    async def timed(odac: Context) -> None:
        async with asyncio.timeout(DEADLINE):
            await asyncio.sleep(0)
        odac.ws.send("gate")

    @app.route.use("timed").ws("/timed", token=False)
    async def timed_handler(odac: Context) -> None:
        async with asyncio.timeout(DEADLINE):
            await asyncio.sleep(0)
        odac.ws.send("handler")

    @app.route.use("sends", function).ws("/carries", token=False)
    def carries(odac: Context) -> None:
        odac.ws.send([*odac.ws.data.seen, *odac.ws.rooms])

    @ws("/ends-its-generator")
    def ends_its_generator(odac: Context) -> None:
        raise GeneratorExit  # which no code of Odac handles

    # The reference's other way

    @ws("/asks-itself")
    async def asks_itself(odac: Context) -> None:
        if not await odac.auth.check():
            return odac.ws.close(4001, "Unauthorized")
        odac.ws.send(await odac.auth.user())
        return None

    @ws("/request")
    def request(odac: Context) -> None:
        here = odac.request
        assert here.scope["type"] == "websocket"
        odac.ws.send(
            [
                here.path,
                here.query["q"],
                here.header("X-Thing"),
                here.headers["x-thing"],
                here.header("missing", "default"),
                here.cookie("a"),
                dict(here.cookies),
                here.ip,
                here.data.url,
            ]
        )

    return app


def code_of(server: Server, path: str, **options: Any) -> int | None:
    """The code that a connection is closed with before anything is sent."""
    with server.connect(path, **options) as client:
        return closing(client)[0]


# Routes


@pytest.mark.parametrize("path", ["/called", "/decorated"])
def test_a_route_is_added_by_a_call_and_by_a_decorator(server: Server, path: str) -> None:
    with server.connect(path) as client:
        assert receive(client) == ["ready", {}]


def test_a_handler_may_take_no_argument_or_be_any_callable(server: Server, probe: Probe) -> None:
    with server.connect("/no-argument"):
        assert probe.get("handler") == "/no-argument"
    with server.connect("/object") as client:
        assert receive(client) == "an object"
    with server.connect("/method") as client:
        assert receive(client) == "a method"


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/room/7", {"id": "7"}),
        ("/room/a%20b", {"id": "a b"}),
        ("/room/%C3%BC", {"id": "ü"}),
        ("/room/7?x=1", {"id": "7"}),
        ("/room/mine", {}),
        ("/number/42", {"n": 42}),
        ("/float/2.5", {"n": 2.5}),
        ("/file/a/b.txt", {"where": "a/b.txt"}),
        ("/two/x/x/9", {"a": "x", "b": 9}),
        ("/user-ada.json", {"name": "ada"}),
    ],
)
def test_url_parameters(server: Server, path: str, parameters: dict[str, object]) -> None:
    with server.connect(path) as client:
        assert receive(client) == ["ready", parameters]


def test_the_uuid_convertor(server: Server) -> None:
    with server.connect("/uuid/6fa459ea-ee8a-3ca4-894e-db77e160355e") as client:
        assert receive(client) == "6fa459ea-ee8a-3ca4-894e-db77e160355e"


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/", "/room", "/room/", "/room/a/b", "/number/x", "/number/-1", "/uuid/x", "/called/", "/Called"],
)
def test_a_path_without_a_route_is_404(server: Server, path: str) -> None:
    with pytest.raises(InvalidStatus) as failure, server.connect(path):
        pass
    assert failure.value.response.status_code == 404


def test_http_on_a_websocket_path_is_426_and_elsewhere_404(server: Server) -> None:
    answer: Answer = server.http("GET", "/called")
    assert answer.status == 426
    assert answer.headers["upgrade"] == "websocket"
    assert b"WebSocket" in answer.body
    assert server.http("GET", "/nothing").status == 404


def test_the_handshake_request(server: Server) -> None:
    headers = {"X-Thing": "thing", "Cookie": "a=1; b=2"}
    with server.connect("/request?q=x%20y", headers=headers) as client:
        got = receive(client)
    assert got == ["/request", "x y", "thing", "thing", "default", "1", {"a": "1", "b": "2"}, "127.0.0.1", {}]


# Authentication and token


@pytest.mark.parametrize("path", ["/auth", "/use-auth", "/auth-use", "/use-auth-by-name"])
def test_auth_closes_4001_unless_authenticated(server: Server, probe: Probe, path: str) -> None:
    with server.connect(path) as client:
        assert closing(client) == (4001, "Unauthorized")
    assert probe.so_far("handler") == []
    assert probe.so_far("middleware") == []
    with server.connect(path, headers=ADA) as client:
        assert receive(client) == ["ready", {}]


def test_a_handler_may_ask_itself(server: Server) -> None:
    with server.connect("/asks-itself") as client:
        assert closing(client) == (4001, "Unauthorized")
    with server.connect("/asks-itself", headers=ADA) as client:
        assert receive(client) == "ada"


def test_the_log_has_the_reason_why_a_new_token_is_refused(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    token = server.token()[0]
    cookie = server.http("GET", "/odac/token").headers["set-cookie"].partition(";")[0]
    offer = [f"odac-token-{token}"]
    assert code_of(server, "/token", v1=False, subprotocols=offer, headers={"Cookie": cookie}) == 4002
    assert "a cache stores the responses of /odac/token" in caplog.text
    assert code_of(server, "/token", v1=False, subprotocols=offer) == 4002
    assert "had no valid session cookie" in caplog.text
    assert token not in caplog.text


def test_a_token_is_required_by_default(server: Server, probe: Probe) -> None:
    with server.connect("/token") as client:
        assert closing(client) == (4002, "Invalid or missing token")
    assert code_of(server, "/token", subprotocols=["odac-token-wrong"]) == 4002
    assert code_of(server, "/token", v1=False, subprotocols=[f"odac-token-{server.token()[0]}"]) == 4002  # no cookie
    assert probe.so_far("handler") == []
    with server.connect("/token", token=True) as client:
        assert receive(client) == ["ready", {}]


@pytest.mark.parametrize(("how", "words"), [("raise", "the user database is gone"), ("cancelled", "CancelledError")])
def test_an_authenticator_that_raises_is_1011_and_logged(
    server: Server, caplog: pytest.LogCaptureFixture, bystander: None, how: str, words: str
) -> None:
    assert code_of(server, "/auth", headers={"X-User": how}) == 1011
    assert words in caplog.text
    assert "/auth" in caplog.text


# Middleware


def test_true_and_none_continue_with_the_next_middleware(server: Server, probe: Probe) -> None:
    with server.connect("/passes") as client:
        assert receive(client) == ["ready", {}]
    assert probe.so_far("middleware") == ["logs", "async-true"]


def test_false_closes_4003_and_nothing_behind_it_runs(server: Server, probe: Probe) -> None:
    with server.connect("/stops") as client:
        assert closing(client) == (4003, "Forbidden")
    assert probe.so_far("middleware") == ["logs", "async-true", "no"]
    assert probe.so_far("handler") == []


@pytest.mark.parametrize("verdict", VERDICTS, ids=repr)
def test_anything_else_closes_4000(server: Server, probe: Probe, verdict: object) -> None:
    assert code_of(server, "/verdict/" + quote(repr(verdict), safe="")) == 4000
    assert probe.so_far("handler") == []


@pytest.mark.parametrize("path", ["/raises", "/async-raises", "/cancelled"])
def test_a_middleware_that_raises_is_1011_and_logged_with_its_name(
    server: Server, probe: Probe, caplog: pytest.LogCaptureFixture, bystander: None, path: str
) -> None:
    assert code_of(server, path) == 1011
    assert probe.so_far("handler") == []
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert repr(path[1:]) in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is (asyncio.CancelledError if path == "/cancelled" else ZeroDivisionError)


def test_a_handler_that_raises_what_nothing_handles_leaves_no_open_connection(server: Server) -> None:
    assert code_of(server, "/ends-its-generator") == 1011


def test_a_middleware_may_send_and_close_with_a_code_of_its_own(server: Server, probe: Probe) -> None:
    with server.connect("/closes") as client:
        assert receive(client) == "why"
        assert closing(client) == (4567, "my own words")
    assert probe.so_far("handler") == []


def test_a_middleware_may_take_no_argument(server: Server, probe: Probe) -> None:
    with server.connect("/middleware-no-argument") as client:
        assert receive(client) == ["ready", {}]
    assert probe.so_far("middleware") == ["no-argument"]


def test_a_middleware_and_the_handler_share_the_connection(server: Server) -> None:
    with server.connect("/carries") as client:
        assert receive_all(client, 2) == ["hello from the middleware", ["sends", "function", "from the middleware"]]


# The order of the gates


def test_the_order_of_the_gates(server: Server, probe: Probe) -> None:
    evil = "Origin: https://evil.example"
    # Origin before the route, and before the upgrade:
    assert handshake_status(server, "/everything", evil) == 403
    assert handshake_status(server, "/nothing", evil) == 403
    assert handshake_status(server, "/nothing") == 404
    assert probe.so_far("authenticate") == []
    # Authentication before the token before the middleware:
    assert code_of(server, "/everything") == 4001
    assert code_of(server, "/everything", headers=ADA) == 4002
    assert probe.so_far("middleware") == []
    assert code_of(server, "/everything", headers=ADA, token=True) == 4003
    assert probe.so_far("middleware") == ["no"]
    assert probe.so_far("handler") == []


def test_a_refused_connection_is_never_in_clients(server: Server) -> None:
    hub = server.app.route.ws_server
    with server.connect("/asks-itself", headers=ADA) as client:
        assert receive(client) == "ada"
        before = hub.client_count
        assert code_of(server, "/stops") == 4003
        assert code_of(server, "/everything") == 4001
        assert hub.client_count == before


def test_a_broadcast_reaches_no_connection_before_all_gates(server: Server) -> None:
    """Each refusal is sent in the tick of a broadcast; no message may come before it."""
    hub = server.app.route.ws_server
    for path, code in (("/everything", 4001), ("/stops", 4003), ("/token", 4002)):
        for _ in range(5):
            hub.broadcast("secret")
            with server.connect(path) as client:
                hub.broadcast("secret")
                assert closing(client)[0] == code


def test_asynchronous_gates_and_handlers_run_in_a_task_of_their_own(server: Server) -> None:
    """Timeouts need one; what waits for nothing may go without."""
    with server.connect("/timed") as client:
        assert receive_all(client, 2) == ["gate", "handler"]


def test_a_handshake_with_a_foreign_host_is_refused(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    app = Odac(secret="x" * 40, hosts=["127.0.0.1"])
    app.route.ws("/open", lambda odac: odac.ws.send("in"), token=False)
    with Server(app, lane=server.lane) as guarded:
        with guarded.connect("/open") as client:
            assert client.recv(DEADLINE) == "in"
        assert handshake_status(guarded, "/open", "Host: evil.example:80", without=("host",)) == 400
    assert "hosts=['evil.example']" in caplog.text
