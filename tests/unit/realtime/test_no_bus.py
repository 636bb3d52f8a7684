from __future__ import annotations

from odac.protocol.codec import encode
from odac.realtime.audience import EVERYONE
from odac.realtime.no_bus import NoBus
from odac.realtime.ports import Count
from tests.unit.realtime.realtime_fakes import Room, lane_of, run


def test_a_hub_without_other_processes_counts_and_sends_to_itself_alone() -> None:
    room = Room()
    one = room.connect()
    assert isinstance(room.hub.bus, NoBus)
    assert room.hub.bus.healthy
    with room.kernel.in_place():
        one.join("r")
        room.hub.send(EVERYONE, encode("hi"))
        room.loop.run()
        assert lane_of(one).frames == [(1, b"hi")]
        one.leave("r")
        room.hub.orders.close(EVERYONE, 4000, "")
    assert not one.is_open


def test_no_other_process_is_counted() -> None:
    assert run(NoBus().count_others(EVERYONE, 1.0)) == Count(0, 0, 0)
