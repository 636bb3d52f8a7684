"""One room by itself; what several processes make of it is in test_service.py."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from typing import cast

from odac.presence.absences import Budget
from odac.presence.messages import Ask, Delta, Entry, Page, decode
from odac.presence.ports import Viewer
from odac.presence.questions import ShareQuestions
from odac.presence.room import GATHER, GATHER_TOTALS, OPENING, Around, RoomPresence
from odac.presence.roster import News
from odac.presence.rules import Presence
from odac.presence.shares import Numbering
from odac.realtime.ports import Subsystem
from tests.unit.presence.network import VirtualLoop

OTHER = b"other"


class Line:
    healthy = True

    def __init__(self, origins: frozenset[bytes]) -> None:
        self.origins = origins
        self.sent: list[tuple[str | bytes, object]] = []

    def add(self, name: str, part: Subsystem) -> None:
        raise AssertionError

    def send_to_room(self, room: str, part: str, body: bytes) -> None:
        self.sent.append((room, decode(body)))

    def send_to_all(self, part: str, body: bytes) -> None:
        self.sent.append(("all", decode(body)))

    def send_to(self, origin: bytes, part: str, body: bytes) -> None:
        self.sent.append((origin, decode(body)))


class Watcher:
    speaks_odac = True

    def __init__(self, name: str) -> None:
        self.id = name


class Room:
    def __init__(self, limit: int = 100, grace: float = 10.0, origins: frozenset[bytes] = frozenset()) -> None:
        self.loop = VirtualLoop()
        self.line = Line(origins)
        self.told: list[tuple[News, list[str]]] = []
        self.forgotten = 0
        loop = cast("AbstractEventLoop", self.loop)
        around = Around(
            loop, self.line, self._announce, Numbering(), ShareQuestions(), Budget(), lambda: 0.5, self._forget
        )
        self.room = RoomPresence("r", Presence(grace, limit), around)

    def _announce(self, room: str, news: News, viewers: list[Viewer]) -> None:
        self.told.append((news, [viewer.id for viewer in viewers]))

    def _forget(self, name: str) -> None:
        self.forgotten += not self.room.is_needed

    def join(self, name: str, data: bytes = b"1") -> None:
        self.room.add_viewer(Watcher(name))
        self.room.set(name, Entry(f"u:{name}", data, 0.0, 1))


def test_a_newcomer_gets_the_list_and_the_others_the_change() -> None:
    field = Room()
    field.join("ada")
    field.loop.run(1)
    field.join("bob")
    field.loop.run(1)
    assert field.told == [
        (News([("u:ada", b"1")], [], 1, True), ["ada"]),
        (News([("u:bob", b"1")], [], 2, False), ["ada"]),
        (News([("u:ada", b"1"), ("u:bob", b"1")], [], 2, True), ["bob"]),
    ]


def test_changes_are_gathered_and_totals_for_longer() -> None:
    for limit, wait in ((100, GATHER), (1, GATHER_TOTALS)):
        field = Room(limit)
        field.join("ada")
        field.join("bob")
        field.loop.run(0)
        count = len(field.told)
        field.join("eve")
        field.loop.run(wait - 0.01)
        assert len(field.told) == count
        field.loop.run(0.02)
        assert len(field.told) == count + 2


def test_the_first_member_waits_for_the_other_processes_answer() -> None:
    field = Room(origins=frozenset({OTHER}))
    field.join("ada")
    field.loop.run(0.2)
    assert [each for each in field.line.sent if isinstance(each[1], Ask)] == [field.line.sent[0]]
    assert field.line.sent[0][0] == "all"
    assert field.told == []
    field.room.take(OTHER, Page("r", 1, 3, 0, 1, {"c": Entry("u:bob", b"2", 0.0, 1)}))
    field.loop.run(GATHER)
    assert field.told == [(News([("u:ada", b"1"), ("u:bob", b"2")], [], 2, True), ["ada"])]


def test_the_first_member_waits_no_longer_than_that() -> None:
    field = Room(origins=frozenset({OTHER}))
    field.join("ada")
    field.loop.run(OPENING - 0.01)
    assert field.told == []
    field.loop.run(0.2)
    assert [viewers for _, viewers in field.told] == [["ada"]]


def test_a_room_is_forgotten_when_nobody_is_expected_back_and_the_version_was_repeated() -> None:
    field = Room(grace=3.0)
    field.join("ada")
    field.loop.run(1)
    field.room.ended("ada", final=False)
    field.loop.run(2.9)
    assert field.room.share.entries["ada"].away
    field.loop.run(4)
    assert (field.room.share.entries, field.forgotten) == ({}, 0)
    field.loop.run(2)
    assert field.forgotten == 1
    deltas = [each for _, each in field.line.sent if isinstance(each, Delta)]
    assert deltas[-1].base == deltas[-1].version


def test_who_leaves_is_told_that_nobody_is_to_be_seen() -> None:
    field = Room()
    field.join("ada")
    field.loop.run(1)
    field.room.left("ada")
    assert field.told[-1] == (News([], [], 0, True), ["ada"])
    field.loop.run(1)
    assert len(field.told) == 2


def test_a_process_is_asked_once_however_often_it_is_behind() -> None:
    field = Room(origins=frozenset({OTHER}))
    field.join("ada")
    field.room.take(OTHER, Page("r", 1, 3))
    for version in (5, 6, 7):
        field.room.compare(OTHER, version)
    field.room.compare(OTHER, 3)
    field.loop.run(1)
    assert [each for to, each in field.line.sent if to == OTHER and isinstance(each, Ask) and each.known == 3]
    assert sum(to == OTHER for to, _ in field.line.sent) == 1
