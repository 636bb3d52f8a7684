"""An app whose contract the tests know."""

from __future__ import annotations

from typing import Literal

import msgspec
from pydantic import BaseModel, Field

from odac import Context, Odac

app = Odac(secret="x" * 32, docs=True)


class Say(msgspec.Struct, tag="say"):
    """What somebody says."""

    text: str


class Typing(msgspec.Struct, tag="typing"):
    on: bool


class Said(BaseModel):
    text: str = Field(alias="theText")
    by: int | None = None


class Move(msgspec.Struct):
    to: str
    pieces: list[tuple[int, str]] = []


class Moved(msgspec.Struct):
    to: str
    state: Literal["open", "over"] = "open"


chess = app.route.auth.ws("/chess/{id:int}", message=Say | Typing, sends=Said | Moved)


@chess
async def opened(odac: Context[Say | Typing, Said | Moved]) -> None:
    """A game of chess."""


@chess.on(Say)
async def say(odac: Context[Say | Typing, Said], message: Say) -> None: ...
@chess.on(Typing)
async def typing(odac: Context[Say | Typing, Said], message: Typing) -> None: ...
@chess.answer("move")
async def move(odac: Context, move: Move) -> Moved:
    """Move a piece."""
    return Moved(move.to)


@chess.answer("resign")
def resign(odac: Context) -> bool:
    return True


@app.route.ws("/", token=False)
def echo(odac: Context) -> None:
    odac.ws.on("message", odac.ws.send)
