"""Bearer tokens over every lane, and logins that end: closed with 1012, and reconnected or refused with 4001."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

import odac
from odac import Context, Disconnected, Odac, SessionOptions
from odac.request import Request
from odac.routing import bearers
from tests.integration.harness import DEADLINE, Probe, Server, closing, receive

MARK = "\x1e"


def build(probe: Probe) -> Odac:
    app = Odac(secret="x" * 32, session=SessionOptions(max_age=1))

    @app.authenticate
    async def who(request: Request) -> Any:
        await asyncio.sleep(0)
        name, _, lasts = (request.bearer or "").partition(" ")
        if not name or name == "nobody":
            return None
        user: dict[str, Any] = {"sub": name}
        if lasts:
            user["exp"] = time.time() + float(lasts)
        return user

    @app.route.auth.ws("/secure", token=False)
    async def secure(odac: Context) -> None:
        odac.ws.send((await odac.auth.user())["sub"])
        odac.ws.on("message", odac.ws.send)

    @app.route.ws("/open", token=False)
    async def open_(odac: Context) -> None:
        odac.ws.send([odac.request.bearer])

    return app


def test_a_header(server: Server) -> None:
    for header in ("Bearer ada", "bearer  ada"):
        with server.connect("/secure", headers={"Authorization": header}) as client:
            assert client.recv(DEADLINE) == "ada"
    for header in ("Basic ada", "Bearer", "Bearer nobody", ""):
        with server.connect("/secure", headers={"Authorization": header}) as client:
            assert closing(client) == (4001, "Unauthorized")


def said(server: Server, path: str, *messages: Any) -> Any:
    with server.connect(path, v1=True, subprotocols=["odac.auth"]) as client:
        for message in messages:
            client.send(MARK + json.dumps(message))
        first = client.recv(DEADLINE)
        assert isinstance(first, str)
        assert first.startswith(MARK + '["hello"'), "nothing comes before the hello"
        return receive(client)


def test_a_token_that_is_sent_first_over_the_connection(server: Server) -> None:
    assert said(server, "/secure", ["auth", "ada"]) == "ada"
    assert said(server, "/secure", ["auth", "ada"], ["auth", "eve"]) == "ada", "only the first counts"
    assert said(server, "/open", ["auth", "ada"]) == ["ada"]


@pytest.mark.parametrize("values", [[], [""], [7], [None], [["ada"]]])
def test_what_is_no_token(server: Server, values: list[Any]) -> None:
    assert said(server, "/open", ["auth", *values]) == [None]


def test_it_is_never_taken_from_a_client_that_did_not_offer_it(server: Server) -> None:
    with server.connect("/open", v1=True) as client:
        client.send(MARK + '["auth","ada"]')
        client.recv(DEADLINE)
        assert receive(client) == [None]


def test_a_wrong_one_is_closed_with_4001(server: Server) -> None:
    with server.connect("/secure", v1=True, subprotocols=["odac.auth"]) as client:
        client.send(MARK + '["auth","nobody"]')
        assert closing(client) == (4001, "Unauthorized")


def test_one_that_never_comes_is_not_waited_for_longer_than_the_timeout(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bearers.BEARER_TIMEOUT == 5.0
    monkeypatch.setattr(bearers, "BEARER_TIMEOUT", 0.5)
    begun = time.monotonic()
    with server.connect("/secure", v1=True, subprotocols=["odac.auth"]) as client:
        assert closing(client) == (4001, "Unauthorized")
    assert time.monotonic() - begun >= 0.5


def test_a_login_that_ends_closes_with_1012(server: Server) -> None:
    with server.connect("/secure", headers={"Authorization": "Bearer ada 1"}) as client:
        assert client.recv(DEADLINE) == "ada"
        assert closing(client) == (1012, "the login has expired: connect again")
    with server.connect("/secure", headers={"Authorization": "Bearer ada -1"}) as client:
        assert closing(client) == (4001, "Unauthorized"), "it has ended already"


def test_the_end_of_a_session_closes_with_1012(server: Server) -> None:
    kept: dict[str, str] = {}
    response = SimpleNamespace(set_cookie=lambda key, value, **options: kept.update({key: value}))
    sessions = Odac(secret="x" * 32, session=SessionOptions(max_age=1)).auth.sessions
    sessions.set_cookie(response, sessions.create({"sub": "eve"}), False)
    ((name, value),) = kept.items()
    cookie = {"Cookie": f"{name}={value}"}
    with server.connect("/secure", headers=cookie) as client:
        assert client.recv(DEADLINE) == "eve"
        assert closing(client) == (1012, "the login has expired: connect again")
    with server.connect("/secure", headers=cookie) as client:
        assert closing(client) == (4001, "Unauthorized")


def test_the_python_client_comes_back_with_the_next_token(server: Server) -> None:
    tokens = iter(["ada 1", "ada"])

    async def fresh() -> str:
        return next(tokens)

    async def test() -> None:
        url = f"ws://{server.host}:{server.port}/secure"
        async with (
            asyncio.timeout(DEADLINE),
            odac.connect(url, token=False, auth=fresh, reconnect_delay=0.01) as ws,
        ):
            assert [await ws.receive(), await ws.receive()] == ["ada", "ada"]
            assert ws.close_code == 1012
        with pytest.raises(Disconnected, match="4001"):
            async with odac.connect(url, token=False, auth="nobody"):
                pass
        with pytest.raises(ConnectionError, match="auth= gave no token"):
            async with odac.connect(url, token=False, auth=lambda: "a\r\nb", auto_reconnect=False):
                pass

    asyncio.run(test())
