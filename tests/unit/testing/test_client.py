from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, cast

import pytest
import uvloop
from fastapi import FastAPI, WebSocket

from odac import CloseCode, Context, History, Odac
from odac.notices import LINES
from odac.testing import AsyncTestClient, HandshakeRefused, NeverIdle, NothingReceived, TestClient, run
from odac.testing import loop as loop_module
from tests.unit.testing.apps import SECRET, make_app


def test_the_gates() -> None:
    with TestClient(make_app(origins=["https://friend.example"])) as client:
        assert client.connect("/secure").close_code == CloseCode.UNAUTHORIZED
        assert client.connect("/echo", token=False).closed == (CloseCode.INVALID_TOKEN, "Invalid or missing token")
        assert client.connect("/echo", token="forged").close_code == CloseCode.INVALID_TOKEN
        assert client.connect("/open", token=False).closed is None
        assert client.connect("/closed", user="ada").close_code == CloseCode.FORBIDDEN
        assert client.connect("/echo", origin="http://testserver").closed is None
        assert client.connect("/echo", origin="https://friend.example").closed is None
        for origin in ("http://evil.example", "null"):
            with pytest.raises(HandshakeRefused, match="origin") as caught:
                client.connect("/echo", origin=origin)
            assert caught.value.status == 403
        with pytest.raises(HandshakeRefused) as caught:
            client.connect("/nowhere")
        assert caught.value.status == 404
        with pytest.raises(ValueError, match="slash"):
            client.connect("echo")


def test_a_path_without_a_route_names_the_route_that_was_meant() -> None:
    with TestClient(make_app()) as client:
        with pytest.raises(HandshakeRefused) as caught:
            client.connect("/ecko")
        assert str(caught.value) == "HTTP 404: There is no WebSocket route at this path: did you mean '/echo'?"
        with pytest.raises(HandshakeRefused, match=r"this path: the routes are '/.*', '/.*odac routes` lists them"):
            client.connect("/nowhere")


def test_it_does_so_for_mounted_and_wrapped_apps_and_as_often_as_asked() -> None:
    odac, api = make_app(), FastAPI()
    api.mount("/rt", cast("Any", odac))
    with TestClient(api, odac=odac, prefix="/rt/odac") as client, pytest.raises(HandshakeRefused, match="'/echo'"):
        client.connect("/rt/ecko")
    api = FastAPI()

    @api.websocket("/shut")
    async def shut(ws: WebSocket) -> None:
        await ws.close(4000, "not today")

    with TestClient(make_app(http=api)) as client:
        for _ in range(LINES + 5):  # more than are logged
            with pytest.raises(HandshakeRefused, match=r"did you mean '/echo'\?"):
                client.connect("/ecko", token=False)
        with pytest.raises(HandshakeRefused, match=r"not today$"):
            client.connect("/shut", token=False)


def test_a_refused_origin_is_explained() -> None:
    with TestClient(make_app()) as client:
        with pytest.raises(HandshakeRefused, match=r"This origin may not connect: .*origins=") as caught:
            client.connect("/echo", origin="http://evil.example")
        assert caught.value.status == 403


def test_another_thing_in_place_of_an_earlier_connection() -> None:
    async def test() -> None:
        async with AsyncTestClient(make_app()) as client:
            for wrong in (7, client.connect("/echo")):
                with pytest.raises(TypeError, match=r"again= takes an earlier connection .* AsyncTestConnection"):
                    await client.connect("/echo", again=cast("Any", wrong))

    run(test())
    wrong: Any = 7
    with TestClient(make_app()) as client, pytest.raises(TypeError, match=r"the TestConnection that .* not 7$"):
        client.connect("/echo", again=wrong)


def test_users() -> None:
    with TestClient(make_app()) as client:
        assert client.connect("/secure", user={"id": 7}).receive() == {"id": 7}
        assert client.connect("/secure", user="ada").receive() == "ada"
        assert client.connect("/secure").close_code == CloseCode.UNAUTHORIZED
        client.login({"id": 8})
        mine = client.connect("/secure")
        other = client.connect("/secure", user=9)
        assert (mine.receive(), other.receive()) == ({"id": 8}, 9)
        client.logout()
        assert mine.closed == (CloseCode.UNAUTHORIZED, "Logged out")
        assert other.closed is None
        assert client.connect("/secure").close_code == CloseCode.UNAUTHORIZED


class Person:
    """A user that is no cookie's, as an ORM's object."""

    def __init__(self, **fields: str) -> None:
        self.__dict__.update(fields)


@pytest.mark.parametrize("kind", [dict, Person])
def test_the_next_connection_of_a_client_is_of_its_session(kind: Callable[..., object]) -> None:
    """A fresh login for each connection would be another session, which recovers nothing."""
    app = Odac(SECRET)
    app.rooms("lot", history=History())

    @app.route.auth.ws("/lot")
    async def lot(odac: Context) -> None:
        odac.ws.join("lot")
        async for message in odac.ws:
            odac.ws.to("lot").send(message)

    ada, bob = kind(id="ada"), kind(id="bob")
    with TestClient(app) as client:
        writer, reader = client.connect("/lot", user=ada), client.connect("/lot", user=bob)
        writer.send("seen")
        assert reader.receive() == "seen"
        for user in (bob, None):
            reader.drop()
            writer.send("missed")
            reader = client.connect("/lot", user=user, again=reader)
            assert (reader.received, [told.recovered for told in reader.recoveries]) == (["missed"], [True])
        reader.drop()
        writer.send("not for Ada, in Bob's place")
        other = client.connect("/lot", user=ada, again=reader)
        assert (other.received, [told.recovered for told in other.recoveries]) == ([], [False])


def test_the_secure_session_cookie() -> None:
    with TestClient(make_app(), base_url="https://example.test") as client:
        assert client.connect("/secure", user="ada", origin="https://example.test").receive() == "ada"
        with pytest.raises(HandshakeRefused):
            client.connect("/secure", user="ada", origin="http://example.test")


def test_the_handshake_request() -> None:
    with TestClient(make_app(), headers={"X-Key": "k"}, cookies={"lang": "de"}, client=("203.0.113.7", 1)) as client:
        assert client.connect("/request?page=2").receive() == ["203.0.113.7", "k", "de", "2", "testserver"]
        other = client.connect("/request", headers={"x-key": "other"}, cookies={"lang": "fr"})
        assert other.receive() == ["203.0.113.7", "other", "fr", None, "testserver"]
        assert client.connect("/request").receive()[2] == "de"


def test_a_mounted_app_and_the_frameworks_own_routes() -> None:
    odac = make_app()
    started: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        started.append("up")
        async with odac.lifespan():
            yield {"database": "connected"}
        started.append("down")

    api = FastAPI(lifespan=lifespan)

    @api.websocket("/own")
    async def own(ws: WebSocket) -> None:
        await ws.accept(subprotocol="chat")
        await ws.send_json(ws.state.database)
        async for text in ws.iter_text():
            await ws.send_text(text)

    @api.websocket("/shut")
    async def shut(ws: WebSocket) -> None:
        await ws.close(4000, "not today")

    @api.websocket("/brief")
    async def brief(ws: WebSocket) -> None:
        await ws.accept()

    @api.websocket("/silent")
    async def silent(ws: WebSocket) -> None: ...

    @api.websocket("/broken")
    async def broken(ws: WebSocket) -> None:
        await ws.accept()
        await ws.receive_text()
        raise ZeroDivisionError

    api.mount("/rt", cast("Any", odac))
    with TestClient(api, odac=odac, prefix="/rt/odac") as client:
        assert started == ["up"]
        assert client.connect("/rt/secure", user="ada").receive() == "ada"
        ws = client.connect("/own", token=False, v1=False, subprotocols=["chat"])
        assert ws.subprotocol == "chat"
        assert ws.receive() == "connected"
        ws.send('{"a":1}')
        assert ws.receive() == {"a": 1}
        with pytest.raises(HandshakeRefused, match="not today") as caught:
            client.connect("/shut", token=False)
        assert caught.value.status == 403
        assert client.connect("/brief", token=False).close_code == CloseCode.INTERNAL_ERROR
        with pytest.raises(HandshakeRefused, match="without answering"):
            client.connect("/silent", token=False)
        failing = client.connect("/broken", token=False)
        with pytest.raises(ZeroDivisionError):
            failing.send("x")
    assert started == ["up", "down"]
    with TestClient(api) as client:
        with pytest.raises(TypeError, match="odac="):
            client.connect("/own", user="ada")
        with pytest.raises(HandshakeRefused, match="prefix="):
            client.connect("/rt/echo")


def test_two_tests_do_not_see_each_other() -> None:
    app = make_app()
    for _ in range(3):
        with TestClient(app) as client:
            assert app.route.ws_server.client_count == 0
            ws = client.connect("/room/a")
            ws.send("hello")
            assert ws.received == ["hello"]


def test_a_hundred_clients() -> None:
    with TestClient(make_app()) as client:
        members = [client.connect("/room/big") for _ in range(100)]
        members[0].send("to all")
        assert all(member.received == ["to all"] for member in members)


@pytest.mark.parametrize("kind", [TestClient, AsyncTestClient])
def test_an_object_that_is_not_an_app_is_an_error_at_once(kind: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match="takes an Odac app, or another ASGI app, not 7"):
        kind(7)


def on_uvloop(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test)


@pytest.fixture(params=[run, asyncio.run, on_uvloop], ids=["test loop", "asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    return request.param  # type: ignore[no-any-return]


def test_asynchronously(runner: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    app = make_app()

    async def test() -> None:
        async with AsyncTestClient(app) as client:
            async with client.connect("/room/a", user="ada") as alice, client.connect("/room/a") as bob:
                await alice.send({"text": "hi"})
                assert alice.received == bob.received == [{"text": "hi"}]
                assert await bob.receive() == {"text": "hi"}
                assert await bob.received_nothing()
                with pytest.raises(NothingReceived):
                    await bob.receive(timeout=0.01)
                assert len(app.route.ws_server.clients) == 2
            assert alice.closed == (1000, "")
            assert len(app.route.ws_server.clients) == 0
            ws = await client.connect("/secure")
            assert ws.close_code == CloseCode.UNAUTHORIZED
            assert await ws.wait_closed() == (4001, "Unauthorized")
            with pytest.raises(HandshakeRefused):
                await client.connect("/nowhere")
            assert (await client.http.get("/odac/health")).status == 200
            client.login("ada")
            assert await (await client.connect("/secure")).receive() == "ada"
        assert asyncio.all_tasks() == {asyncio.current_task()}

    runner(test())


def test_a_handler_and_a_test_on_one_loop(runner: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    app = Odac(SECRET)

    async def test() -> None:
        gate = asyncio.Event()

        @app.route.ws("/gate", token=False)
        async def handler(odac: Context) -> None:
            await gate.wait()
            odac.ws.send("through")

        async with AsyncTestClient(app) as client, client.connect("/gate") as ws:
            assert await ws.received_nothing()
            gate.set()
            assert await ws.receive() == "through"

    runner(test())


def test_moving_time_needs_the_loop_for_it() -> None:
    app = make_app()

    async def test() -> None:
        async with AsyncTestClient(app) as client:
            ws = await client.connect("/tick")
            await client.advance(20.5)
            assert ws.received == ["tick", "tick"]

    run(test())
    with pytest.raises(RuntimeError, match=r"odac.testing.run"):
        asyncio.run(test())


def test_time_is_the_tests() -> None:
    begun = monotonic()
    with TestClient(make_app()) as client:
        late = client.connect("/late")
        late.send("x")
        with pytest.raises(NothingReceived):
            late.receive()
        assert late.receive(timeout=30) == "x"
        tick = client.connect("/tick")
        client.advance(9)
        assert tick.received_nothing()
        client.advance(12)
        assert tick.received == ["tick", "tick"]
        assert tick.wait_closed(10) == (4000, "enough")
        with pytest.raises(AssertionError, match="still open after"):
            late.wait_closed()
    assert monotonic() - begun < 20


def test_handlers_that_use_threads() -> None:
    app = make_app()

    @app.authenticate
    async def user(request: Any) -> str | None:
        return await asyncio.to_thread(lambda: "ada" if request.header("authorization") == "Bearer ada" else None)

    with TestClient(app) as client:
        assert client.connect("/secure").close_code == CloseCode.UNAUTHORIZED
        assert client.connect("/secure", headers={"Authorization": "Bearer ada"}).received == ["ada"]


def test_a_restless_app_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app()

    @app.route.ws("/restless", token=False)
    async def restless(odac: Context) -> None:
        while odac.ws.ready_state < 2:
            await asyncio.sleep(0)

    with TestClient(app) as client:
        monkeypatch.setattr(loop_module, "PATIENCE", 0.1)
        with pytest.raises(NeverIdle, match=r"asyncio.sleep\(0\)"):
            client.connect("/restless")
        monkeypatch.undo()


def test_no_token_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with TestClient(make_app()) as client:
        ws = client.connect("/echo", v1=False)
        assert ws.subprotocol is not None
        assert ws.subprotocol not in caplog.text
        assert ws.subprotocol not in repr(ws)
