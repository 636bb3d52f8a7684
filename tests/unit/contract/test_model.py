from __future__ import annotations

from typing import Annotated

from pydantic import Field, RootModel
from typing_extensions import TypeAliasType

from odac import History, Odac, Presence
from odac.contract.model import read
from tests.unit.contract import chess, desk

Alias = TypeAliasType("Alias", desk.Message)


class Command(RootModel[Annotated[desk.Ask | desk.Busy, Field(discriminator="kind")]]): ...


def test_what_a_route_takes_and_gives() -> None:
    first, second = read(chess.app.websocket_routes).routes
    assert (first.name, first.path, first.parameters) == ("chess_id", "/chess/{id}", {"id": "integer"})
    assert (first.auth, first.token, first.text) == (True, True, "A game of chess.")
    assert [message.name for message in first.takes] == ["Say", "Typing"]
    assert [message.name for message in first.gives] == ["Said", "Moved"]
    assert [(call.name, call.text) for call in first.calls] == [("move", "Move a piece."), ("resign", "")]
    assert first.calls[1].arguments == {"type": "null"}
    assert first.source.startswith("chess.py:")
    assert (second.name, second.token, second.takes, second.gives, second.calls) == ("root", False, (), (), ())


def test_a_message_for_each_type_in_a_union_however_it_is_written() -> None:
    for type_ in (desk.Ask | desk.Busy, desk.Message, Alias, Command):
        app = Odac(secret="x" * 32)
        app.route.ws("/", lambda odac: None, message=type_, sends=desk.Message | chess.Say | list[int] | str)
        (route,) = read(app.websocket_routes).routes
        assert [message.name for message in route.takes] == ["Ask", "Busy"]
        assert [message.name for message in route.gives] == ["AskOutput", "Busy", "Say", "message6", "message7"]


def test_the_rules_of_rooms() -> None:
    app = Odac(secret="x" * 32)
    app.rooms("chat-*", history=History(size=20, ttl=60.0))
    app.rooms("chat-1", presence=Presence())
    rooms = read(app.websocket_routes, app.room_rules).rooms
    assert list(rooms) == ["chat-*", "chat-1"]
    assert rooms["chat-*"]["history"]["size"] == 20
    assert list(rooms["chat-1"]) == ["presence"]


def test_names_are_unique() -> None:
    app = Odac(secret="x" * 32)
    for path in ("/a/{b}", "/a-b", "/1", "/a_b/{c:path}"):
        app.route.ws(path, lambda odac: None)
    assert [route.name for route in read(app.websocket_routes).routes] == ["a_b", "a_b_2", "route_1", "a_b_c"]


def test_names_are_unique_as_classes_too() -> None:
    app = Odac(secret="x" * 32)
    for path in ("/chat/room", "/chatRoom", "/Chat-Room"):
        app.route.ws(path, lambda odac: None)
    assert [route.name for route in read(app.websocket_routes).routes] == ["chat_room", "chatRoom_2", "Chat_Room_3"]
