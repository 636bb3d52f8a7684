"""Routes with a function for each type of message, over every lane; pydantic models in and out."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, Field

from odac import Context, Odac
from tests.integration.harness import Probe, Server, closing, receive


class Say(msgspec.Struct, tag="say"):
    text: str


class Typing(msgspec.Struct, tag="typing"):
    on: bool


class Item(BaseModel):
    kind: Literal["item"] = "item"
    unit_price: float = Field(alias="unitPrice")


class Note(BaseModel):
    kind: Literal["note"] = "note"
    text: str


def build(probe: Probe) -> Odac:
    app = Odac(secret="x" * 32)
    chat = app.route.ws("/chat/{id}", token=False, message=Say | Typing)

    @chat.on(Say)
    async def say(odac: Context[Say | Typing], message: Say) -> None:
        await asyncio.sleep(0)
        odac.ws.send(["said", odac.ws.data.name, message.text])

    @chat
    async def opened(odac: Context[Say | Typing]) -> None:
        await asyncio.sleep(0.05)  # as if it asked a database: no function may run before it is through
        odac.ws.data.name = odac.request.data.url["id"]

    @chat.on(Typing)
    def typing(odac: Context[Say | Typing], message: Typing) -> None:
        odac.ws.send(["typing", message.on])

    bare = app.route.ws("/bare", token=False, message=Say)

    @bare.on(Say)
    def bare_say(odac: Context[Say], message: Say) -> None:
        odac.ws.send(message.text)

    reading = app.route.ws("/reading", token=False, message=Say)

    @reading
    async def reads_itself(odac: Context[Say]) -> None:
        odac.ws.on("error", lambda error: odac.ws.send(str(error)))
        await odac.ws.receive()

    @reading.on(Say)
    def never(odac: Context[Say], message: Say) -> None: ...

    models = app.route.ws("/models", token=False, message=Annotated[Item | Note, Field(discriminator="kind")])

    @models.on(Item)
    def item(odac: Context[Any], message: Item) -> None:
        odac.ws.send({"item": message, "all": [message]})

    @models.on(Note)
    def note(odac: Context[Any], message: Note) -> None:
        odac.ws.send(message)

    return app


def test_each_message_goes_to_the_function_of_its_type_in_order_once_the_handler_is_through(server: Server) -> None:
    with server.connect("/chat/7") as client:
        for message in ({"type": "say", "text": "a"}, {"type": "typing", "on": True}, {"type": "say", "text": "b"}):
            client.send(json.dumps(message))
        assert [receive(client) for _ in range(3)] == [["said", "7", "a"], ["typing", True], ["said", "7", "b"]]


def test_a_route_needs_no_handler(server: Server) -> None:
    with server.connect("/bare") as client:
        client.send('{"type": "say", "text": "hello"}')
        assert client.recv(5) == "hello"


def test_a_handler_that_reads_the_messages_of_the_functions_gets_an_error(server: Server) -> None:
    with server.connect("/reading") as client:
        assert "let the handler return" in str(client.recv(5))


def test_models_of_pydantic_come_in_and_go_out(server: Server) -> None:
    with server.connect("/models") as client:
        client.send('{"kind": "item", "unitPrice": "1.5"}')
        item = {"kind": "item", "unitPrice": 1.5}
        assert receive(client) == {"item": item, "all": [item]}
        client.send('{"kind": "note", "text": "x"}')
        assert receive(client) == {"kind": "note", "text": "x"}


def test_an_invalid_model_is_answered_with_the_field(server: Server) -> None:
    with server.connect("/models") as client:
        client.send('{"kind": "item", "unitPrice": "much"}')
        code, reason = closing(client)
        assert code == 1007
        assert "`$.unitPrice`" in reason
