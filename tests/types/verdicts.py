"""Right and wrong code, with what type checkers are to say of it.

``# error`` stands at the end of each line in which both mypy and pyright must find a mistake; in all others neither may
find one. ``test_verdicts.py`` runs both. The file is never run.
"""

from __future__ import annotations

from typing import Any, assert_type

import msgspec
from pydantic import BaseModel

from odac import Connection, Context, Odac
from odac.routing.websocket_route import WebSocketRoute


class Say(msgspec.Struct, tag=True):
    text: str


class Typing(msgspec.Struct, tag=True):
    on: bool


class Said(BaseModel):
    text: str


app = Odac()


# What comes in


@app.route.ws("/both", message=Say | Typing)
async def both(odac: Context[Say | Typing]) -> None:
    async for message in odac.ws:
        assert_type(message, Say | Typing)
        message.text  # error
        if isinstance(message, Say):
            assert_type(message.text, str)
    assert_type(await odac.ws.receive(), Say | Typing)


async def untyped(odac: Context) -> None:
    async for message in odac.ws:
        assert_type(message, Any)
    odac.ws.send({"anything": 1})


# What may go out


async def out(odac: Context[Say, Said]) -> None:
    odac.ws.send(Said(text="x"))
    odac.ws.send({"text": "x"})  # error
    odac.ws.send(Say("x"))  # error
    odac.ws.send_binary(b"x")


async def only_in(odac: Context[Say]) -> None:
    odac.ws.send({"text": "x"})


# Handing contexts on


def takes_either(odac: Context[Say | Typing, Said]) -> None: ...
def takes_any(odac: Context) -> None: ...
def takes_connection(ws: Connection[Say | Typing]) -> None: ...


def hands_on(odac: Context[Say, Said | Typing], wider: Context[Say | int, Said]) -> None:
    takes_either(odac)
    takes_any(odac)
    takes_connection(odac.ws)
    takes_either(wider)  # error


# Functions of a route

chat = app.route.ws("/chat", message=Say | Typing, sends=Said)
assert_type(chat, WebSocketRoute)


@chat
def opened(odac: Context[Say | Typing, Said]) -> None: ...


@chat.on(Say)
async def say(odac: Context[Say | Typing, Said], message: Say) -> None: ...


@chat.on(Typing)  # error
def typing(odac: Context[Say | Typing, Said], message: Say) -> None: ...


chat.on("say")  # error
chat.answer(7)  # error


@chat.answer("move")
async def move(odac: Context[Say | Typing, Said], move: Say) -> Said:
    return Said(text=move.text)


# Options

app.route.ws("/a", sendz=Said)  # error
app.route.ws("/b", overflow="drop")  # error
