from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from odac.config import Limits
from odac.protocol.codec import encode
from odac.realtime.audience import EVERYONE, Audience
from odac.realtime.connection import Connection
from odac.realtime.hub import Hub
from tests.unit.realtime.realtime_fakes import FakeBus, ManualLoop, Room, close_code, lane_of


def test_a_bus_is_notified_of_the_first_and_the_last_member_of_a_room() -> None:
    room = Room()
    bus = FakeBus()
    room.hub.connect_bus(bus)
    one, two = room.connect(), room.connect()
    one.join("r")
    two.join("r")
    one.join("s")
    one.leave("r")
    assert bus.told == [("opened", "r"), ("opened", "s")]
    two.close()
    one.close()
    assert bus.told[2:] == [("closed", "r"), ("closed", "s")]
    assert list(room.hub.open_rooms) == []


def test_a_send_is_delivered_here_and_handed_to_the_bus_in_the_same_tick() -> None:
    room = Room()
    bus = FakeBus()
    room.hub.connect_bus(bus)
    one = room.connect()
    one.join("r")
    bus.told.clear()
    with room.kernel.in_place():
        room.to("r").within("s").excluding("x", one).send("hi")
        room.hub.send(EVERYONE, encode("all"))
        assert bus.told == [
            ("publish", Audience(("r",), ("s",), frozenset({"x", one.id})), b"hi"),
            ("publish", EVERYONE, b"all"),
        ]
        room.loop.run()
    assert lane_of(one).frames == [(1, b"all")]


def test_deliver_reaches_this_process_only() -> None:
    room = Room()
    bus = FakeBus()
    room.hub.connect_bus(bus)
    one = room.connect()
    with room.kernel.in_place():
        room.hub.deliver(EVERYONE, encode("from elsewhere"))
        room.loop.run()
    assert bus.told == []
    assert lane_of(one).frames == [(1, b"from elsewhere")]


def test_from_another_thread_sends_and_closes_are_handed_to_the_loop() -> None:
    room = Room()
    one = room.connect()
    with room.kernel.in_place():
        calls: list[Callable[[], object]] = [
            partial(room.hub.send, EVERYONE, encode("x")),
            partial(room.hub.orders.close, EVERYONE, 4000, ""),
        ]
        for call in calls:
            thread = threading.Thread(target=call)
            thread.start()
            thread.join()
        assert lane_of(one).frames == []
        room.loop.run()
    assert [opcode for opcode, _ in lane_of(one).frames] == [1, 8]


def test_before_the_start_the_error_says_why() -> None:
    hub = Hub(Limits())
    with pytest.raises(RuntimeError, match=r"a server has to start it.*odac\.Publisher"):
        hub.send(EVERYONE, encode("x"))
    assert hub.orders.count_local(EVERYONE) == 0


def test_on_another_loop_it_starts_afresh() -> None:
    room = Room()
    room.connect().join("r")
    first = room.hub.delivery
    room.hub.start(cast(Any, room.loop))
    assert room.hub.delivery is first
    room.hub.start(cast(Any, ManualLoop()))
    assert room.hub.delivery is not first
    assert not room.hub.connections
    assert list(room.hub.open_rooms) == []


def test_who_is_lost_while_it_enters_leaves_nothing_behind() -> None:
    room = Room()
    one = room.connect(admitted=False)
    lane_of(one).lose()
    room.hub.enter(one, "r")
    one.join("s")
    two = room.connect(admitted=False)
    two.join("r")
    lane_of(two).lose()
    assert list(room.hub.open_rooms) == []
    assert room.hub.population == 0
    assert room.hub._entering == {}


def test_drain_is_sent_over_odac_v1_and_closes_all() -> None:
    room = Room()
    plain, v1 = room.connect(), room.connect(speaks_odac=True)
    with room.kernel.in_place():
        for each in (plain, v1):
            each.drain()
    assert [close_code(each) for each in lane_of(plain).frames] == [1001]
    first, last = lane_of(v1).frames
    assert first[1].startswith(b'\x1e["drain",')
    assert close_code(last) == 1001


def test_drain_sends_the_next_token_to_clients_that_used_one() -> None:
    room = Room(issue_token="token of {}".format)
    came_with_one, plain, without = room.connect(speaks_odac=True), room.connect(), room.connect(speaks_odac=True)
    came_with_one.session_id = plain.session_id = "ada"
    with room.kernel.in_place():
        for each in (came_with_one, plain, without):
            each.drain()
    frames = [payload for _, payload in lane_of(came_with_one).frames]
    assert frames[0] == b'\x1e["token","token of ada"]'
    assert frames[1].startswith(b'\x1e["drain",')
    assert not any(b"token" in payload for each in (plain, without) for _, payload in lane_of(each).frames)


def test_a_control_message_goes_to_the_handler_of_its_kind() -> None:
    room = Room()
    got: list[tuple[Connection, list[Any]]] = []
    room.hub.control_handlers["call"] = lambda connection, values: got.append((connection, values))
    one, plain = room.connect(speaks_odac=True), room.connect()
    with room.kernel.in_place():
        one.inbox.receive_text(b'\x1e["call",7,{"a":1}]')
        one.inbox.receive_text(b'\x1e["unknown",7]')
        plain.inbox.receive_text(b'\x1e["call",8]')  # a message of the application: this peer does not speak odac.v1
        assert got == [(one, [7, {"a": 1}])]
        one.close()
        one.inbox.receive_text(b'\x1e["call",9]')
    assert len(got) == 1


class Log:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def admitted(self, connection: Connection) -> None:
        self.told.append(("admitted", connection.id, connection.is_open))

    def ended(self, connection: Connection, code: int, reason: str) -> None:
        self.told.append(("ended", connection.id, code, reason, list(connection.memberships)))


def test_observers_are_notified_of_each_admission_and_each_end() -> None:
    room = Room()
    log = Log()
    room.hub.observers.append(log)
    room.hub.arrivals.append(log.admitted)
    refused = room.connect(admitted=False)
    one = room.connect()
    assert log.told == [("admitted", one.id, True)]
    one.join("r")
    one.on("close", lambda code, reason: log.told.append(("close listener", code)))
    with room.kernel.in_place():
        refused.close()
        lane_of(refused).lose()
        one.close(4000, "bye")
        assert len(log.told) == 1
        lane_of(one).lose()
    assert log.told[1:] == [("ended", one.id, 4000, "bye", ["r"]), ("close listener", 4000)]
