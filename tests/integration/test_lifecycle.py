"""The life of a connection: close, error, pong, timers, tasks, and the sudden loss of a peer."""

from __future__ import annotations

import asyncio
import json
import logging
import struct
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from odac import Context, Disconnected, Limits, Odac, ReadyState
from tests.integration.harness import DEADLINE, OpenRoutes, Probe, Server, closing, receive, receive_all


def build(probe: Probe) -> Odac:
    app = Odac(secret="x" * 32, limits=Limits(close_timeout=0.5, handshake_timeout=0.5))
    ws = OpenRoutes(app)

    @ws("/close-event")
    def close_event(odac: Context) -> None:
        odac.ws.on("close", lambda code, reason: probe("close", (code, reason, odac.ws.ready_state)))
        odac.ws.on("close", lambda code: probe("close", code))
        odac.ws.on("close", lambda: probe("close"))
        odac.ws.on("message", lambda data: odac.ws.close(*data))
        probe("open", odac)

    @ws("/async-close")
    def async_close(odac: Context) -> None:
        async def first() -> None:
            await asyncio.sleep(0)
            probe("close", "first")

        odac.ws.on("close", first)
        odac.ws.on("close", lambda: probe("close", "second"))

    @ws("/late-close-listener")
    async def late(odac: Context) -> None:
        gone = asyncio.Event()
        probe("handler", (odac, gone))
        await gone.wait()
        odac.ws.on("close", lambda code: probe("close", code))

    @ws("/close-arguments")
    def close_arguments(odac: Context) -> None:
        @odac.ws.on("message")
        def close(arguments: list[Any]) -> None:
            try:
                odac.ws.close(*arguments)
            except ValueError as error:
                odac.ws.send(["ValueError", str(error)])

    @ws("/raises")
    def raises(odac: Context) -> None:
        raise ZeroDivisionError("in the handler")

    @ws("/async-raises")
    async def async_raises(odac: Context) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError("in the async handler")

    @ws("/listener-raises")
    def listener_raises(odac: Context) -> None:
        odac.ws.on("close", lambda code: probe("close", code))

        @odac.ws.on("message")
        def work(data: object) -> None:
            odac.ws.send("before")
            raise ZeroDivisionError("in the listener")

    @ws("/async-listener-raises")
    def async_listener_raises(odac: Context) -> None:
        @odac.ws.on("message")
        async def work(data: object) -> None:
            await asyncio.sleep(0)
            raise ZeroDivisionError("in the async listener")

    async def cancelled() -> None:
        task = asyncio.ensure_future(asyncio.Event().wait())
        task.cancel()
        await task

    @ws("/cancelled")
    def awaits_what_was_cancelled(odac: Context) -> None:
        odac.ws.on("error", lambda error: odac.ws.send(type(error).__name__))

        @odac.ws.on("message")
        def work(data: object) -> Any:
            odac.ws.send(["got", data])
            if data == "sync":
                raise asyncio.CancelledError
            return cancelled()

    @ws("/cancelled-unheard")
    def cancelled_unheard(odac: Context) -> None:
        odac.ws.on("message", cancelled)

    @ws("/cancelled-handler")
    async def cancelled_handler(odac: Context) -> None:
        await cancelled()

    @ws("/errors")
    async def errors(odac: Context) -> None:
        odac.ws.on("error", lambda error: odac.ws.send(["sync", str(error)]))

        @odac.ws.on("error")
        async def tell(error: Exception) -> None:
            await asyncio.sleep(0)
            odac.ws.send(["async", type(error).__name__])

        @odac.ws.on("message")
        def work(data: str) -> Any:
            if data == "async":
                return later()
            if data == "timer":
                odac.set_timeout(0, lambda: 1 / 0)
                return None
            if data == "task":
                odac.create_task(later())
                return None
            if data == "unsendable":
                odac.ws.send(object())
            raise ValueError(data)

        async def later() -> None:
            await asyncio.sleep(0)
            raise KeyError("later")

        odac.ws.send("ready")

    @ws("/error-listener-raises")
    def error_listener_raises(odac: Context) -> None:
        odac.ws.on("error", lambda: 1 / 0)
        raise ValueError("the first")

    @ws("/raises-after-the-end")
    async def raises_after_the_end(odac: Context) -> None:
        odac.ws.on("error", lambda error: probe("error", str(error)))
        async for _ in odac.ws:
            pass
        raise ValueError("after the end")

    @ws("/unsendable")
    def unsendable(odac: Context) -> None:
        @odac.ws.on("message")
        def send(data: object) -> None:
            try:
                odac.ws.send({"key": object()})
            except TypeError as error:
                odac.ws.send(["TypeError", str(error)])

    @ws("/timers")
    def timers(odac: Context) -> None:
        ticks = 0

        def tick() -> None:
            nonlocal ticks
            ticks += 1
            odac.ws.send(["tick", ticks])
            if ticks == 3:
                interval.cancel()
                interval.cancel()
                odac.set_timeout(0, lambda: odac.ws.send("never")).cancel()
                odac.set_timeout(0.001, lambda: odac.ws.send("timeout"))

        interval = odac.set_interval(0.001, tick)

    @ws("/async-timer")
    def async_timer(odac: Context) -> None:
        running = 0

        async def work() -> None:
            nonlocal running
            running += 1
            odac.ws.send(running)
            await asyncio.sleep(0.005)
            running -= 1

        odac.set_interval(0.001, work)

    @ws("/owns")
    def owns(odac: Context) -> None:
        async def forever(name: str) -> None:
            probe("begun", name)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                probe("cancelled", name)
                raise

        odac.create_task(forever("task"))
        odac.set_timeout(0, lambda: forever("timer's task"))
        timer = odac.set_interval(30, lambda: None)
        odac.ws.on("close", lambda: probe("close"))
        odac.ws.send("ready")
        probe("timer", timer)

    @ws("/task")
    def task(odac: Context) -> None:
        async def read() -> None:
            odac.ws.send(["read", await odac.ws.receive()])

        odac.create_task(read())

    @ws("/ping")
    async def ping(odac: Context) -> None:
        odac.ws.on("pong", lambda: probe("pong"))
        odac.ws.on("message", lambda: None)
        trip = await odac.ws.ping()
        odac.ws.send(["trip", trip])

    @ws("/ping-lost")
    async def ping_lost(odac: Context) -> None:
        waiting = odac.ws.ping()
        probe("pinged")
        try:
            await waiting
        except Disconnected as error:
            probe("disconnected", error.code)

    @ws("/states")
    def states(odac: Context) -> None:
        seen = [odac.ws.ready_state]
        odac.ws.on("close", lambda: probe("states", [*seen, odac.ws.ready_state]))
        odac.ws.close(4000)
        seen.append(odac.ws.ready_state)
        odac.ws.send("into the void")
        odac.ws.send_binary(b"into the void")
        odac.ws.close(4001)
        odac.ws.join("room")
        odac.ws.to("room").send("nobody")
        odac.ws.ping()
        probe("rooms", odac.ws.rooms)

    @ws("/sends-to-the-gone")
    async def sends_to_the_gone(odac: Context) -> None:
        async for _ in odac.ws:
            pass
        await odac.ws.send("nobody is there")
        odac.ws.broadcast("to the others", include_self=False)
        odac.ws.close()
        probe("sent")

    @ws("/endless")
    async def endless(odac: Context) -> None:
        probe("endless")
        while odac.ws.ready_state is ReadyState.OPEN:
            await odac.ws.send("x" * 1000)
        probe("ended")

    @ws("/stubborn")
    async def stubborn(odac: Context) -> None:
        probe("stubborn", odac.ws.id)
        try:
            await asyncio.Event().wait()
        finally:
            probe("ended")

    @ws("/stubborn-listener")
    def stubborn_listener(odac: Context) -> None:
        odac.set_interval(0.01, lambda: None)
        odac.ws.on("close", lambda: probe("close"))

        @odac.ws.on("message")
        async def wait() -> None:
            probe("message")
            await asyncio.Event().wait()

    @ws("/namespace")
    def namespace(odac: Context) -> None:
        odac.ws.data.user_id = 7
        odac.ws.data.joined_at = "now"
        odac.ws.on("message", lambda: odac.ws.send([odac.ws.data.user_id, odac.ws.data.joined_at]))

    @app.middleware("slow")
    async def slow(odac: Context) -> None:
        await asyncio.Event().wait()

    app.route.use("slow").ws("/slow-gate", lambda odac: probe("handler"), token=False)
    return app


# Close


def test_close_listeners_get_the_peers_code_and_reason(server: Server, probe: Probe) -> None:
    with server.connect("/close-event") as client:
        client.close(4001, "bye")
    assert probe.take("close", 3) == [(4001, "bye", ReadyState.CLOSED), 4001, None]


def test_close_listeners_get_the_servers_own_code(server: Server, probe: Probe) -> None:
    with server.connect("/close-event") as client:
        client.send('[4002, "reason"]')
        assert closing(client) == (4002, "reason")
    assert probe.get("close") == (4002, "reason", ReadyState.CLOSED)


def test_a_close_frame_without_a_code_is_1005(server: Server, probe: Probe) -> None:
    with server.raw() as raw:
        raw.upgrade("/close-event")
        raw.send_frame(8, b"")
        assert raw.frame() == (8, b"")
        assert raw.ends()
    assert probe.get("close")[:2] == (1005, "")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_peer_that_vanishes_is_1006(server: Server, probe: Probe, how: str) -> None:
    with server.raw() as raw:
        raw.upgrade("/close-event")
        probe.get("open")
        getattr(raw, how)()
        # What plain ASGI says of such an end is its server's: uvicorn says 1005.
        assert probe.get("close")[0] in ((1006,) if server.lane == "direct" else (1005, 1006))


def test_async_close_listeners_run_to_their_end_in_order(server: Server, probe: Probe) -> None:
    with server.connect("/async-close"):
        pass
    assert probe.take("close", 2) == ["first", "second"]


def test_a_close_listener_that_comes_after_the_end_is_called(server: Server, probe: Probe) -> None:
    with server.connect("/late-close-listener") as client:
        odac, gone = probe.get("handler")
        client.close(4005)
    while server.call(lambda: odac.ws.ready_state) is not ReadyState.CLOSED:
        pass
    server.call(gone.set)
    assert probe.get("close") == 4005


@pytest.mark.parametrize("arguments", ["[]", "[1000]", '[1000, "done"]', "[1001]", "[1011]", "[3000]", '[4999, "ü"]'])
def test_codes_that_may_be_sent(server: Server, arguments: str) -> None:
    code, reason = ([*json.loads(arguments), 1000, ""] if arguments == "[]" else [*json.loads(arguments), ""])[:2]
    with server.connect("/close-arguments") as client:
        client.send(arguments)
        assert closing(client) == (code, reason)


@pytest.mark.parametrize(
    "arguments",
    [
        *(f"[{code}]" for code in (999, 1004, 1005, 1006, 1015, 2000, 2999, 5000, 0, -1, "true", '"1000"')),
        f'[1000, "{"x" * 124}"]',
        f'[1000, "{"ü" * 62}"]',
    ],
)
def test_codes_and_reasons_that_may_not_be_sent_raise(server: Server, arguments: str) -> None:
    with server.connect("/close-arguments") as client:
        client.send(arguments)
        kind, sentence = receive(client)
        assert kind == "ValueError"
        assert "close" in sentence
        client.send("[4000]")
        assert closing(client) == (4000, "")


def test_ready_state_and_what_a_closed_connection_still_allows(server: Server, probe: Probe) -> None:
    with server.connect("/states") as client:
        assert closing(client) == (4000, "")
    assert probe.get("states") == [ReadyState.OPEN, ReadyState.CLOSING, ReadyState.CLOSED]
    assert probe.get("rooms") == []


def test_sending_to_a_lost_peer_is_not_an_error(server: Server, probe: Probe) -> None:
    with server.connect("/close-event") as other:
        with server.connect("/sends-to-the-gone"):
            pass
        probe.get("sent")
        assert receive(other) == "to the others"


def test_data_is_a_namespace(server: Server) -> None:
    with server.connect("/namespace") as client:
        client.send("x")
        assert receive(client) == [7, "now"]


# Errors


@pytest.mark.parametrize("path", ["/raises", "/async-raises", "/listener-raises", "/async-listener-raises"])
def test_an_exception_without_error_listener_is_1011_and_logged(
    server: Server, probe: Probe, caplog: pytest.LogCaptureFixture, bystander: None, path: str
) -> None:
    with server.connect(path) as client:
        if "listener" in path:
            client.send("1")
        if path == "/listener-raises":
            assert receive(client) == "before"
        assert closing(client) == (1011, "internal error")
    if path == "/listener-raises":
        assert probe.get("close") == 1011
    [record] = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert path in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_error_listeners_get_the_exception_and_the_connection_stays(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with server.connect("/errors") as client:
        assert receive(client) == "ready"
        for data, words, kind in (
            ("direct", "direct", "ValueError"),
            ("async", "'later'", "KeyError"),
            ("timer", "division by zero", "ZeroDivisionError"),
            ("task", "'later'", "KeyError"),
        ):
            client.send(data)
            assert receive_all(client, 2) == [["sync", words], ["async", kind]]
        client.send("unsendable")
        assert receive_all(client, 2)[1] == ["async", "TypeError"]
    assert len([each for each in caplog.records if each.levelno >= logging.ERROR]) == 5


def test_a_listener_that_meets_a_cancellation_is_one_that_raises(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The messages behind it are delivered: nothing stalls."""
    with server.connect("/cancelled") as client:
        for data in ("sync", "async", "async", "sync"):
            client.send(data)
        assert receive_all(client, 8) == [
            each for data in ("sync", "async", "async", "sync") for each in (["got", data], "CancelledError")
        ]
    assert len([each for each in caplog.records if each.levelno >= logging.ERROR]) == 4


@pytest.mark.parametrize("path", ["/cancelled-unheard", "/cancelled-handler"])
def test_a_cancellation_without_error_listener_is_1011_and_logged(
    server: Server, caplog: pytest.LogCaptureFixture, bystander: None, path: str
) -> None:
    with server.connect(path) as client:
        if path == "/cancelled-unheard":
            client.send("1")
        assert closing(client) == (1011, "internal error")
    [record] = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert path in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is asyncio.CancelledError


def test_an_error_listener_that_raises_is_1011(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with server.connect("/error-listener-raises") as client:
        assert closing(client)[0] == 1011
    assert "ZeroDivisionError" in caplog.text


def test_an_exception_after_the_end_reaches_the_error_listeners(
    server: Server, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    with server.connect("/raises-after-the-end"):
        pass
    assert probe.get("error") == "after the end"
    server.call(lambda: None)  # error listeners hear of it before it is logged, in the same turn of the loop
    assert "its handler raised" in caplog.text


def test_what_cannot_be_encoded_raises_at_the_call_and_has_no_effect(server: Server) -> None:
    with server.connect("/unsendable") as client:
        for _ in range(2):
            client.send("1")
            kind, sentence = receive(client)
            assert kind == "TypeError"
            assert "object" in sentence


# Timers and tasks


def test_intervals_and_timeouts(server: Server) -> None:
    with server.connect("/timers") as client:
        assert receive_all(client, 4) == [["tick", 1], ["tick", 2], ["tick", 3], "timeout"]


def test_an_async_interval_never_runs_twice_at_once(server: Server) -> None:
    with server.connect("/async-timer") as client:
        assert receive_all(client, 5) == [1] * 5


def test_timers_and_tasks_end_with_the_connection(server: Server, probe: Probe) -> None:
    with server.connect("/owns") as client:
        assert receive(client) == "ready"
        timer = probe.get("timer")
        probe.take("begun", 2)
    assert sorted(probe.take("cancelled", 2)) == ["task", "timer's task"]
    probe.get("close")
    assert server.call(lambda: timer._handle) is None


def test_a_task_may_read_the_messages(server: Server) -> None:
    with server.connect("/task") as client:
        client.send('"hello"')
        assert receive(client) == ["read", "hello"]


# Ping


def test_awaiting_a_ping_gives_the_round_trip(server: Server, probe: Probe) -> None:
    v1 = server.lane == "asgi"  # plain ASGI has no pings: a client of odac.v1 answers a control message
    with server.connect("/ping", v1=v1) as client:
        if v1:
            assert str(client.recv(DEADLINE)).startswith('\x1e["hello"')
            assert client.recv(DEADLINE) == '\x1e["ping"]'
            client.send('\x1e["pong"]')
        kind, trip = receive(client)
        assert kind == "trip"
        assert 0 <= trip < DEADLINE
    probe.get("pong")


def test_plain_asgi_sends_no_control_message_to_clients_without_odac_v1(server: Server, probe: Probe) -> None:
    with server.connect("/ping-lost") as client:
        probe.get("pinged")
        with pytest.raises(TimeoutError):
            client.recv(0.05)


def test_a_ping_that_is_never_answered_raises_disconnected(server: Server, probe: Probe) -> None:
    with server.raw() as raw:
        raw.upgrade("/ping-lost")
        probe.get("pinged")
        raw.send_frame(8, struct.pack("!H", 4009))
        assert probe.get("disconnected") == 4009


def test_the_peers_pings_are_answered(server: Server) -> None:
    with server.connect("/close-event") as client:
        assert client.ping(b"payload").wait(5)


# What does not end


def test_an_endless_loop_of_awaited_sends_leaves_the_others_their_turn_and_ends_with_its_peer(
    server: Server, probe: Probe, bystander: None
) -> None:
    with server.connect("/namespace") as other, server.raw() as raw:
        raw.upgrade("/endless")
        probe.get("endless")
        for _ in range(200):
            raw.frame()
            if _ % 20 == 0:
                other.send("x")
                assert receive(other) == [7, "now"]
        raw.reset()
        probe.get("ended")


def test_a_handler_that_outlives_its_connection_is_cancelled(
    server: Server, probe: Probe, caplog: pytest.LogCaptureFixture, bystander: None
) -> None:
    with server.connect("/stubborn"):
        probe.get("stubborn")
    probe.get("ended")
    assert "close_timeout" in caplog.text
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


def test_a_listener_that_outlives_its_connection_is_cancelled_and_close_listeners_are_called(
    server: Server, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    with server.connect("/stubborn-listener") as client:
        client.send("1")
        probe.get("message")
    probe.get("close")
    assert "close_timeout" in caplog.text


def test_gates_that_take_too_long_are_1013(
    server: Server, probe: Probe, caplog: pytest.LogCaptureFixture, bystander: None
) -> None:
    with server.connect("/slow-gate") as client:
        assert closing(client)[0] == 1013
    assert "handshake_timeout" in caplog.text
    assert probe.so_far("handler") == []
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


def test_nothing_stays_behind(server: Server) -> None:
    hub = server.app._hub
    for _ in range(3):
        with server.connect("/close-event") as client:
            client.send("[]")
            with pytest.raises(ConnectionClosed):
                client.recv(DEADLINE)
    with server.connect("/namespace") as last:
        last.send("x")
        receive(last)
        assert server.call(lambda: len(hub.connections)) == 1
        assert server.call(lambda: hub.population) == 1
