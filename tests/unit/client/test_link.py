"""One connection of the client: its control messages, and when silence counts as its end."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.client.client_fakes import FakeNetwork, Log, run, until


def test_text_that_begins_with_the_separator_is_escaped() -> None:
    async def test() -> None:
        network = FakeNetwork()
        async with network.client() as client:
            client.send('\x1e["ping"]')
            assert network.socket.written == ['\x1e\x1e["ping"]']
            network.socket.say('\x1e\x1e["ping"]')
            assert await client.receive() == '\x1e["ping"]'

    run(test())


def test_control_messages_are_answered_or_ignored() -> None:
    async def test() -> None:
        network = FakeNetwork()
        async with network.client() as client:
            network.socket.control("ping")
            network.socket.control("from-the-future", 1, 2)
            for garbage in (
                "\x1e",
                "\x1e{}",
                "\x1e[]",
                "\x1e[1]",
                '\x1e["token"]',
                '\x1e["token",7]',
                '\x1e["drain","x"]',
                '\x1e["drain",-1]',
                '\x1e["hello"]',
            ):
                network.socket.say(garbage)
            network.socket.say("after")
            assert await client.receive() == "after"
            assert network.socket.written == ['\x1e["pong"]']

    run(test())


def test_a_message_that_cannot_be_read_is_an_error_of_its_own() -> None:
    async def test() -> None:
        network = FakeNetwork()
        client = network.client()
        log = Log(client)
        async with client:
            network.socket.say("[" * 100_000 + "]" * 100_000)
            network.socket.say("next")
            await until(lambda: log.of("message"))
            assert log.of("error") == [("InvalidMessage",)]
            assert log.of("message") == [("next",)]
            assert client.connected

    run(test())


def test_silence_past_the_interval_and_ten_seconds_is_death() -> None:
    async def test() -> None:
        network = FakeNetwork(greet=False)
        client = network.client()
        opening = asyncio.ensure_future(client)
        await until(lambda: network.sockets)
        network.socket.hello(ping=7)
        await opening
        await network.clock.advance(16)
        network.socket.control("ping")
        await network.clock.advance(16.9)
        assert client.connected
        await network.clock.advance(0.2)
        assert network.sockets[0].aborted
        assert client.close_code == 1006
        assert network.sockets[0].probes == 0  # the server promised to speak first

    run(test())


def test_a_server_that_promised_nothing_is_asked() -> None:
    async def test() -> None:
        network = FakeNetwork(subprotocol=None)
        async with network.client() as client:
            await network.clock.advance(25)
            assert network.socket.probes == 1
            network.socket.last_received = network.clock.time  # the pong
            await network.clock.advance(34)
            assert network.socket.probes == 2
            assert client.connected
            await network.clock.advance(2)
            assert network.sockets[0].aborted

    run(test())


def test_a_slow_reader_does_not_mistake_its_server_for_dead() -> None:
    async def test() -> None:
        network = FakeNetwork()
        async with network.client() as client:
            for number in range(100):
                network.socket.say(str(number))
            await network.clock.advance(1000)  # nobody reads, so neither does the client
            assert client.connected
            assert network.socket.unread > 0
            assert [await client.receive() for _ in range(100)] == list(range(100))

    run(test())


@pytest.mark.parametrize("ping", [0, -1, "25", None, True, 1e9])
def test_an_interval_that_makes_no_sense_is_not_believed(ping: object) -> None:
    async def test() -> None:
        network = FakeNetwork(greet=False)
        client = network.client()
        opening = asyncio.ensure_future(client)
        await until(lambda: network.sockets)
        network.socket.hello(ping=ping)
        await opening
        await network.clock.advance(34.9)
        assert not network.socket.aborted
        await network.clock.advance(0.2)
        assert client.close_code == 1006
        await client.close()

    run(test())
