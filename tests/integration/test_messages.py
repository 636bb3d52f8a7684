"""Sending and receiving: kinds of messages, their order, and which listener gets them."""

from __future__ import annotations

import array
import asyncio
import socket
from typing import Any

import pytest

from odac import Context, Disconnected, Odac
from tests.integration.harness import DEADLINE, OpenRoutes, Probe, Server, closing, everybody, receive, receive_all


def build(probe: Probe) -> Odac:
    app = Odac(secret="x" * 32)
    ws = OpenRoutes(app)

    @ws("/echo")
    def echo(odac: Context) -> None:
        odac.ws.on("message", odac.ws.send)

    @ws("/kinds")
    def kinds(odac: Context) -> None:
        for data in ({"a": [1, 2.5, None, True]}, [1], 7, None, True, "text", "", b"bytes", bytearray(b"array")):
            odac.ws.send(data)
        odac.ws.send_binary(memoryview(b"view"))
        odac.ws.send_binary(array.array("I", [1, 2]))

    @ws("/types")
    def types(odac: Context) -> None:
        odac.ws.on("message", lambda data: odac.ws.send([type(data).__name__, repr(data)]))

    @ws("/iterate")
    async def iterate(odac: Context) -> None:
        async for data in odac.ws:
            odac.ws.send(["got", data])
        probe("iteration ended", odac.ws.ready_state.name)

    @ws("/receive")
    async def take(odac: Context) -> None:
        try:
            while True:
                odac.ws.send(["received", await odac.ws.receive()])
        except Disconnected as error:
            probe("disconnected", (error.code, error.reason))

    @ws("/held")
    async def held(odac: Context) -> None:
        ready: asyncio.Event = asyncio.Event()
        probe("handler", (odac, ready))
        await ready.wait()
        odac.ws.on("message", lambda data: odac.ws.send(["late", data]))

    @ws("/held-iterate")
    async def held_iterate(odac: Context) -> None:
        ready: asyncio.Event = asyncio.Event()
        probe("handler", (odac, ready))
        await ready.wait()
        async for data in odac.ws:
            odac.ws.send(["late", data])

    @ws("/one-at-a-time", rate_limit=None)
    def one_at_a_time(odac: Context) -> None:
        running = 0

        @odac.ws.on("message")
        async def work(data: int) -> None:
            nonlocal running
            running += 1
            for _ in range(data % 3):
                await asyncio.sleep(0)
            odac.ws.send([data, running])
            running -= 1

    @ws("/stuck")
    def stuck(odac: Context) -> None:
        event = asyncio.Event()

        @odac.ws.on("message")
        async def wait(data: object) -> None:
            probe("waits", event)
            await event.wait()
            odac.ws.send(data)

    @ws("/listeners")
    def listeners(odac: Context) -> None:
        async def second(data: object) -> None:
            await asyncio.sleep(0)
            odac.ws.send(["second", data])

        def first(data: object) -> None:
            odac.ws.send(["first", data])

        def once(data: object) -> None:
            odac.ws.send(["once", data])
            odac.ws.off("message", once)

        odac.ws.on("message", first)
        odac.ws.on("message", second)
        odac.ws.on("message", once)
        odac.ws.on("message", lambda: odac.ws.send("no argument"))

    @ws("/off")
    def off(odac: Context) -> None:
        odac.ws.on("message", lambda: odac.ws.send("a"))
        odac.ws.on("message", lambda: odac.ws.send("b"))
        odac.ws.off("message")
        odac.ws.on("message", lambda: odac.ws.send("c"))

    @ws("/off-while-full", rate_limit=None)
    def off_while_full(odac: Context) -> None:
        event = asyncio.Event()

        @odac.ws.on("message")
        async def wait(data: object) -> None:
            probe("waits", (odac, event))
            await event.wait()

    @ws("/await")
    def awaits(odac: Context) -> None:
        @odac.ws.on("message")
        async def answer(count: int) -> None:
            for number in range(count):
                await odac.ws.send(number)

    @ws("/flood", rate_limit=None)
    async def flood(odac: Context) -> None:
        """Sends without end, but never faster than the peer reads."""
        number = 0
        while odac.ws.ready_state == 1:
            number += 1
            await odac.ws.send(b"x" * 50_000)
            probe("sent", number)
            await asyncio.sleep(0)

    @ws("/burst")
    def burst(odac: Context) -> None:
        @odac.ws.on("message")
        def answer(count: int) -> None:
            for number in range(count):
                odac.ws.send(number)
            odac.ws.close(4100, "done")

    return app


def test_off_while_reading_is_paused_goes_on_reading(server: Server, probe: Probe) -> None:
    """Or nobody would see that the client closes."""
    with server.connect("/off-while-full") as client:
        for number in range(40):
            client.send(str(number))
        odac, event = probe.get("waits")
        while not server.call(lambda: odac.ws.inbox.is_paused):
            pass
        server.call(lambda: (odac.ws.off("message"), event.set()))
        client.close(4005)
    assert client.close_code == 4005


def test_every_kind_of_data_goes_out(server: Server) -> None:
    with server.connect("/kinds") as client:
        got = [client.recv(DEADLINE) for _ in range(11)]
    texts = ['{"a":[1,2.5,null,true]}', "[1]", "7", "null", "true", "text", ""]
    assert got == [*texts, b"bytes", b"array", b"view", array.array("I", [1, 2]).tobytes()]


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ('{"a": 1}', ["dict", "{'a': 1}"]),
        ("[1]", ["list", "[1]"]),
        ("7", ["int", "7"]),
        ("2.5", ["float", "2.5"]),
        ("true", ["bool", "True"]),
        ("null", ["NoneType", "None"]),
        ('"quoted"', ["str", "'quoted'"]),
        ("not JSON", ["str", "'not JSON'"]),
        ("{broken", ["str", "'{broken'"]),
        ("NaN", ["str", "'NaN'"]),
        ("", ["str", "''"]),
        ("ünïcödé 🦉", ["str", "'ünïcödé 🦉'"]),
        (b"\x00\xff", ["bytes", r"b'\x00\xff'"]),
        (b"", ["bytes", "b''"]),
        (b'{"a": 1}', ["bytes", "b'{\"a\": 1}'"]),
    ],
    ids=lambda value: repr(value) if not isinstance(value, list) else value[0],
)
def test_every_kind_of_data_arrives(server: Server, sent: str | bytes, arrives: list[str]) -> None:
    with server.connect("/types") as client:
        client.send(sent)
        assert receive(client) == arrives


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 1_000_000])
def test_every_length_passes_both_ways(server: Server, size: int) -> None:
    with server.connect("/echo") as client:
        client.send(b"x" * size)
        assert client.recv(DEADLINE) == b"x" * size
        client.send("x" * size)
        assert client.recv(DEADLINE) == "x" * size


def test_a_fragmented_message_is_one_message(server: Server) -> None:
    with server.connect("/echo") as client:
        client.send(["frag", "men", "ted"])
        assert client.recv(DEADLINE) == "fragmented"


def test_messages_are_answered_in_order(server: Server) -> None:
    with server.connect("/echo") as client:
        for number in range(90):
            client.send(str(number))
        assert receive_all(client, 90) == list(range(90))


def test_async_for_gives_every_message_and_ends_with_the_connection(server: Server, probe: Probe) -> None:
    with server.connect("/iterate") as client:
        for number in range(5):
            client.send(str(number))
        assert receive_all(client, 5) == [["got", number] for number in range(5)]
    assert probe.get("iteration ended") == "CLOSED"


def test_receive_raises_disconnected_with_the_code_of_the_peer(server: Server, probe: Probe) -> None:
    with server.connect("/receive") as client:
        client.send("1")
        assert receive(client) == ["received", 1]
        client.close(4321, "bye")
    assert probe.get("disconnected") == (4321, "bye")


@pytest.mark.parametrize("path", ["/held", "/held-iterate"])
def test_messages_wait_for_the_first_listener(server: Server, probe: Probe, path: str) -> None:
    with server.connect(path) as client:
        for number in range(10):
            client.send(str(number))
        odac, ready = probe.get("handler")
        client.ping().wait(5)  # what was sent before has arrived
        server.call(ready.set)
        client.send("10")
        assert receive_all(client, 11) == [["late", number] for number in range(11)]
        assert odac.ws.id


@pytest.mark.parametrize("path", ["/held", "/held-iterate"])
def test_more_than_the_queue_holds_waits_in_the_network(server: Server, probe: Probe, path: str) -> None:
    with server.connect(path) as client:
        for number in range(60):
            client.send(str(number))
        _, ready = probe.get("handler")
        server.call(ready.set)
        assert receive_all(client, 60) == [["late", number] for number in range(60)]


def test_an_async_listener_has_one_message_at_a_time_in_order(server: Server) -> None:
    with server.connect("/one-at-a-time") as client:
        for number in range(200):
            client.send(str(number))
        assert receive_all(client, 200) == [[number, 1] for number in range(200)]


def test_an_async_listener_delays_no_other_connection(server: Server, probe: Probe) -> None:
    with everybody(server.connect("/stuck"), server.connect("/echo"), server.connect("/stuck")) as (one, other, third):
        one.send("1")
        event = probe.get("waits")
        other.send("2")
        assert receive(other) == 2
        third.send("3")
        server.call(probe.get("waits").set)
        assert receive(third) == 3
        server.call(event.set)
        assert receive(one) == 1


def test_listeners_are_called_in_the_order_of_registration(server: Server) -> None:
    with server.connect("/listeners") as client:
        client.send("1")
        client.send("2")
        one = [["first", 1], ["second", 1], ["once", 1], "no argument"]
        two = [["first", 2], ["second", 2], "no argument"]
        assert receive_all(client, 7) == one + two


def test_off_without_a_handler_removes_all_of_the_event(server: Server) -> None:
    with server.connect("/off") as client:
        client.send("x")
        client.send("y")
        assert receive_all(client, 2) == ["c", "c"]


def test_a_send_can_be_awaited(server: Server) -> None:
    with server.connect("/await") as client:
        client.send("50")
        assert receive_all(client, 50) == list(range(50))


def test_an_awaited_send_waits_for_a_reader_that_does_not_read(server: Server, probe: Probe) -> None:
    with server.raw(receive_buffer=4096) as raw:
        raw.upgrade("/flood")
        settled = server.standstill("sent")
        # The kernel's buffers and one message more than fit: the handler stands still, and the connection stays open.
        assert settled < 400
        for _ in range(settled):
            opcode, payload = raw.frame()
            assert (opcode, len(payload)) == (2, 50_000)
        assert probe.get("sent") == settled + 1


def test_what_is_sent_before_close_arrives_before_it(server: Server) -> None:
    with server.connect("/burst") as client:
        client.send("500")
        assert receive_all(client, 500) == list(range(500))
        assert closing(client) == (4100, "done")


def test_small_messages_are_not_held_back(server: Server) -> None:
    """Nagle's algorithm is off (RFC 9293 section 3.7.4): it would hold the second of two small messages back until the
    first is acknowledged, which a client may delay by 40 ms.
    """
    with server.connect("/echo") as client:
        own = client.socket.getsockname()[1]

        def options() -> list[int]:
            open_: set[Any] = server._server.server_state.connections
            transports = [getattr(each, "transport", None) or each._transport for each in open_]
            sockets = [each.get_extra_info("socket") for each in transports]
            return [
                each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                for each in sockets
                if each.getpeername()[1] == own
            ]

        assert [bool(each) for each in server.call(options)] == [True]
