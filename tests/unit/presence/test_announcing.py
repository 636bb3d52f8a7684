from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from odac.presence.announcing import Announcer
from odac.presence.roster import News


class Member:
    speaks_odac = True

    def __init__(self) -> None:
        self.id = "c"
        self.got: list[Any] = []

    def put(self, message: Any) -> None:
        self.got.append(message)


def sign(message: bytes) -> bytes:
    return hashlib.sha256(b"secret" + message).digest()


def decoded(member: Member) -> list[Any]:
    return [msgspec.json.decode(message.payload[1:]) for message in member.got]


def test_news_are_prepared_once_for_all() -> None:
    announce, members = Announcer(sign), [Member(), Member()]
    announce("room", News([("u:1", b'{"name":"Ada"}')], [], 1, True), list(members))
    assert members[0].got[0] is members[1].got[0]
    ((kind, number, ((key, data),), total, room),) = decoded(members[0])
    assert (kind, number, data, total, room) == ("here", 1, {"name": "Ada"}, 1, "room")
    announce("room", News([], ["u:1"], 0, False), list(members))
    assert decoded(members[0])[1] == ["diff", 1, [], [key], 0]


def test_a_number_is_not_given_twice() -> None:
    announce, member = Announcer(sign), Member()
    nobody = News([], [], 0, True)
    announce("a", nobody, [member])
    announce("b", nobody, [member])
    announce.forget("a")
    announce.forget("never told")
    announce("a", nobody, [member])
    assert [(each[1], each[4]) for each in decoded(member)] == [(1, "a"), (2, "b"), (3, "a")]


def test_two_rooms_and_persons_never_have_one_key_by_their_names() -> None:
    announce, member = Announcer(sign), Member()
    for room, person in (("a", "u:1"), ("au", ":1"), ("au:", "1")):
        announce(room, News([(person, b"1")], [], 1, True), [member])
    assert len({each[2][0][0] for each in decoded(member)}) == 3
