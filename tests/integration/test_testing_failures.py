"""The test client with failures: in a handler, at the end, in the network, of the clock."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import monotonic
from typing import Any

import pytest
import time_machine
from fastapi import FastAPI, Request
from freezegun import freeze_time

from odac import CloseCode, Context, Limits, Odac, RateLimit
from odac.testing import AsyncTestClient, NothingReceived, StillRunning, TestClient, run
from odac.testing import loop as loop_module

SECRET = "a secret of the tests, long enough to be one"


class Broken(Exception):
    """What the application raises here."""


def broken(*_: object) -> None:
    raise Broken("in the app")


async def broken_later(*_: object) -> None:
    await asyncio.sleep(5)
    raise Broken("in the app")


def make_app() -> Odac:
    app = Odac(SECRET)

    @app.route.ws("/handler", token=False)
    async def handler(odac: Context) -> None:
        async for message in odac.ws:
            broken(message)

    @app.route.ws("/listener", token=False)
    def listener(odac: Context) -> None:
        odac.ws.on("message", broken)

    @app.route.ws("/handled", token=False)
    def handled(odac: Context) -> None:
        odac.ws.on("message", broken)
        odac.ws.on("error", lambda error: odac.ws.send(repr(error)))

    @app.route.ws("/timer", token=False)
    def timer(odac: Context) -> None:
        odac.set_timeout(5, broken)

    @app.route.ws("/close", token=False)
    def close(odac: Context) -> None:
        odac.ws.on("close", broken)

    @app.route.ws("/echo", token=False)
    def echo(odac: Context) -> None:
        odac.ws.on("message", odac.ws.send)

    @app.route.ws("/at-once", token=False)
    def at_once(odac: Context) -> None:
        broken()

    @app.route.ws("/late", token=False)
    async def late(odac: Context) -> None:
        await broken_later()

    app.middleware("broken")(broken)
    app.route.use("broken").ws("/middleware", echo, token=False)

    app.route.ws("/calls", token=False).answer("sum")(broken)
    return app


WAYS: dict[str, Callable[[TestClient], object]] = {
    "/handler": lambda client: client.connect("/handler").send("x"),
    "/listener": lambda client: client.connect("/listener").send("x"),
    "/timer": lambda client: (client.connect("/timer"), client.connect("/echo").wait_closed(6)),
    "/close": lambda client: client.connect("/close").close(),
    "/at-once": lambda client: client.connect("/at-once"),
    "/late": lambda client: client.connect("/late").receive(timeout=10),
    "/middleware": lambda client: client.connect("/middleware"),
    "another's": lambda client: (client.connect("/timer"), client.connect("/echo").receive(timeout=10)),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_the_application_raises_is_raised_in_the_test(way: str) -> None:
    with TestClient(make_app()) as client:
        with pytest.raises(Broken, match="in the app"):
            WAYS[way](client)
        client.settle()  # once


@pytest.mark.parametrize("way", ["/handler", "/listener", "/at-once", "/middleware"])
def test_unless_asked_otherwise(way: str) -> None:
    with TestClient(make_app(), raise_exceptions=False) as client:
        WAYS[way](client)
    with TestClient(make_app()) as client:
        ws = client.connect(way, raise_exceptions=False)
        if ws.closed is None:
            ws.send("x")
        assert ws.wait_closed() == (CloseCode.INTERNAL_ERROR, "internal error")


def test_errors_that_were_not_read_are_raised_at_the_end() -> None:
    def leave_it() -> None:
        with TestClient(make_app()) as client:
            client.connect("/close")

    with pytest.raises(Broken, match="in the app"):
        leave_it()

    def fail_oneself() -> None:
        with TestClient(make_app()) as client:
            client.connect("/close")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_oneself()


def test_what_an_error_listener_handles_is_not_raised() -> None:
    with TestClient(make_app()) as client, client.connect("/handled") as ws:
        ws.send("x")
        assert ws.receive() == repr(Broken("in the app"))


def test_an_answer_to_a_call_that_raises() -> None:
    with TestClient(make_app()) as client, pytest.raises(Broken, match="in the app"):
        client.connect("/calls").call("sum", 1)


def test_an_authenticator_that_raises() -> None:
    app = make_app()
    app.authenticate(broken)

    @app.route.auth.ws("/mine")
    async def mine(odac: Context) -> None: ...

    with TestClient(app) as client:
        with pytest.raises(Broken, match="in the app"):
            client.connect("/mine")
        with pytest.raises(Broken, match="in the app"):
            client.connect("/mine", token=False)


def test_asynchronously() -> None:
    async def test() -> None:
        async with AsyncTestClient(make_app()) as client:
            with pytest.raises(Broken, match="in the app"):
                async with client.connect("/handler") as ws:
                    await ws.send("x")

    run(test())
    asyncio.run(test())


# Which user


class Member:
    """As Django's users are: an object, with whatever attributes it has."""

    def __init__(self, name: str, *, is_authenticated: bool = True) -> None:
        self.pk = name
        self.is_authenticated = is_authenticated


class Row:
    """As the rows of a database are, which say nothing of authentication."""

    id = 7


@pytest.mark.parametrize("authenticator", [False, True])
def test_any_object_can_be_the_user(authenticator: bool) -> None:
    app = Odac(SECRET)
    users: list[object] = []
    if authenticator:
        app.authenticate(lambda request: None)

    @app.route.auth.ws("/mine")
    async def mine(odac: Context) -> None:
        users.append(await odac.auth.user())
        odac.ws.send(await odac.auth.user_id())

    ada, row = Member("ada"), Row()
    with TestClient(app) as client:
        ws = client.connect("/mine", user=ada)
        assert ws.receive() == "ada"
        assert client.connect("/mine", user=row).receive() == 7
        assert client.connect("/mine", user={"id": 8}).receive() == 8
        assert users == [ada, row, {"id": 8}]
        app.route.ws_server.user(ada).send("hello")
        client.settle()
        assert ws.receive() == "hello"
        assert client.connect("/mine", user=Member("", is_authenticated=False)).close_code == CloseCode.UNAUTHORIZED
        assert client.connect("/mine").close_code == CloseCode.UNAUTHORIZED


def test_a_client_logs_in_as_any_object() -> None:
    api = FastAPI()
    app = Odac(SECRET, http=api)
    app.authenticate(lambda request: None)  # the users of a database, which a test does not need to ask

    @api.get("/me")
    async def me(request: Request) -> dict[str, Any]:
        user = await app.auth.user(request)
        return {"is": type(user).__name__}

    @app.route.auth.ws("/mine")
    async def mine(odac: Context) -> None:
        odac.ws.send(await odac.auth.user_id())

    with TestClient(app) as client:
        assert client.http.get("/me").json() == {"is": "NoneType"}
        client.login(Member("ada"))
        assert client.http.get("/me").json() == {"is": "Member"}
        ada = client.connect("/mine")
        assert ada.receive() == "ada"
        assert client.connect("/mine", user={"id": 8}).receive() == 8
        assert client.connect("/mine", user=Row()).receive() == 7
        client.logout()
        assert ada.close_code == CloseCode.UNAUTHORIZED
        assert client.http.get("/me").json() == {"is": "NoneType"}
        assert client.connect("/mine").close_code == CloseCode.UNAUTHORIZED
        client.login(Member("bob"))
        client.login({"id": 9})  # the last one counts
        assert client.http.get("/me").json() == {"is": "dict"}
        assert client.connect("/mine").receive() == 9


# The end


def test_a_handler_ends_as_on_the_server() -> None:
    app = Odac(SECRET)
    done: list[str] = []

    @app.route.ws("/work", token=False)
    async def work(odac: Context) -> None:
        try:
            async for _ in odac.ws:
                pass
        finally:
            await asyncio.sleep(0.2)
            done.append("saved")

    with TestClient(app) as client:
        client.connect("/work")
        client.connect("/work").close()
    assert done == ["saved", "saved"]


def test_a_handler_with_a_thread_of_a_database_ends_too() -> None:
    app = Odac(SECRET)
    done: list[str] = []

    @app.route.ws("/work", token=False)
    async def work(odac: Context) -> None:
        loop = asyncio.get_running_loop()
        try:
            async for _ in odac.ws:
                pass
        finally:
            closed = asyncio.Event()
            # As aiosqlite does it: a thread of its own, that reports to the loop.
            thread = threading.Timer(0.1, lambda: loop.call_soon_threadsafe(closed.set))
            thread.start()
            await closed.wait()
            thread.join()
            done.append("closed")

    with TestClient(app) as client:
        client.connect("/work")
    assert done == ["closed"]


def test_a_handler_that_does_not_end_is_cancelled_as_on_the_server(caplog: pytest.LogCaptureFixture) -> None:
    app = Odac(SECRET)
    ended: list[str] = []

    @app.route.ws("/forever", token=False)
    async def forever(odac: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    with TestClient(app) as client:
        client.connect("/forever")
    assert ended == ["cancelled"]
    assert "Limits.close_timeout" in caplog.text


async def stubborn(gate: asyncio.Event) -> None:
    while not gate.is_set():
        try:
            await gate.wait()
        except asyncio.CancelledError:
            continue


def test_what_is_still_pending_is_named() -> None:
    app = Odac(SECRET)
    gate: list[asyncio.Event] = []

    @app.route.ws("/stubborn", token=False)
    async def handler(odac: Context) -> None:
        gate.append(asyncio.Event())
        await stubborn(gate[0])

    def leave() -> None:
        with TestClient(app) as client:
            client.connect("/stubborn")

    with pytest.raises(StillRunning, match=r"stubborn \(.*test_testing_failures.py, line \d+\)"):
        leave()


def test_a_task_of_the_applications_own_is_named() -> None:
    app = Odac(SECRET)

    @app.route.ws("/start", token=False)
    async def start(odac: Context) -> None:
        odac.ws.own_task = asyncio.create_task(stubborn(asyncio.Event()), name="my worker")  # type: ignore[attr-defined]

    def leave() -> None:
        with TestClient(app) as client:
            client.connect("/start", raise_exceptions=False)

    with pytest.raises(StillRunning, match="my worker at "):
        leave()


def test_a_thread_that_does_not_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Odac(SECRET)
    gate = threading.Event()

    def read_for_ever() -> None:
        gate.wait()

    @app.route.ws("/thread", token=False)
    async def handler(odac: Context) -> None:
        odac.ws.send("begun")
        await asyncio.to_thread(read_for_ever)

    monkeypatch.setattr(loop_module, "PATIENCE", 0.2)
    try:
        with (
            pytest.raises(StillRunning, match="a worker thread in "),
            TestClient(app) as client,
            pytest.raises(loop_module.NeverIdle, match="worker thread"),
        ):
            client.connect("/thread")
    finally:
        gate.set()


# What is asserted


def test_received_nothing_is_a_bool_and_what_came_is_shown() -> None:
    with TestClient(make_app()) as client, client.connect("/echo") as ws:
        assert ws.received_nothing() is True
        ws.send("something")
        assert ws.received_nothing() is False
        assert not ws.received_nothing()
        assert repr(ws) == "<TestConnection /echo open, unread: ['something']>"
        ws.receive()
        assert ws.received_nothing()
        assert repr(ws) == "<TestConnection /echo open>"


# Time


def test_pongs_count_by_the_applications_clock() -> None:
    with TestClient(make_app()) as client, client.connect("/echo") as ws:
        client.advance(2600)
        assert ws.closed is None
        client.advance(260_000)
        assert ws.closed is None


def test_the_rate_limit_is_kept_by_the_applications_clock() -> None:
    app = Odac(SECRET, limits=Limits(rate_limit=RateLimit(5, 10.0)))

    @app.route.ws("/echo", token=False)
    def echo(odac: Context) -> None:
        odac.ws.on("message", odac.ws.send)

    with TestClient(app) as client, client.connect("/echo") as ws:
        for _ in range(5):
            for number in range(4):  # and a pong now and then
                ws.send(number)
            client.advance(10)
        assert ws.closed is None
        for _ in range(6):
            if ws.closed is None:
                ws.send("too many")
        assert ws.close_code == CloseCode.POLICY_VIOLATION


FROZEN: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "freezegun": lambda: freeze_time("2030-01-01"),
    "time-machine": lambda: time_machine.travel("2030-01-01", tick=False),
}


@pytest.mark.parametrize("library", FROZEN)
@pytest.mark.parametrize("outside", [False, True])
def test_a_frozen_clock_stops_no_test(library: str, outside: bool) -> None:
    gate = threading.Event()
    thread = threading.Thread(target=gate.wait)
    try:
        with FROZEN[library](), TestClient(make_app()) as client, client.connect("/echo") as ws:
            if outside:  # so that time passes as it does outside
                thread.start()
            with pytest.raises(AssertionError, match="still open after"):
                ws.wait_closed(0.2)
            with pytest.raises(NothingReceived):
                ws.receive(0.2)
            client.advance(60)
            assert ws.closed is None
    finally:
        gate.set()
        if outside:
            thread.join()


@pytest.mark.parametrize("library", FROZEN)
def test_a_frozen_clock_and_another_event_loop(library: str) -> None:
    async def test() -> None:
        async with AsyncTestClient(make_app()) as client:
            ws = await client.connect("/echo")
            with FROZEN[library]():
                with pytest.raises(AssertionError, match="still open after"):
                    await ws.wait_closed(0.1)
                with pytest.raises(NothingReceived):
                    await ws.receive(0.1)

    begun = monotonic()
    asyncio.run(test())
    assert monotonic() - begun < 30


# The network


def test_a_slow_reader() -> None:
    app = Odac(SECRET, limits=Limits(outgoing_buffer=200_000))

    @app.route.ws("/flood", token=False)
    async def flood(odac: Context) -> None:
        async for count in odac.ws:
            for _ in range(count):
                odac.ws.send("x" * 10_000)

    with TestClient(app) as client:
        ws = client.connect("/flood")
        ws.pause_reading()
        ws.send(10)
        assert ws.received_nothing()
        assert ws.closed is None
        ws.resume_reading()
        assert len(ws.received) == 10
        ws.pause_reading()
        ws.send(100)
        assert ws.closed is None
        ws.resume_reading()
        assert ws.close_code == CloseCode.TRY_AGAIN_LATER
        assert len(ws.received) < 110


def test_a_cut_in_the_middle(caplog: pytest.LogCaptureFixture) -> None:
    app = Odac(SECRET)
    ends: list[int] = []

    @app.route.ws("/list", token=False)
    async def listing(odac: Context) -> None:
        odac.ws.on("close", lambda code, reason: ends.append(code))
        async for count in odac.ws:
            for number in range(count):
                odac.ws.send(number)

    with TestClient(app) as client:
        ws = client.connect("/list")
        ws.drop(after=3)
        ws.send(10)
        assert ws.received == [0, 1, 2]
        assert ws.closed == (1006, "")
        assert ends == [1006]
        with pytest.raises(ValueError, match="after=-1"):
            client.connect("/list").drop(after=-1)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
