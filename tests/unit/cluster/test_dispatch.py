"""What a bus does with the items that other processes send."""

from __future__ import annotations

import pytest

from odac.cluster.envelope import Beat, Bye, CountAnswer, CountQuestion, RoomMessage
from odac.history.store import Entry, Message, encode_entries, encode_message
from odac.realtime.audience import EVERYONE, Audience
from tests.unit.brokers.fakes import run
from tests.unit.cluster.test_bus import CHANNELS, OTHER, ROOM, THIRD, Setup, message, warnings


def test_what_others_publish_is_delivered_in_order_and_as_it_was_prepared() -> None:
    async def main() -> None:
        setup = await Setup().start()
        excluded = Audience(("a",), ("b",), frozenset({"id"}))
        setup.arrive(ROOM, message("1"), RoomMessage(excluded, 2, b"\xff"), setup.order(EVERYONE, 1001, ""), number=0)
        assert setup.hub.delivered == [(Audience(("a",)), 1, b"1"), (excluded, 2, b"\xff")]
        assert setup.hub.closed == [(EVERYONE, 1001, "")]
        assert setup.bus.counters.received == 2

    run(main())


def test_one_message_that_cannot_be_delivered_does_not_stop_the_next(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.hub.fails = True
        with warnings(caplog) as logged:
            setup.arrive(ROOM, message("1"), setup.order(EVERYONE, 1001, ""), number=0)
        assert setup.hub.closed == [(EVERYONE, 1001, "")]
        assert len(logged) == 1

    run(main())


def test_processes_are_known_by_their_beats() -> None:
    async def main() -> None:
        setup = await Setup().start()
        assert setup.bus.processes == 1
        setup.arrive(CHANNELS.control, Beat(1, 0.0))
        setup.arrive(CHANNELS.control, Beat(1, 0.0), origin=THIRD)
        assert setup.bus.processes == 3
        setup.arrive(CHANNELS.control, Bye(), origin=THIRD)
        assert setup.bus.processes == 2
        for _ in range(4):
            setup.tick()
            setup.broker.echo()
        assert setup.bus.processes == 1

    run(main())


def test_a_greeting_is_answered_in_the_inbox_of_its_sender() -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.arrive(CHANNELS.control, Beat(5, 0.0, greeting=True))
        assert setup.sent() == [(CHANNELS.inbox(OTHER), Beat(5, setup.clock.now))]

    run(main())


def test_a_question_is_answered() -> None:
    async def main() -> None:
        setup = await Setup(members=4).start()
        setup.arrive(CHANNELS.control, CountQuestion(9, EVERYONE))
        assert setup.sent() == [(CHANNELS.inbox(OTHER), CountAnswer(9, 4))]

    run(main())


def test_an_entry_of_another_version_does_not_stop_the_entries_behind_it() -> None:
    """Over a room's channel, where this process keeps no place in its history."""

    async def main() -> None:
        setup = await Setup().start()
        bodies = [encode_message(Message((), 1, b"1")), b"of another version", encode_message(Message(("x",), 1, b"3"))]
        entries = [Entry(number, 0, body) for number, body in enumerate(bodies, 1)]
        setup.bus.on_message(ROOM, encode_entries(b"e" * 16, entries))
        assert setup.hub.delivered == [
            (Audience(("a",)), 1, b"1"),
            (Audience(("a",), excluded=frozenset({"x"})), 1, b"3"),
        ]
        assert setup.bus.counters.garbage == 1

    run(main())
