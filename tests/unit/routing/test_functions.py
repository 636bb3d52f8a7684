"""What is wrong with a route's functions is told at start at the latest, with the fix."""

from __future__ import annotations

from typing import Any, Protocol, TypedDict

import msgspec
import pytest
from fastapi import Depends

from odac import ConfigurationError, Context, Odac


class Say(msgspec.Struct, tag=True):
    text: str


class Typing(msgspec.Struct, tag=True):
    on: bool


class A(TypedDict):
    a: int


def make() -> Odac:
    return Odac(secret="x" * 32)


def nothing(odac: Any, message: Any) -> None: ...


def test_the_functions_must_cover_the_union() -> None:
    app = make()
    chat = app.route.ws("/chat", message=Say | Typing | None)
    chat.on(Say)(nothing)
    with pytest.raises(ConfigurationError, match=r"no function takes Typing, None: add @route\.on\(Typing\)"):
        app.check()
    chat.on(Typing)(nothing)
    chat.on(type(None))(nothing)
    app.check()


@pytest.mark.parametrize(
    ("options", "type_", "why"),
    [
        ({}, Say, r"on\(Say\) needs message="),
        ({"message": Say}, Typing, r"on\(Typing\): the route takes message=Say"),
        ({"message": list[int] | A}, dict, r"on\(dict\): the route takes"),
        ({"message": Any}, Any, "does not show that it is one"),
    ],
)
def test_types_that_have_no_function(options: dict[str, Any], type_: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        make().route.ws("/chat", **options).on(type_)(nothing)


def test_two_functions_for_one_type() -> None:
    chat = make().route.ws("/chat", message=Say)
    chat.on(Say)(nothing)
    with pytest.raises(ConfigurationError, match="two functions for Say"):
        chat.on(Say)(nothing)


def test_functions_that_take_too_much() -> None:
    chat = make().route.ws("/chat", message=Say)
    with pytest.raises(ConfigurationError, match="two arguments"):
        chat.on(Say)(lambda a, b, c: None)  # type: ignore[arg-type, misc]
    with pytest.raises(ConfigurationError, match="two arguments"):
        chat.answer("move")(lambda a, b, c: None)


def test_an_answer_that_has_no_place_for_the_context() -> None:
    """It would get the context as the call's arguments."""

    async def bid(amount: int) -> int:
        return amount

    async def of_a_protocol(odac: HasSocket) -> None: ...

    chat = make().route.ws("/chat")
    with pytest.raises(ConfigurationError, match=r"its first parameter gets the context .* with int: write odac"):
        chat.answer("bid")(bid)
    chat.answer("other")(of_a_protocol)


class HasSocket(Protocol):
    ws: Any


def test_what_fastapi_would_fill_in_is_refused() -> None:
    def later(odac: Any, who: Any = Depends(nothing)) -> None: ...  # noqa: B008 - what is tested

    chat = make().route.ws("/chat", message=Say)
    for add in (chat, chat.on(Say), chat.answer("a")):
        with pytest.raises(ConfigurationError, match=r"who=Depends\(…\) has no effect"):
            add(later)


def test_decorators_without_their_argument() -> None:
    async def move(odac: Any) -> None: ...

    chat: Any = make().route.ws("/chat")
    with pytest.raises(ConfigurationError, match=r"write @route.answer\('move'\)"):
        chat.answer(move)
    with pytest.raises(ConfigurationError, match=r"write @route.on\(Type\)"):
        chat.on(move)


@pytest.mark.parametrize("name", ["", "x" * 101, 7, None])
def test_names_that_no_call_has(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="a name is a str of 1 to 100"):
        make().route.ws("/chat").answer(name)(nothing)


def test_two_answers_of_one_name() -> None:
    chat = make().route.ws("/chat")
    chat.answer("move")(nothing)
    with pytest.raises(ConfigurationError, match="two answers to 'move'"):
        chat.answer("move")(nothing)


def test_answers_of_which_the_argument_cannot_be_made() -> None:
    class Local: ...

    def wrong(odac: Any, move: Local) -> None: ...

    with pytest.raises(ConfigurationError, match=r"JSON cannot be decoded into Local: .* Use a msgspec Struct"):
        make().route.ws("/chat").answer("move")(wrong)


def test_an_answers_types_are_those_of_its_annotations() -> None:
    class Move(msgspec.Struct):
        to: str

    app = make()
    chat = app.route.ws("/chat")

    @chat.answer("move")
    async def move(odac: Context, move: Move) -> list[str]:
        raise NotImplementedError

    answer = app.websocket_routes[0].functions.answers["move"]
    assert (answer.arguments, answer.returns, answer.source) == (Move, list[str], move)
    assert answer.convert is not None
    assert answer.convert({"to": "e4"}) == Move("e4")


def test_a_handlers_annotation_must_not_contradict_the_route() -> None:
    def narrow(odac: Context[Say]) -> None: ...
    def wide(odac: Context[Say | Typing | int]) -> None: ...
    def silent(odac: Context) -> None: ...

    fine = make()
    fine.route.ws("/a", wide, message=Say | Typing)
    fine.route.ws("/b", silent, message=Say | Typing)
    fine.route.ws("/c", narrow)
    fine.check()
    wrong = make()
    wrong.route.ws("/chat", narrow, message=Say | Typing)
    with pytest.raises(ConfigurationError, match=r"Context\[Say\], and message= lets Typing in as well"):
        wrong.check()
