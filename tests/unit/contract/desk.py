"""An app whose messages and calls have unions within other types, and fields with defaults in both directions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from odac import Context, Odac

app = Odac(secret="x" * 32)


class Ask(BaseModel):
    kind: Literal["ask"] = "ask"
    text: str = ""


class Busy(BaseModel):
    kind: Literal["busy"] = "busy"
    seconds: int


Message = Annotated[Ask | Busy, Field(discriminator="kind")]


class Log(BaseModel):
    kind: Literal["log"] = "log"
    last: Message | None = None
    messages: list[Message] = []
    by_name: dict[str, Ask | Busy] = {}


desk = app.route.ws("/desk", token=False, message=Message, sends=Annotated[Ask | Log, Field(discriminator="kind")])


@desk
async def opened(odac: Context[Ask | Busy, Ask | Log]) -> None: ...
@desk.answer("all")
async def answer_all(odac: Context, messages: list[Message]) -> dict[str, Ask | Busy]:
    return {message.kind: message for message in messages}


@desk.answer("last")
async def answer_last(odac: Context, message: Log) -> Annotated[Ask | Busy, Field(discriminator="kind")] | None:
    return message.last


@app.route.ws("/lists", token=False, message=list[Message], sends=dict[str, Message])
def lists(odac: Context) -> None: ...
