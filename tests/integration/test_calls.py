"""The messages of calls over every lane: to the server and from it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from websockets.sync.client import ClientConnection

import odac
from odac import CallError, Context, Disconnected, InvalidMessage, Limits, Odac
from tests.integration.harness import DEADLINE, Probe, Server

MARK = "\x1e"


class Move(msgspec.Struct):
    to: str
    by: int = 1


class Moved(msgspec.Struct):
    to: str


def build(probe: Probe) -> Odac:
    app = Odac(secret="x" * 32, limits=Limits(incoming_queue=4, rate_limit=None, close_timeout=0.5))
    chess = app.route.ws("/chess/{id}", token=False)

    @chess
    async def opened(odac: Context) -> None:
        await asyncio.sleep(0.02)
        odac.ws.data.game = odac.request.data.url["id"]

    @chess.answer("move")
    async def move(odac: Context, move: Move) -> Moved:
        await asyncio.sleep(0)
        if move.to == "a9":
            raise CallError("illegal", "The board ends at 8")
        return Moved(f"{odac.ws.data.game} {move.to}")

    @chess.answer("sync")
    def sync(odac: Context, arguments: Any) -> Any:
        return arguments

    @chess.answer("key")
    def key(odac: Context) -> Any:
        assert odac.call is not None
        return [odac.call.name, odac.call.key]

    @chess.answer("raises")
    async def raises(odac: Context) -> None:
        raise RuntimeError("secret detail")

    @chess.answer("unsendable")
    def unsendable(odac: Context) -> Any:
        return object()

    @chess.answer("slow")
    async def slow(odac: Context, arguments: Any) -> Any:
        probe("slow", arguments)
        try:
            await asyncio.sleep(DEADLINE)
        except asyncio.CancelledError:
            probe("cancelled", arguments)
            raise

    @chess.answer("ask back")
    async def ask_back(odac: Context, arguments: Any) -> Any:
        return ["client said", await odac.ws.call("confirm", arguments, timeout=DEADLINE)]

    reading = app.route.ws("/reading", token=False)

    @reading
    async def read(odac: Context) -> None:
        await odac.ws.receive()
        odac.ws.send("first taken")
        async for message in odac.ws:
            odac.ws.send(["taken", message])
            if message == "ask":
                try:
                    odac.ws.send(["got", await odac.ws.call("question", timeout=DEADLINE)])
                except CallError as error:
                    odac.ws.send([error.code, error.text])

    @reading.answer("order")
    def order(odac: Context, arguments: Any) -> Any:
        return ["answered", arguments]

    prepared = asyncio.Event()

    @chess.answer("prepared")
    def say_prepared(odac: Context) -> None:
        prepared.set()

    preparing = app.route.ws("/preparing", token=False)

    @preparing
    async def prepare(odac: Context) -> None:
        await prepared.wait()

    @preparing.answer("sync")
    def prepared_sync(odac: Context, arguments: Any) -> Any:
        return arguments

    @app.route.ws("/asks", token=False)
    async def asks(odac: Context) -> None:
        async for message in odac.ws:
            try:
                answer = await odac.ws.call("question", message["arguments"], timeout=message["timeout"], returns=int)
            except (CallError, InvalidMessage) as error:
                odac.ws.send([type(error).__name__, str(error)])
            except Disconnected as error:
                probe("disconnected", error.code)
                raise
            else:
                odac.ws.send(["answer", answer])

    @app.route.ws("/plain", token=False)
    async def plain(odac: Context) -> None:
        try:
            await odac.ws.call("question")
        except CallError as error:
            odac.ws.send([error.code])

    return app


class Caller:
    """A client that speaks just enough of ``odac.v1``."""

    def __init__(self, client: ClientConnection) -> None:
        self.client = client
        kind, self.hello = self.control()
        assert kind == "hello"

    def receive(self) -> Any:
        text = self.client.recv(DEADLINE)
        assert isinstance(text, str)
        return json.loads(text[1:]) if text[0] == MARK else ("message", json.loads(text) if text[0] in "[{" else text)

    def control(self) -> Any:
        answer = self.receive()
        assert isinstance(answer, list), answer
        return answer

    def send(self, *values: Any) -> None:
        self.client.send(MARK + json.dumps(values))

    def call(self, *values: Any) -> Any:
        self.send("call", *values)
        return self.control()


@contextmanager
def caller(server: Server, path: str) -> Iterator[Caller]:
    with server.connect(path, v1=True) as client:
        yield Caller(client)


# Answers of the server


def test_an_answer_has_the_types_of_the_function(server: Server) -> None:
    with caller(server, "/chess/7") as ws:
        assert ws.call(1, "move", {"to": "e4"}) == ["reply", 1, {"to": "7 e4"}]
        assert ws.call(2, "sync", [1, None]) == ["reply", 2, [1, None]]
        assert ws.call(3, "sync") == ["reply", 3, None]


@pytest.mark.parametrize(
    ("name", "arguments", "code", "text"),
    [
        ("move", {"to": "a9"}, "illegal", "The board ends at 8"),
        ("move", {"to": 7}, "invalid", "Expected `str`, got `int` - at `$.to`"),
        ("move", {}, "invalid", "Object missing required field `to`"),
        ("nothing", None, "unknown", "nothing answers 'nothing' on this route"),
        ("raises", None, "internal", ""),
        ("unsendable", None, "internal", ""),
    ],
)
def test_refusals(server: Server, name: str, arguments: Any, code: str, text: str) -> None:
    with caller(server, "/chess/7") as ws:
        assert ws.call(1, name, arguments) == ["fail", 1, code, text]
        assert ws.call(2, "sync", 1) == ["reply", 2, 1], "the connection goes on"


def test_an_error_of_an_answer_is_logged_and_not_sent(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "odac"), caller(server, "/chess/7") as ws:
        ws.call(1, "raises")
    (record,) = [each for each in caplog.records if "raises" in each.getMessage()]
    assert record.exc_info is not None
    assert "secret detail" in str(record.exc_info[1])


def test_a_route_without_answers_refuses_calls(server: Server) -> None:
    with caller(server, "/asks") as ws:
        assert ws.call(1, "move") == ["fail", 1, "unknown", "this route answers no calls"]
        assert "calls" not in ws.hello
    with caller(server, "/chess/1") as ws:
        assert isinstance(ws.hello["calls"], str)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [1],
        [1, 2],
        ["1", "sync"],
        [-1, "sync"],
        [True, "sync"],
        [2**53, "sync"],
        [1.5, "sync"],
        [None, "sync", 1],
        [[], "sync"],
    ],
)
def test_what_is_no_call_is_ignored(server: Server, values: list[Any]) -> None:
    with caller(server, "/chess/7") as ws:
        ws.send("call", *values)
        ws.send("cancel", *values)
        ws.send("reply", *values)
        ws.send("fail", *values)
        assert ws.call(9, "sync", 1) == ["reply", 9, 1]


def test_invalid_times_and_retries_are_ignored(server: Server) -> None:
    with caller(server, "/chess/7") as ws:
        odd: list[Any] = ["x", -1, 1e300, True, {}, [], [1, 2], ["x", "y"], None]
        answers: list[Any] = []
        # Nine at a time: a connection may have sixteen calls under way.
        for number, value in enumerate(odd):
            ws.send("call", number, "sync", number, value, 60_000, None)
        answers += [ws.control() for _ in odd]
        for number, value in enumerate(odd):
            ws.send("call", 100 + number, "sync", number, 0, value, None)
        answers += [ws.control() for _ in odd]
        assert {answer[1] for answer in answers} == {*range(len(odd)), *range(100, 100 + len(odd))}
        assert all(answer[0] == "reply" or answer[2] == "timeout" for answer in answers)


def test_sixteen_at_a_time_and_no_more(server: Server, probe: Probe) -> None:
    with caller(server, "/chess/7") as ws:
        for number in range(16):
            ws.send("call", number, "slow", number)
        for number in range(16):
            assert probe.get("slow") == number
        assert ws.call(16, "sync", 1)[:3] == ["fail", 16, "busy"]
        ws.send("cancel", 3)
        assert probe.get("cancelled") == 3
        assert ws.control()[:3] == ["fail", 3, "cancelled"]
        assert ws.call(17, "sync", 1) == ["reply", 17, 1]
    assert {probe.get("cancelled") for _ in range(15)} == {*range(16)} - {3}, "they end with the connection"


def test_the_deadline_is_the_callers(server: Server, probe: Probe) -> None:
    with caller(server, "/chess/7") as ws:
        at = 0
        assert ws.call(1, "slow", 1, at, 2000)[:3] == ["fail", 1, "timeout"]
        assert probe.get("cancelled") == 1


def test_a_call_that_arrives_after_its_deadline_is_not_started(server: Server, probe: Probe) -> None:
    with caller(server, "/chess/7") as ws:
        time.sleep(0.1)  # the time that it was under way, as its own clock says
        assert ws.call(1, "slow", 1, 0, 50) == ["fail", 1, "timeout", "the call arrived after its deadline"]
        assert ws.call(2, "sync", 1, 0, 60_000) == ["reply", 2, 1]
    assert probe.so_far("slow") == []


def test_calls_that_are_over_before_their_turn_make_room_for_others(server: Server) -> None:
    with caller(server, "/preparing") as ws, caller(server, "/chess/7") as other:
        for number in range(4):  # incoming_queue: nothing more is read
            ws.send("call", number, "sync", number, 0, 300)
        over = [ws.control() for _ in range(4)]
        # Their deadlines may be the same, as the clock of the event loop has it: then their order is nobody's promise.
        assert sorted(answer[:3] for answer in over) == [["fail", number, "timeout"] for number in range(4)]
        ws.send("call", 4, "sync", 4, 0, 60_000)
        ws.send("cancel", 4)
        assert ws.control()[:3] == ["fail", 4, "cancelled"]
        ws.send("call", 5, "sync", 5)
        other.call(1, "prepared")
        assert ws.control() == ["reply", 5, 5]


# Order


def test_an_answer_begins_when_the_messages_before_it_were_taken(server: Server) -> None:
    with caller(server, "/reading") as ws:
        ws.client.send("first")
        assert ws.receive() == ("message", "first taken")
        ws.client.send("a")
        ws.send("call", 1, "order", 1)
        ws.client.send("b")
        assert ws.receive() == ("message", ["taken", "a"])
        rest = [ws.receive(), ws.receive()]
        assert ["reply", 1, ["answered", 1]] in rest
        assert ("message", ["taken", "b"]) in rest


def test_a_handler_that_waits_for_an_answer_gets_it_past_the_messages_that_wait(server: Server) -> None:
    with caller(server, "/reading") as ws:
        ws.client.send("first")
        ws.client.send("ask")
        assert ws.receive() == ("message", "first taken")
        assert ws.receive() == ("message", ["taken", "ask"])
        kind, number, name, arguments, *_ = ws.control()
        assert (kind, name, arguments) == ("call", "question", None)
        for index in range(10):  # more than incoming_queue
            ws.client.send(f"m{index}")
        ws.send("reply", number, "yes")
        assert ws.receive() == ("message", ["got", "yes"])
        assert [ws.receive() for _ in range(10)] == [("message", ["taken", f"m{index}"]) for index in range(10)]


def test_it_is_refused_when_four_times_as_many_wait(server: Server) -> None:
    with caller(server, "/reading") as ws:
        ws.client.send("first")
        ws.client.send("ask")
        assert [ws.receive(), ws.receive()][1] == ("message", ["taken", "ask"])
        assert ws.control()[0] == "call"
        for index in range(20):
            ws.client.send(f"m{index}")
        assert ws.control()[0] == "cancel"
        message = ws.receive()
        assert message[1][0] == "busy"
        assert [ws.receive() for _ in range(20)] == [("message", ["taken", f"m{index}"]) for index in range(20)]


# Calls of the server


def test_an_answer_may_ask_back(server: Server) -> None:
    with caller(server, "/chess/7") as ws:
        ws.send("call", 1, "ask back", {"text": "Sure?"})
        kind, number, name, arguments, at, left = ws.control()
        assert (kind, name, arguments) == ("call", "confirm", {"text": "Sure?"})
        assert at >= 0
        assert left == DEADLINE * 1000
        ws.send("reply", number, True)
        assert ws.control() == ["reply", 1, ["client said", True]]


def asked(ws: Caller, arguments: Any = None, timeout: float = DEADLINE) -> int:
    ws.client.send(json.dumps({"arguments": arguments, "timeout": timeout}))
    kind, number, name, got, *_ = ws.control()
    assert (kind, name, got) == ("call", "question", arguments)
    return int(number)


def test_the_clients_answer_its_refusal_and_a_wrong_one(server: Server) -> None:
    with caller(server, "/asks") as ws:
        ws.send("reply", asked(ws, [1]), 7)
        assert ws.receive() == ("message", ["answer", 7])
        ws.send("fail", asked(ws), "no", "I do not want to")
        assert ws.receive() == ("message", ["CallError", "no: I do not want to"])
        ws.send("fail", asked(ws), 7)
        assert ws.receive() == ("message", ["CallError", "internal"])
        ws.send("reply", asked(ws), "text")
        assert ws.receive() == ("message", ["InvalidMessage", "Expected `int`, got `str`"])
        number = asked(ws)
        ws.send("reply", number + 1, 0)
        ws.send("reply", number, 7)
        ws.send("reply", number, 8)
        assert ws.receive() == ("message", ["answer", 7])


def test_no_answer_in_time(server: Server) -> None:
    with caller(server, "/asks") as ws:
        number = asked(ws, timeout=0.05)
        assert ws.control() == ["cancel", number]
        assert ws.receive() == ("message", ["CallError", "timeout: no answer to 'question' within 0.05 s"])


def test_the_connection_ends_first(server: Server, probe: Probe) -> None:
    with caller(server, "/asks") as ws:
        asked(ws)
    assert probe.get("disconnected") == 1000


def test_a_client_without_the_protocol_gets_no_call(server: Server) -> None:
    with server.connect("/plain") as client:
        assert client.recv(DEADLINE) == '["unknown"]'


# With the Python client


def test_the_python_client_calls_and_answers(server: Server) -> None:
    async def test() -> None:
        async with (
            asyncio.timeout(DEADLINE),
            odac.connect(f"ws://{server.host}:{server.port}/chess/7", token=False) as ws,
        ):

            @ws.answer("confirm")
            async def confirm(question: dict[str, str]) -> bool:
                return question["text"] == "Sure?"

            assert await ws.call("move", {"to": "e4"}, returns=Moved) == Moved("7 e4")
            assert await ws.call("ask back", {"text": "Sure?"}) == ["client said", True]
            answers = await asyncio.gather(*[ws.call("sync", number, retry=True) for number in range(10)])
            assert answers == list(range(10))
            with pytest.raises(CallError, match="illegal: The board ends at 8"):
                await ws.call("move", {"to": "a9"})

    asyncio.run(test())


# retry


def retry(ws: Caller, number: int, name: str, arguments: Any, origin: str, age: int = 0) -> Any:
    ws.send("call", number, name, arguments, 0, 60_000, [origin, age])
    return ws.control()


def test_a_call_that_is_sent_again_is_answered_and_not_executed_again(server: Server) -> None:
    with caller(server, "/chess/7") as ws:
        origin = ws.hello["calls"]
        first = retry(ws, 1, "key", None, origin)
        assert first[0] == "reply"
        assert retry(ws, 1, "sync", "another", origin, 10) == first
        assert retry(ws, 2, "sync", 2, origin, 10) == ["reply", 2, 2], "it cannot have been executed"
        assert retry(ws, 3, "key", None, origin)[2][1] != first[2][1]


def test_refusals_are_remembered_as_well_but_not_those_before_it_began(server: Server, probe: Probe) -> None:
    with caller(server, "/chess/7") as ws:
        origin = ws.hello["calls"]
        assert retry(ws, 1, "raises", None, origin) == ["fail", 1, "internal", ""]
        assert retry(ws, 1, "sync", 1, origin, 10) == ["fail", 1, "internal", ""]
        assert retry(ws, 2, "nothing", None, origin)[2] == "unknown"
        assert retry(ws, 2, "sync", 1, origin, 10) == ["reply", 2, 1]


@pytest.mark.parametrize("origin", ["", "another process", "a.b.c"])
def test_one_that_was_sent_elsewhere_before_is_interrupted(server: Server, origin: str) -> None:
    with caller(server, "/chess/7") as ws:
        assert retry(ws, 1, "sync", 1, origin, 10)[:3] == ["fail", 1, "interrupted"]
        process, number, _ = ws.hello["calls"].split(".")
        assert retry(ws, 2, "sync", 1, f"{process}.{number}.anothersession", 10)[:3] == ["fail", 2, "interrupted"]
        ws.send("call", 3, "sync", 1, None, None, [ws.hello["calls"], 10])
        assert ws.control()[:3] == ["fail", 3, "interrupted"], "without its time, nothing is known of its age"


def test_it_is_answered_over_the_next_connection(server: Server, probe: Probe) -> None:
    with caller(server, "/chess/7") as first:
        origin = first.hello["calls"]
        answered = retry(first, 1, "key", None, origin)
        first.send("call", 2, "slow", 2, 0, 60_000, [origin, 0])
        probe.get("slow")
    with caller(server, "/chess/7") as second:
        assert second.hello["calls"] != origin
        assert retry(second, 1, "key", None, origin, 10) == answered
        second.send("call", 2, "slow", 2, 0, 60_000, [origin, 10])
        second.send("cancel", 2)
        assert second.control()[:3] == ["fail", 2, "cancelled"], "it went on when its connection was lost"
        assert probe.so_far("slow") == []
        assert retry(second, 3, "key", None, origin, 10)[2][1].startswith(origin), (
            "it never arrived, and is executed now"
        )


def test_one_that_is_too_old_is_interrupted(server: Server) -> None:
    with caller(server, "/chess/7") as ws:
        assert retry(ws, 1, "sync", 1, ws.hello["calls"], 120_000)[:3] == ["fail", 1, "interrupted"]


def test_one_that_runs_is_answered_once_it_is_through(server: Server, probe: Probe) -> None:
    with caller(server, "/chess/7") as ws:
        origin = ws.hello["calls"]
        ws.send("call", 1, "slow", 1, 0, 400, [origin, 0])
        probe.get("slow")
        assert retry(ws, 1, "slow", 1, origin, 10)[:3] == ["fail", 1, "timeout"]
        assert probe.so_far("slow") == [], "it was not begun a second time"
