"""The client as a whole, over a network and a clock that are the test's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from odac.client.errors import HandshakeRefused
from odac.client.events import ERROR_LIMIT
from odac.client.fetch import Response
from odac.client.invalid import Invalid
from odac.client.pending import MAX_MESSAGES
from odac.errors import Disconnected
from odac.realtime.connection import ReadyState
from tests.unit.client.client_fakes import FakeNetwork, Log, idle, run, token_answer, until


def test_it_offers_odac_and_a_token_and_opens_at_the_hello() -> None:
    async def test() -> None:
        network = FakeNetwork(greet=False)
        client = network.client()
        opening = asyncio.create_task(client.__aenter__())
        await until(lambda: network.sockets)
        await idle()
        assert not opening.done()
        assert client.state is ReadyState.CONNECTING
        network.socket.hello(id="c-42")
        assert await opening is client
        assert network.offers == [("odac.v1", "odac-token-token-1")]
        assert (client.connected, client.state, client.id) == (True, ReadyState.OPEN, "c-42")
        await client.close()
        assert (client.connected, client.state, client.id) == (False, ReadyState.CLOSED, None)

    run(test())


def test_what_comes_before_the_hello_is_kept() -> None:
    async def test() -> None:
        network = FakeNetwork(greet=False)
        client = network.client()
        opening = asyncio.ensure_future(client)
        await until(lambda: network.sockets)
        network.socket.say("from a middleware")
        network.socket.control("ping")
        await idle()
        assert not opening.done()
        network.socket.hello()
        network.socket.say("from the handler")
        await opening
        assert [await client.receive(), await client.receive()] == ["from a middleware", "from the handler"]
        assert network.socket.written == ['\x1e["pong"]']
        await client.close()

    run(test())


def test_a_server_that_never_says_hello_is_given_up() -> None:
    async def test() -> None:
        network = FakeNetwork(greet=False)
        opening = asyncio.ensure_future(network.client(auto_reconnect=False))
        await until(lambda: network.sockets)
        for _ in range(100):
            network.socket.say("anything but hello")
        with pytest.raises(ConnectionError, match="hello"):
            await opening
        assert network.socket.aborted

    run(test())


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odac.client.session.OPEN_TIMEOUT", 0.01)

    async def test() -> None:
        network = FakeNetwork(greet=False)
        with pytest.raises(TimeoutError, match=r"ws://example.test/chat: no answer in 0.01 s"):
            await network.client(auto_reconnect=False)
        assert network.socket.aborted
        network.hang = True
        with pytest.raises(TimeoutError, match="no answer"):
            await network.client(auto_reconnect=False)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(test())


def test_without_odac_v1_it_is_open_after_the_handshake() -> None:
    async def test() -> None:
        network = FakeNetwork(subprotocol=None)
        async with network.client(token=False, subprotocols=["chat"]) as client:
            assert network.offers == [("odac.v1", "chat")]
            assert client.connected
            assert client.id is None
            network.socket.say('\x1e["ping"]')
            assert await client.receive() == '\x1e["ping"]'
            client.send("\x1ftext")
            client.send("\x1etext")
            assert network.socket.written == ["\x1ftext", "\x1etext"]

    run(test())


def test_leaving_the_context_leaves_nothing() -> None:
    async def test() -> None:
        network = FakeNetwork()
        async with network.client() as client:
            assert client.connected
        assert network.socket.closed_with == (1000, "")
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(ZeroDivisionError):
            async with network.client():
                _ = 1 / 0
        assert network.socket.closed_with == (1001, "")
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert network.clock.sleepers == []

    run(test())


def test_a_cancelled_opening_leaves_nothing() -> None:
    async def test() -> None:
        network = FakeNetwork(greet=False)
        opening = asyncio.ensure_future(network.client())
        await until(lambda: network.sockets)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert network.socket.aborted
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(test())


def test_it_can_be_iterated_directly() -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client()

        @client.on("open")
        def speak() -> None:
            network.socket.say("1")
            network.socket.say("2")
            network.socket.end(1000)

        assert [data async for data in client] == [1, 2]
        assert client.close_code == 1000
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(test())


def test_a_connection_is_opened_once() -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client()
        with pytest.raises(RuntimeError, match="not connected"):
            await client.receive()
        async with client:
            with pytest.raises(RuntimeError, match="once"):
                await client
        with pytest.raises(RuntimeError, match="once"):
            await client

    run(test())


def test_messages_both_ways() -> None:
    async def test() -> None:
        network = FakeNetwork()
        async with network.client() as client:
            for data in ({"a": [1, None]}, [1], 7, True, None, "text", b"\0\1", bytearray(b"\2"), memoryview(b"\3")):
                assert await client.send(data) is True
            client.send_binary(b"\4")
            assert network.socket.written == [
                '{"a":[1,null]}',
                "[1]",
                "7",
                "true",
                "null",
                "text",
                b"\0\1",
                b"\2",
                b"\3",
                b"\4",
            ]
            for message in ('{"a":1}', "plain", "7", b"\0"):
                network.socket.say(message)
            assert [await client.receive() for _ in range(4)] == [{"a": 1}, "plain", 7, b"\0"]
            with pytest.raises(TypeError, match="cannot send"):
                client.send(object())
            with pytest.raises(TypeError, match="send_binary"):
                client.send_binary("text")

    run(test())


# Reconnecting


def test_a_lost_connection_comes_back_with_a_fresh_token() -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client()
        log = Log(client)
        async with client:
            network.socket.end(1006)
            await idle()
            assert client.state is ReadyState.CLOSED
            await network.clock.advance(2.9)
            assert len(network.sockets) == 1
            await network.clock.advance(0.2)
            assert client.connected
            assert client.id == "c-2"
            assert network.offers[1] == ("odac.v1", "odac-token-token-2")
            assert log.events == [("open",), ("close", 1006, ""), ("reconnecting", 1, 3.0), ("open",)]

    run(test())


def test_reconnect_ends_the_wait_for_the_next_attempt_alone() -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client(max_reconnect_attempts=3)
        log = Log(client)
        client.reconnect()  # before the first attempt there is nothing to hurry
        async with client:
            client.reconnect()
            await idle()
            assert len(network.sockets) == 1, "an open connection is left alone"
            network.plan.append(ConnectionRefusedError())
            network.socket.end(1006)
            await until(lambda: log.of("reconnecting"))
            client.reconnect()
            await until(lambda: len(log.of("reconnecting")) == 2)
            assert log.of("reconnecting") == [(1, 3.0), (2, 4.5)], "and it counts as an attempt"
            client.reconnect()
            await until(lambda: client.connected)
            network.socket.end(1006)
            await until(lambda: len(log.of("reconnecting")) == 3)
            await client.close()
        client.reconnect()
        await idle()
        assert len(network.sockets) == 2, "one that is closed for good stays closed"

    run(test())


def test_reading_goes_on_across_a_reconnection() -> None:
    async def test() -> None:
        network = FakeNetwork()
        async with network.client() as client:
            network.socket.say("before")
            network.socket.end(1012)
            await network.clock.advance(3)
            network.socket.say("after")
            assert [await client.receive(), await client.receive()] == ["before", "after"]

    run(test())


def test_waits_grow_until_attempts_are_used_up() -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client(max_reconnect_attempts=3)
        log = Log(client)
        async with client:
            network.plan.extend([ConnectionRefusedError()] * 3)
            network.socket.end(1006)
            await network.clock.advance(100)
            assert log.of("reconnecting") == [(1, 3.0), (2, 4.5), (3, 6.75)]
            assert log.of("close") == [(1006, "")] * 4
            assert log.of("error") == [("ConnectionRefusedError",)] * 3 + [("ConnectionError",)]
            with pytest.raises(Disconnected, match="1006"):
                await client.receive()
            assert not client.send("too late")

    run(test())


def test_five_seconds_of_connection_make_the_waits_short_again() -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client()
        log = Log(client)
        async with client:
            for stayed in (1.0, 1.0, 5.0, 1.0):
                await network.clock.advance(stayed)
                network.socket.end(1006)
                await network.clock.advance(10)
                assert client.connected
                await idle()
            # the ten seconds contain the wait and what is left of it as open time
            assert [wait for _, wait in log.of("reconnecting")] == [3.0, 3.0, 3.0, 3.0]

    run(test())


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1008, 1009, 4000, 4001, 4003, 4500])
def test_a_final_code_ends_it(code: int) -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client()
        log = Log(client)
        async with client:
            network.socket.say("last")
            network.socket.end(code, "because")
            assert [data async for data in client] == ["last"]
            assert (client.close_code, client.close_reason) == (code, "because")
            await network.clock.advance(100)
            assert len(network.sockets) == 1
            assert log.events == [("open",), ("message", "last"), ("close", code, "because")]

    run(test())


def test_without_auto_reconnect_any_end_is_the_end() -> None:
    async def test() -> None:
        network = FakeNetwork()
        async with network.client(auto_reconnect=False) as client:
            network.socket.end(1006)
            assert [data async for data in client] == []
            assert client.close_code == 1006

    run(test())


def test_a_refused_token_is_fetched_anew_once() -> None:
    async def test() -> None:
        network = FakeNetwork()
        network.plan.append((4002, "Invalid token"))
        async with network.client() as client:
            assert client.connected
            assert [offer[1] for offer in network.offers] == ["odac-token-token-1", "odac-token-token-2"]
        network.plan.extend([(4002, "Invalid token")] * 2)
        with pytest.raises(Disconnected, match="4002: Invalid token"):
            await network.client()
        assert len(network.offers) == 4
        network.plan.append((4002, ""))
        with pytest.raises(Disconnected, match="4002"):
            await network.client(token=False)
        assert len(network.offers) == 5

    run(test())


def test_a_draining_server_is_left_alone_for_as_long_as_it_asked() -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client()
        log = Log(client)
        async with client:
            network.socket.control("drain", 7500)
            await idle()
            network.socket.end(1001)
            await idle()
            assert log.of("reconnecting") == [(1, 7.5)]
            await network.clock.advance(7.5)
            assert client.connected

    run(test())


def test_the_server_that_is_not_there_yet_is_waited_for() -> None:
    async def test() -> None:
        network = FakeNetwork()
        network.plan.extend([ConnectionRefusedError(), TimeoutError("slow")])
        opening = asyncio.ensure_future(network.client())
        await network.clock.advance(3)
        assert not opening.done()
        await network.clock.advance(4.5)
        client = await opening
        assert client.connected
        await client.close()

    run(test())


@pytest.mark.parametrize(
    ("plan", "options", "error"),
    [
        (ConnectionRefusedError("nobody"), {"auto_reconnect": False}, ConnectionRefusedError),
        (HandshakeRefused(403, "origin"), {}, HandshakeRefused),
        (HandshakeRefused(404, "no route"), {}, HandshakeRefused),
        ((4001, "Unauthorized"), {}, Disconnected),
        (ValueError("a fault of our own"), {}, ValueError),
    ],
)
def test_what_cannot_be_opened_says_why(
    plan: BaseException | tuple[int, str],
    options: dict[str, Any],
    error: type[Exception],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        network = FakeNetwork()
        network.plan.append(plan)
        with pytest.raises(error):
            async with network.client(**options):
                pytest.fail("it opened")
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(test())
    assert caplog.records == []


def test_attempts_used_up_before_the_first_connection() -> None:
    async def test() -> None:
        network = FakeNetwork()
        network.plan.extend([ConnectionRefusedError("nobody")] * 3)
        opening = asyncio.ensure_future(network.client(max_reconnect_attempts=2))
        await network.clock.advance(60)
        with pytest.raises(ConnectionRefusedError) as caught:
            await opening
        assert caught.value.__notes__ == ["gave up after 2 attempts to reconnect"]

    run(test())


# Tokens


def test_the_session_cookie_goes_to_the_endpoint_and_to_the_handshake() -> None:
    async def test() -> None:
        network = FakeNetwork()
        network.token_answers.append(token_answer("t", "odac_session=s1; Path=/; HttpOnly"))
        network.set_cookie = ["tracker=x; Path=/"]
        async with network.client(cookies={"lang": "de"}, headers={"X-Key": "k"}, prefix="/rt/odac/"):
            network.socket.end(1006)
            await network.clock.advance(3)
        assert network.token_requests == [
            ("/rt/odac/token", {"X-Key": "k", "Cookie": "lang=de"}),
            ("/rt/odac/token", {"X-Key": "k", "Cookie": "lang=de; odac_session=s1; tracker=x"}),
        ]
        assert network.headers[0] == {"X-Key": "k", "Cookie": "lang=de; odac_session=s1"}

    run(test())


def test_the_token_of_the_last_connection_steps_in_once() -> None:
    async def test() -> None:
        network = FakeNetwork()
        async with network.client() as client:
            network.socket.control("token", "spare")
            await idle()
            network.token_answers.extend([ConnectionRefusedError(), ConnectionRefusedError()])
            network.socket.end(1006)
            await network.clock.advance(3)
            assert client.connected
            assert network.offers[-1] == ("odac.v1", "odac-token-spare")
            network.socket.end(1006)
            await network.clock.advance(4.5)
            assert not client.connected  # this attempt had no token

    run(test())


def test_a_server_that_stops_saves_the_request_for_a_token() -> None:
    async def test() -> None:
        network = FakeNetwork()
        async with network.client() as client:
            network.socket.control("token", "handed-over")
            network.socket.control("drain", 0)
            await idle()
            asked = len(network.token_requests)
            network.socket.end(1001)
            await network.clock.advance(0)
            assert client.connected
            assert network.offers[-1] == ("odac.v1", "odac-token-handed-over")
            assert len(network.token_requests) == asked
            network.socket.end(1006)  # without a word: the next one is asked for
            await network.clock.advance(4.5)
            assert len(network.token_requests) == asked + 1

    run(test())


def test_a_handed_over_token_that_is_refused_is_not_the_next_one() -> None:
    async def test() -> None:
        network = FakeNetwork()
        async with network.client() as client:
            network.socket.control("token", "of-another-secret")
            network.socket.control("drain", 0)
            await idle()
            asked = len(network.token_requests)
            network.socket.end(1001)
            await network.clock.advance(0)
            network.socket.end(4002)
            await network.clock.advance(0)
            assert client.connected
            assert len(network.token_requests) == asked + 1

    run(test())


@pytest.mark.parametrize(
    "answer",
    [
        Response(404, (), b"Not Found"),
        Response(200, (), b"<html>"),
        Response(200, (), b"[]"),
        Response(200, (), b'{"token": 7}'),
        Response(200, (), b'{"token": ""}'),
        Response(200, (), b'{"token": "a, b"}'),
    ],
    ids=["404", "html", "list", "number", "empty", "comma"],
)
def test_an_endpoint_that_gives_no_token_is_named(answer: Response) -> None:
    async def test() -> None:
        network = FakeNetwork()
        network.token_answers.append(answer)
        with pytest.raises(HandshakeRefused, match=r"/odac/token.*prefix=.*token=False"):
            await network.client()
        assert network.offers == []

    run(test())


def test_a_token_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def test() -> None:
        network = FakeNetwork()
        network.token_answers.extend([token_answer("hush-1"), token_answer("hush-2"), OSError("gone")])
        network.plan.extend([(4002, "no"), None, ConnectionResetError("reset")])
        async with network.client() as client:
            network.socket.control("token", "hush-3")
            await idle()
            network.socket.end(1006)
            await network.clock.advance(3)
            assert not client.connected
            assert "hush" not in repr(client)

    run(test())
    assert caplog.records != []
    assert "hush" not in caplog.text


# Sending while there is no connection


def test_what_is_sent_meanwhile_goes_out_first_and_in_order() -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client()
        client.send("before the first")
        client.on("open", lambda: client.send("from the listener"))
        async with client:
            await idle()
            assert network.socket.written == ["before the first", "from the listener"]
            network.socket.end(1006)
            await idle()
            assert all([await client.send(number) for number in range(5)])
            await network.clock.advance(3)
            assert network.socket.written == ["0", "1", "2", "3", "4", "from the listener"]

    run(test())


def test_the_queue_refuses_what_does_not_fit() -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client()
        log = Log(client)
        async with client:
            network.socket.end(1006)
            await idle()
            assert all(client.send(number) for number in range(MAX_MESSAGES))
            assert not client.send("one more")
            assert await client.send("one more") is False
            await idle()
            assert log.of("error") == [("BufferError",)] * 2
            await network.clock.advance(3)
            assert network.socket.written == [str(number) for number in range(MAX_MESSAGES)]

    run(test())


def test_a_loop_that_is_refused_takes_no_memory() -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client()
        log = Log(client)
        async with client:
            network.socket.end(1006)
            await idle()
            assert sum(map(bool, (client.send("x") for _ in range(10_000)))) == MAX_MESSAGES
            await until(lambda: log.of("error"))
            await idle()
            assert 0 < len(log.of("error")) <= ERROR_LIMIT

    run(test())


def test_what_the_socket_no_longer_takes_is_kept_for_the_next() -> None:
    async def test() -> None:
        network = FakeNetwork()
        async with network.client() as client:
            network.socket.end(1006)  # the client has not heard of it yet
            assert client.connected
            assert client.send("kept")
            await network.clock.advance(3)
            assert network.socket.written == ["kept"]

    run(test())


def test_nothing_is_sent_to_a_server_that_turns_the_client_away() -> None:
    async def test() -> None:
        network = FakeNetwork()
        network.plan.append((4002, ""))
        client = network.client()
        client.send("hello")
        async with client:
            assert [socket.written for socket in network.sockets] == [[], ["hello"]]

    run(test())


def test_awaiting_a_send_waits_for_room() -> None:
    async def test() -> None:
        network = FakeNetwork()
        async with network.client() as client:
            network.socket.room.clear()
            assert client.send("not awaited")
            sending = asyncio.ensure_future(client.send("awaited"))
            await idle()
            assert not sending.done()
            network.socket.room.set()
            assert await sending is True

    run(test())


# Closing


def test_close_is_final_wherever_it_comes() -> None:
    async def test(prepare: Callable[[FakeNetwork], None]) -> None:
        network = FakeNetwork()
        client = network.client()
        log = Log(client)
        async with client:
            prepare(network)
            await idle()
            client.send("dropped")
            await client.close(4999, "done")
            assert client.state is ReadyState.CLOSED
            assert log.of("close")[-1] == (4999, "done")
            assert asyncio.all_tasks() == {asyncio.current_task()}
            await client.close()
            await network.clock.advance(1000)
            assert [data async for data in client] == []
            assert (client.close_code, client.close_reason) == (4999, "done")
            with pytest.raises(Disconnected):
                await client.receive()

    def waiting(network: FakeNetwork) -> None:
        network.socket.end(1006)

    def dialing(network: FakeNetwork) -> None:
        network.hang = True
        network.socket.end(4002)

    def greeting(network: FakeNetwork) -> None:
        network.greet = False
        network.socket.end(4002)

    for prepare in (lambda _: None, waiting, dialing, greeting):
        run(test(prepare))


def test_a_client_that_was_never_opened_can_be_closed() -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client()
        await client.close()
        assert client.state is ReadyState.CLOSED
        with pytest.raises(RuntimeError, match="once"):
            await client

    run(test())


def test_the_code_and_reason_must_be_fit_to_send() -> None:
    client = FakeNetwork().client()
    for code in (0, 999, 1004, 1005, 1006, 1015, 2000, 5000):
        with pytest.raises(ValueError, match="may not be sent"):
            client.close(code)
    with pytest.raises(ValueError, match="123"):
        client.close(1000, "ä" * 62)
    with pytest.raises(TypeError, match="must be a str"):
        client.close(1000, None)  # type: ignore[arg-type]


def test_a_listener_may_close_and_goes_on() -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client()
        went_on = []

        @client.on("message")
        async def stop(data: object) -> None:
            await client.close(4000, "enough")
            await idle()
            went_on.append(data)

        async with client:
            network.socket.say("stop")
            assert [data async for data in client] == ["stop"]
            assert went_on == ["stop"]
            assert network.socket.closed_with == (4000, "enough")

    run(test())


def test_what_arrived_before_the_end_is_read_after_it() -> None:
    async def test() -> None:
        network = FakeNetwork()
        async with network.client() as client:
            for number in range(100):
                network.socket.say(str(number))
            await client.close()
            assert [data async for data in client] == list(range(100))

    run(test())


def test_a_listener_that_hangs_is_cancelled_in_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("odac.client.session.CLOSE_TIMEOUT", -1)  # plus one makes no wait at all

    async def test() -> None:
        network = FakeNetwork()
        client = network.client()
        ended = asyncio.Event()

        @client.on("message")
        async def hang() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.set()

        async with client:
            network.socket.say("x")
            await idle()
        assert ended.is_set()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(test())
    assert "cancelled a listener" in caplog.text


@pytest.mark.parametrize("headers", [{"X\r\nY": "1"}, {"X": "1\r\nY: 2"}, {"": "1"}, {"Cookie": "a=1"}])
def test_headers_must_be_headers(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="headers"):
        FakeNetwork().client(headers=headers)


def test_a_prefix_is_a_path() -> None:
    with pytest.raises(ValueError, match="prefix"):
        FakeNetwork().client(prefix="odac")


def test_closing_before_the_opening_is_the_end() -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client()
        client.close(4000, "never mind")
        for _ in range(2):
            with pytest.raises(Disconnected) as caught:
                await asyncio.wait_for(client.receive(), 5)
            assert (caught.value.code, caught.value.reason) == (4000, "never mind")
        assert [data async for data in client] == []
        assert network.sockets == []

    run(test())


def test_a_message_that_the_server_does_not_take_is_an_event() -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client()
        heard: list[Invalid] = []
        client.on("invalid", heard.append)
        async with client:
            network.socket.control("invalid", "malformed")
            network.socket.control("invalid", {"field": "to", "reason": "no square"})
            await until(lambda: heard)
        assert heard == [Invalid("to", "no square")]

    run(test())
