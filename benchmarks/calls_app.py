"""What ``benchmarks.calls`` measures: an echo, a call, and routes with types of several kinds."""

from __future__ import annotations

import json

import msgspec
from pydantic import BaseModel

from odac import Context, Limits, Odac

app = Odac(secret="a secret of the benchmarks, long enough", limits=Limits(rate_limit=None))


class Move(msgspec.Struct):
    to: str
    piece: str


class Model(BaseModel):
    to: str
    piece: str


@app.route.ws("/echo", token=False)
def echo(odac: Context) -> None:
    odac.ws.on("message", odac.ws.send)


calls = app.route.ws("/calls", token=False)


@calls
def opened(odac: Context) -> None:
    """The handler: calls are answered without it."""


@calls.answer("plain")
def plain(odac: Context, move: object) -> object:
    return move


@calls.answer("typed")
def typed(odac: Context, move: Move) -> Move:
    return move


@calls.answer("async")
async def asynchronous(odac: Context, move: Move) -> Move:
    return move


@app.route.ws("/asks", token=False)
def asks(odac: Context) -> None:
    async def ask(move: object) -> None:
        odac.ws.send(await odac.ws.call("confirm", move))

    def asked(move: object) -> None:
        odac.create_task(ask(move))

    odac.ws.on("message", asked)


struct = app.route.ws("/struct", token=False, message=Move)


@struct.on(Move)
def on_struct(odac: Context, message: Move) -> None:
    odac.ws.send(message)


model = app.route.ws("/pydantic", token=False, message=Model)


@model.on(Model)
def on_model(odac: Context, message: Model) -> None:
    odac.ws.send(message)


@app.route.ws("/loads", token=False, raw=True)
def loads(odac: Context) -> None:
    odac.ws.on("message", lambda text: odac.ws.send(json.loads(text)))
