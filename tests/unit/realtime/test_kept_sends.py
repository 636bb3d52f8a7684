from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from odac.protocol.codec import encode
from odac.protocol.message import Prepared
from odac.realtime.audience import Audience
from odac.realtime.sent import SENT
from tests.unit.realtime.realtime_fakes import FakeBus, Room, lane_of

KEPT = Audience(("kept",))


class FakeHistory:
    """Keeps the room "kept", and confirms when the test says so."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.unconfirmed = False
        self.later: list[Callable[[], object]] = []

    def keeps(self, room: str) -> bool:
        return room == "kept"

    def concerns(self, audience: Audience) -> bool:
        return "kept" in audience.rooms + audience.within

    def check(self, audience: Audience) -> None:
        if len(audience.rooms) != 1 or audience.within:
            raise ValueError("more than one room")

    def receipt(self) -> str:
        return "receipt"

    def send(self, room: str, excluded: frozenset[str], message: Prepared, receipt: str = "own") -> str:
        self.sent.append((room, excluded, message.payload, receipt))
        return receipt

    def behind(self, rooms: tuple[str, ...], call: Callable[[], object]) -> bool:
        if self.unconfirmed:
            self.later.append(call)
        return self.unconfirmed


class Site:
    def __init__(self) -> None:
        self.room = Room()
        self.bus = FakeBus()
        self.history = FakeHistory()
        self.member = self.room.connect()
        self.member.join("kept")
        self.room.hub.connect_bus(self.bus)
        self.room.hub.history = cast(Any, self.history)

    def flush(self) -> list[bytes]:
        with self.room.kernel.in_place():
            self.room.loop.run()
        return [payload for _, payload in lane_of(self.member).frames]


def test_what_is_kept_goes_to_the_history_alone() -> None:
    site = Site()
    audience = KEPT.without("x")
    assert cast(str, site.room.hub.send(audience, encode("a"))) == "own"
    assert site.history.sent == [("kept", frozenset({"x"}), b"a", "own")]
    assert site.flush() == []
    assert site.bus.told == []


def test_what_is_not_kept_is_delivered_and_marked_for_the_other_processes() -> None:
    site = Site()
    assert site.room.hub.send(KEPT, encode("a"), keep=False) is SENT
    assert site.history.sent == []
    assert site.flush() == [b"a"]
    assert site.bus.told == [("publish", KEPT, b"a")]
    assert site.bus.unkept == [True]


def test_what_is_not_kept_stays_behind_what_the_history_has_not_confirmed() -> None:
    site = Site()
    site.history.unconfirmed = True
    site.room.hub.send(KEPT, encode("a"), keep=False)
    assert site.flush() == []
    site.history.unconfirmed = False
    for call in site.history.later:
        call()
    assert site.flush() == [b"a"]


def test_what_is_kept_for_more_than_one_room_is_refused_and_goes_nowhere() -> None:
    site = Site()
    with pytest.raises(ValueError, match="more than one room"):
        site.room.hub.send(Audience(("kept", "other")), encode("a"))
    assert (site.history.sent, site.bus.told, site.flush()) == ([], [], [])


@pytest.mark.parametrize("keep", [True, False])
def test_from_another_thread_the_loop_sends(keep: bool) -> None:
    site = Site()
    thread = threading.Thread(target=partial(site.room.hub.send, KEPT, encode("a"), keep))
    thread.start()
    thread.join()
    assert (site.history.sent, site.bus.told) == ([], [])
    assert site.flush() == ([] if keep else [b"a"])
    assert site.history.sent == ([("kept", frozenset(), b"a", "receipt")] if keep else [])
