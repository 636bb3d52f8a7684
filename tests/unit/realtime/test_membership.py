from __future__ import annotations

import pytest

from odac.config import Limits
from odac.protocol.message import Prepared
from odac.realtime.audience import Audience, session_room, user_room
from odac.realtime.membership import join_inbox
from odac.realtime.receipts import JOINED
from odac.realtime.targets import Target
from tests.unit.realtime.realtime_fakes import Room, lane_of


def test_private_rooms_are_out_of_sight_and_do_not_count() -> None:
    room = Room(Limits(rooms_per_connection=2))
    connection = room.connect()
    room.hub.enter(connection, user_room("7"))
    room.hub.enter(connection, session_room("s"))
    connection.join("a")
    connection.join("b")
    connection.join("a")
    assert connection.rooms == ["a", "b"]
    with pytest.raises(ValueError, match="rooms_per_connection"):
        connection.join("c")
    connection.leave("a")
    connection.join("c")
    assert connection.rooms == ["b", "c"]


def test_joining_twice_and_leaving_twice_is_no_error() -> None:
    room = Room()
    connection = room.connect()
    assert connection.join("r") is connection.join("r") is JOINED
    assert room.hub.members_of("r") == (connection,)
    connection.leave("r")
    connection.leave("r")
    assert not room.hub.is_open("r")


def test_without_history_and_presence_their_arguments_are_refused_and_nothing_is_joined() -> None:
    connection = Room().connect()
    with pytest.raises(ValueError, match="'r' has no history"):
        connection.join("r", replay=1)
    with pytest.raises(ValueError, match="no room has presence"):
        connection.join("r", presence={"name": "Ada"})
    assert connection.rooms == []


def test_a_closing_connection_joins_nothing() -> None:
    room = Room()
    connection = room.connect()
    connection.join("before")
    connection.close()
    connection.join("after")
    assert not room.hub.is_open("before")
    assert not room.hub.is_open("after")


def test_a_known_user_is_reached_in_a_room_of_its_own() -> None:
    room = Room()
    connection = room.connect()
    join_inbox(connection, room.hub, "7")
    with room.kernel.in_place():
        Target(room.hub, Audience.of_user("7")).send("to you")
        room.loop.run()
    assert [payload for _, payload in lane_of(connection).frames] == [b"to you"]
    assert connection.rooms == []


@pytest.mark.parametrize("verb", ["join", "leave"])
def test_what_a_lane_causes_while_messages_are_written_takes_effect_behind_them(verb: str) -> None:
    """A lane that fails within a delivery may run code of the application, whose joining must not change the set of
    members that the delivery walks through.
    """
    room = Room()
    first, second = room.connect(bare=False), room.connect(bare=False)
    first.join("r")
    if verb == "leave":
        second.join("r")
    during: list[list[str]] = []
    written = lane_of(first).write

    def write(messages: list[Prepared]) -> None:
        getattr(second, verb)("r")
        during.append(second.rooms)
        written(messages)

    lane_of(first).write = write  # type: ignore[method-assign]
    with room.kernel.in_place():
        first.to("r").send("news")
        room.loop.run()
    assert during == [[] if verb == "join" else ["r"]]
    assert second.rooms == (["r"] if verb == "join" else [])
    assert [payload for _, payload in lane_of(second).frames] == ([] if verb == "join" else [b"news"])
