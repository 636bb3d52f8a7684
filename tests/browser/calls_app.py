"""Calls in both directions, for a real browser."""

from __future__ import annotations

import asyncio

import msgspec

from odac import CallError, Context, Odac

app = Odac(docs=True)


class Move(msgspec.Struct):
    to: str


calls = app.route.ws("/calls")
executed: list[str] = []


@calls
def opened(odac: Context) -> None:
    """The handler: calls are answered without it."""


@calls.answer("move")
async def move(odac: Context, move: Move) -> str:
    if move.to == "a9":
        raise CallError("illegal", "The board ends at 8")
    answer: str = await odac.ws.call("confirm", {"to": move.to}, returns=str)
    return answer


@calls.answer("slow")
async def slow(odac: Context) -> None:
    await asyncio.sleep(60)


@calls.answer("drop")
async def drop(odac: Context, name: str) -> list[str]:
    """Executed once: the connection is lost before the answer, which the next connection gets."""
    executed.append(name)
    odac.ws.lane.abort()
    return executed
