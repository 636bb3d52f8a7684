"""The client's calls, over a network that is the test's own: what is sent, what is sent again, and how each call ends."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import msgspec
import pytest

from odac.client import ClientConnection
from odac.client.calls import AT_A_TIME, check_call
from odac.client.events import FACTOR_WHILE_CALLING, MOST_WAITING
from odac.errors import CallError, ConfigurationError, Disconnected, InvalidMessage
from tests.unit.client.client_fakes import FakeNetwork, FakeSocket, idle, run, until

ORIGIN = {"calls": "origin-1"}


class Move(msgspec.Struct):
    to: str


async def opened(network: FakeNetwork | None = None, **options: Any) -> tuple[FakeNetwork, ClientConnection]:
    network = network or FakeNetwork(greet=False)
    client = network.client(**options)
    opening = asyncio.ensure_future(client)
    await until(lambda: network.sockets)
    network.socket.hello(**ORIGIN)
    await opening
    return network, client


def controls(socket: FakeSocket) -> list[Any]:
    return [json.loads(each[1:]) for each in socket.written if isinstance(each, str) and each.startswith("\x1e")]


async def asked(socket: FakeSocket, count: int = 1) -> Any:
    await until(lambda: len(controls(socket)) >= count)
    return controls(socket)[count - 1]


def call(client: ClientConnection, name: str = "move", arguments: Any = None, **options: Any) -> asyncio.Task[Any]:
    return asyncio.create_task(client.call(name, arguments, **options))


def test_an_answer_and_a_refusal() -> None:
    async def test() -> None:
        network, client = await opened()
        first, second = call(client, "move", {"to": "e4"}), call(client, "move", returns=Move)
        kind, number, name, arguments, at, left = await asked(network.socket)
        assert (kind, number, name, arguments) == ("call", 1, "move", {"to": "e4"})
        assert at >= 0
        assert 9_000 < left <= 10_000
        network.socket.control("reply", 2, {"to": "d4"})
        network.socket.control("fail", 1, "illegal", "The board ends at 8")
        with pytest.raises(CallError, match="illegal: The board ends at 8"):
            await first
        assert await second == Move("d4")
        third = call(client, returns=Move)
        await asked(network.socket, 3)
        network.socket.control("reply", 3, [])
        with pytest.raises(InvalidMessage):
            await third
        await client.close()

    run(test())


def test_no_answer_in_time_and_one_that_comes_too_late() -> None:
    async def test() -> None:
        network, client = await opened()
        with pytest.raises(CallError) as error:
            await client.call("move", timeout=0.01)
        assert error.value.code == "timeout"
        assert controls(network.socket)[1] == ["cancel", 1]
        network.socket.control("reply", 1, "late")
        await idle()
        await client.close()

    run(test())


def test_cancelling_the_caller_cancels_the_call() -> None:
    async def test() -> None:
        network, client = await opened()
        task = call(client)
        await asked(network.socket)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert controls(network.socket)[1] == ["cancel", 1]
        await client.close()

    run(test())


async def lose(network: FakeNetwork) -> None:
    """Lose the connection and come back."""
    before = len(network.sockets)
    network.socket.end(1006)
    await idle()
    await network.clock.advance(3)
    await until(lambda: len(network.sockets) > before)


def test_a_lost_connection_interrupts_a_call_and_not_one_with_retry() -> None:
    async def test() -> None:
        network, client = await opened()
        plain, again = call(client), call(client, "pay", {"sum": 5}, retry=True)
        first = await asked(network.socket, 2)
        assert first[5:] == [["origin-1", 0]] or first[6:] == [["origin-1", 0]]
        await lose(network)
        with pytest.raises(CallError, match="interrupted"):
            await plain
        assert not again.done()
        network.socket.hello(calls="origin-2")
        second = await asked(network.socket)
        assert second[:4] == ["call", 2, "pay", {"sum": 5}]
        origin, age = second[6]
        assert origin == "origin-1"
        assert age >= 1
        network.socket.control("reply", 2, "paid")
        assert await again == "paid"
        await client.close()

    run(test())


def test_one_that_waits_for_a_connection_is_sent_when_there_is_one_behind_the_messages() -> None:
    async def test() -> None:
        network, client = await opened()
        await lose(network)
        client.send("message")
        waiting, given_up = call(client), call(client, "late", timeout=0.01)
        with pytest.raises(CallError, match="timeout"):
            await given_up
        network.socket.hello(**ORIGIN)
        assert (await asked(network.socket))[1:3] == [1, "move"]
        assert network.socket.written[0] == "message"
        await idle()
        assert len(controls(network.socket)) == 1, "what was given up is not sent"
        network.socket.control("reply", 1, 7)
        assert await waiting == 7
        await client.close()

    run(test())


@pytest.mark.parametrize("sent", [True, False])
def test_every_call_ends_with_the_client(sent: bool) -> None:
    async def test() -> None:
        network, client = await opened()
        if not sent:
            await lose(network)
        waiting = call(client, retry=True)
        await idle()
        await client.close()
        with pytest.raises(Disconnected):
            await waiting
        with pytest.raises(Disconnected):
            await client.call("move")

    run(test())


def test_a_final_close_code_ends_them() -> None:
    async def test() -> None:
        network, client = await opened()
        waiting = call(client, retry=True)
        await asked(network.socket)
        network.socket.end(4001, "Logged out")
        with pytest.raises(Disconnected) as error:
            await waiting
        assert (error.value.code, error.value.reason) == (4001, "Logged out")
        await client.close()

    run(test())


def test_a_server_that_does_not_speak_odac() -> None:
    async def test() -> None:
        client = FakeNetwork(subprotocol=None).client(token=False)
        async with client:
            with pytest.raises(CallError, match="does not speak"):
                await client.call("move")

    run(test())


def test_an_invalid_call_raises_at_once() -> None:
    async def test() -> None:
        client = FakeNetwork().client()
        with pytest.raises(RuntimeError, match="not connected"):
            await client.call("move")
        async with client:
            with pytest.raises(TypeError, match="cannot send"):
                await client.call("move", object())
        for name, timeout in (("x", 0), ("x", 1e9), (7, 1), ("x", float("nan")), ("x", "5"), ("x", None)):
            with pytest.raises(ValueError, match="the timeout seconds above 0"):
                check_call(name, timeout)  # type: ignore[arg-type]

    run(test())


# A listener that waits for an answer


def test_a_listener_may_wait_for_an_answer_behind_messages_until_too_many_wait() -> None:
    async def test() -> None:
        network, client = await opened()
        outcomes: list[object] = []

        async def listen(data: object) -> None:
            if data == "ask":
                try:
                    outcomes.append(await client.call("move"))
                except CallError as error:
                    outcomes.append(error.code)

        client.on("message", listen)
        network.socket.say("ask")
        await asked(network.socket)
        for number in range(MOST_WAITING * 2):
            network.socket.say(f"{number}")
        network.socket.control("reply", 1, "got")
        await until(lambda: outcomes)
        network.socket.say("ask")
        await asked(network.socket, 2)
        for number in range(MOST_WAITING * FACTOR_WHILE_CALLING + 1):
            network.socket.say(f"{number}")
        await until(lambda: len(outcomes) == 2)
        assert outcomes == ["got", "busy"]
        await client.close()

    run(test())


# The server's calls


def test_functions_answer_the_server_with_their_types() -> None:
    async def test() -> None:
        network, client = await opened()

        @client.answer("move")
        async def move(move: Move) -> dict[str, str]:
            await asyncio.sleep(0)
            if move.to == "a9":
                raise CallError("illegal", "no")
            return {"moved": move.to}

        @client.answer("plain")
        def plain() -> int:
            return 7

        network.socket.control("call", 1, "move", {"to": "e4"}, 0, 60_000)
        network.socket.control("call", 2, "move", {"to": "a9"})
        network.socket.control("call", 3, "move", {"to": 7})
        network.socket.control("call", 4, "plain", None)
        network.socket.control("call", 5, "nothing", None)
        await until(lambda: len(controls(network.socket)) == 5)
        assert sorted(controls(network.socket), key=lambda each: each[1]) == [
            ["reply", 1, {"moved": "e4"}],
            ["fail", 2, "illegal", "no"],
            ["fail", 3, "invalid", "Expected `str`, got `int` - at `$.to`"],
            ["reply", 4, 7],
            ["fail", 5, "unknown", "nothing answers 'nothing'"],
        ]
        await client.close()

    run(test())


def test_an_error_of_an_answer_is_logged_and_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        network, client = await opened()

        @client.answer("raises")
        def raises() -> None:
            raise RuntimeError("secret")

        @client.answer("unsendable")
        def unsendable() -> object:
            return object()

        network.socket.control("call", 1, "raises", None)
        network.socket.control("call", 2, "unsendable", None)
        await until(lambda: len(controls(network.socket)) == 2)
        assert controls(network.socket) == [["fail", 1, "internal", ""], ["fail", 2, "internal", ""]]
        await client.close()

    with caplog.at_level(logging.ERROR, "odac.client"):
        run(test())
    assert "raises" in caplog.text


def test_cancel_busy_late_and_the_end() -> None:
    async def test() -> None:
        network, client = await opened()
        cancelled: list[int] = []

        @client.answer("slow")
        async def slow(number: int) -> None:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                cancelled.append(number)
                raise

        for number in range(AT_A_TIME + 1):
            network.socket.control("call", number, "slow", number)
        assert (await asked(network.socket))[:3] == ["fail", AT_A_TIME, "busy"]
        network.socket.control("cancel", 0)
        assert (await asked(network.socket, 2))[:3] == ["fail", 0, "cancelled"]
        network.socket.control("call", 50, "slow", 50, 0, 0)
        assert (await asked(network.socket, 3))[:3] == ["fail", 50, "timeout"]
        network.socket.end(1006)
        await until(lambda: len(cancelled) == AT_A_TIME)
        await client.close()

    run(test())


def test_an_answer_begins_behind_the_messages_that_came_before_it() -> None:
    async def test() -> None:
        network, client = await opened()
        seen: list[object] = []
        client.on("message", seen.append)
        client.answer("order")(lambda: list(seen))
        network.socket.say("first")
        network.socket.control("call", 1, "order", None)
        assert await asked(network.socket) == ["reply", 1, ["first"]]
        await client.close()

    run(test())


def test_an_answer_without_the_name_of_the_call_is_refused() -> None:
    async def test() -> None:
        client = FakeNetwork().client()

        def confirm(question: object) -> bool:
            raise NotImplementedError

        with pytest.raises(ConfigurationError, match=r"write @ws.answer\('confirm'\)"):
            client.answer(confirm)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=r"write @ws.answer\('move'\)"):
            client.answer(7)  # type: ignore[arg-type]
        with pytest.raises(
            ConfigurationError, match=r"JSON cannot be decoded into FakeNetwork: .* Use a msgspec Struct"
        ):

            @client.answer("wrong")
            def wrong(question: FakeNetwork) -> bool:
                raise NotImplementedError

    run(test())
