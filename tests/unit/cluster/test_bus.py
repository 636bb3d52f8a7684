"""One bus over a broker that does what the test says, at times that the test says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

import pytest

from odac.brokers.base import MAX_PAYLOAD
from odac.cluster.bus import BrokerBus
from odac.cluster.channels import Channels
from odac.cluster.envelope import (
    Beat,
    Bye,
    Close,
    CountAnswer,
    CountQuestion,
    Envelope,
    Item,
    RoomMessage,
    decode,
    encode,
)
from odac.protocol.message import Prepared
from odac.realtime.audience import EVERYONE, Audience, session_room, user_room
from odac.realtime.ports import Bus, Count
from tests.unit.brokers.fakes import Clock, FakeBroker, FakeHub, run, ticks

CHANNELS = Channels()
ROOM = CHANNELS.room("a")
OTHER = b"o" * 16
THIRD = b"t" * 16
INTERVAL = 3.0


class Setup:
    """A started bus whose broker is connected and whose first probe came back."""

    def __init__(self, members: int = 0) -> None:
        self.clock = Clock()
        self.broker = FakeBroker()
        self.hub = FakeHub(members)
        self.bus = BrokerBus(self.broker, self.hub, CHANNELS, interval=INTERVAL, clock=self.clock)
        self._sequence = 0

    async def start(self) -> Setup:
        starting = asyncio.create_task(self.bus.start())
        await ticks()
        self.broker.connect()
        self.broker.echo()
        await starting
        # The test calls tick() in place of the bus's own timer.
        assert self.bus._keeper is not None
        self.bus._keeper.cancel()
        return self

    def close(self, audience: Audience, code: int, reason: str) -> None:
        self.bus.close(audience, code, reason, self.clock.now)

    def order(self, audience: Audience, code: int, reason: str, number: int = 1) -> Close:
        return Close(audience, code, reason, number, self.clock.now, self.clock.now)

    def tick(self, elapsed: float = INTERVAL) -> None:
        self.clock.now += elapsed
        self.bus.tick(self.clock.now, elapsed)

    def arrive(self, channel: str, *items: Item, origin: bytes = OTHER, number: int = -1, shared: bool = False) -> None:
        if channel.startswith("odac.room."):
            self.bus.room_opened(unquote(channel.removeprefix("odac.room."), errors="surrogatepass"))
        self._sequence += 1
        self.bus.on_message(channel, encode(Envelope(2, origin, self._sequence, number, shared, list(items))))

    def healthy(self) -> bool:
        return self.bus.healthy

    def sent(self) -> list[tuple[str, Item]]:
        return [(channel, item) for channel, payload, _ in self.broker.published for item in decode(payload).items]


@contextmanager
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    found: list[str] = []
    caplog.clear()
    with caplog.at_level(logging.WARNING, "odac.broker"):
        yield found
    found += [record.getMessage() for record in caplog.records]


def message(text: str) -> RoomMessage:
    return RoomMessage(Audience(("a",)), 1, text.encode())


def test_it_is_what_the_hub_asks_for() -> None:
    async def main() -> None:
        bus: Bus = Setup().bus
        assert not bus.healthy

    run(main())


def test_it_listens_to_everyone_to_control_and_to_its_inbox_and_else_to_the_rooms_it_has() -> None:
    async def main() -> None:
        setup = await Setup().start()
        assert {CHANNELS.everyone, CHANNELS.control} < setup.broker.channels
        assert len(setup.broker.channels) == 3
        setup.bus.room_opened("a")
        assert ROOM in setup.broker.channels
        setup.bus.room_closed("a")
        setup.tick()
        assert ROOM in setup.broker.channels, "its members may come back"
        setup.tick()
        assert ROOM not in setup.broker.channels
        assert len(setup.broker.channels) == 3

    run(main())


def test_a_room_that_flaps_costs_the_broker_nothing() -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.broker.calls.clear()
        for _ in range(1000):
            setup.bus.room_opened("a")
            setup.bus.room_closed("a")
        setup.bus.room_opened("a")
        setup.tick()
        setup.broker.echo()
        assert setup.broker.calls == [f"subscribe {ROOM}"]
        setup.bus.room_closed("never opened")
        setup.tick()
        assert setup.broker.calls == [f"subscribe {ROOM}"]

    run(main())


def test_what_is_published_goes_out_at_the_end_of_the_tick_and_its_echo_is_ignored() -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.bus.room_opened("a")
        setup.bus.publish(Audience(("a",)), Prepared(1, b"hello"))
        assert setup.sent() == []
        setup.close(Audience(("a",)), 4001, "out")
        await ticks()
        [sent, (channel, order), (everyone, kept)] = setup.sent()
        assert isinstance(kept, Close)
        assert (everyone, kept.keep, kept.audience) == (CHANNELS.everyone, True, Audience(("a",)))
        assert sent == (ROOM, message("hello"))
        assert isinstance(order, Close)
        assert (channel, order.audience, order.code, order.reason) == (ROOM, Audience(("a",)), 4001, "out")
        setup.broker.echo()
        assert (setup.hub.delivered, setup.hub.closed) == ([], [])
        assert setup.bus.counters.as_dict() == {**dict.fromkeys(setup.bus.counters.as_dict(), 0), "published": 1}

    run(main())


def test_the_end_of_a_session_is_sent_to_processes_without_its_connections_too() -> None:
    async def main() -> None:
        setup = await Setup().start()
        audience = Audience((session_room("s"),))
        setup.close(audience, 4001, "Logged out")
        await ticks()
        [(channel, order)] = setup.sent()
        assert isinstance(order, Close)
        assert (channel, order.audience, order.reason) == (CHANNELS.everyone, audience, "Logged out")

    run(main())


def orders(setup: Setup) -> list[tuple[str, str]]:
    """What was ordered by a test so far, and where: reasons tell the orders apart."""
    found = [(channel, item.reason) for channel, item in setup.sent() if isinstance(item, Close) and not item.keep]
    setup.broker.published.clear()
    return found


def test_what_is_closed_while_the_broker_is_away_is_closed_when_it_is_back() -> None:
    async def main() -> None:
        setup = await Setup().start()
        session, user = Audience((session_room("s"),)), Audience((user_room("7"),))
        setup.clock.now += 60
        setup.bus.tick(setup.clock.now, INTERVAL)
        setup.broker.echo()
        setup.close(user, 4001, "silently lost")  # after the last proof: nobody knows whether it arrived
        await ticks()
        setup.clock.now += 2 * INTERVAL
        setup.broker.break_()
        setup.close(session, 4001, "away")
        await ticks()
        setup.broker.published.clear()  # a broker that is away takes nothing
        setup.clock.now += 60
        setup.broker.connect()
        await ticks()
        assert orders(setup) == [(CHANNELS.room(user_room("7")), "silently lost"), (CHANNELS.everyone, "away")]

    run(main())


def test_an_order_that_the_broker_did_not_take_is_given_again() -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.close(Audience((user_room("7"),)), 4001, "long ago")
        for _ in range(3):
            setup.tick()
            setup.broker.echo()
        setup.close(Audience((session_room("s"),)), 4001, "refused")
        await ticks()
        assert orders(setup) == [(CHANNELS.everyone, "refused")]
        setup.bus.on_dropped(1, "its queue is full")
        for expected in ([(CHANNELS.everyone, "refused")], []):
            setup.tick()
            await ticks()
            found = [
                (channel, item.reason) for channel, item in setup.sent() if isinstance(item, Close) and not item.keep
            ]
            assert found == expected
            setup.broker.echo()

    run(main())


def test_what_arrived_long_before_an_outage_is_not_closed_again() -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.close(Audience((user_room("7"),)), 4001, "before")
        await ticks()
        for _ in range(3):
            setup.tick()
            setup.broker.echo()
        setup.broker.break_()
        setup.broker.connect()
        await ticks()
        assert orders(setup) == []

    run(main())


def test_who_comes_back_is_told_what_was_closed_while_it_was_away_and_who_is_new_is_not() -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.close(Audience((session_room("s"),)), 4001, "meanwhile")
        await ticks()
        assert orders(setup) == [(CHANNELS.everyone, "meanwhile")]
        setup.clock.now += 20
        setup.arrive(CHANNELS.control, Beat(5, 0.0, greeting=True, away=25.0))
        setup.arrive(CHANNELS.control, Beat(6, 0.0, greeting=True, away=3.0), origin=THIRD)
        await ticks()
        assert orders(setup) == [(CHANNELS.inbox(OTHER), "meanwhile")]

    run(main())


def test_who_greets_says_for_how_long_it_may_have_heard_nothing() -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.broker.break_()
        setup.clock.now += 100
        setup.broker.published.clear()
        setup.broker.connect()
        greetings = [item for _, item in setup.sent() if isinstance(item, Beat)]
        assert [(beat.greeting, beat.away) for beat in greetings] == [(True, 100 + INTERVAL)]

    run(main())


def test_an_order_that_comes_again_closes_nobody_who_came_after_it() -> None:
    async def main() -> None:
        setup = await Setup().start()
        order = setup.order(Audience((user_room("7"),)), 4001, "once", 5)
        setup.arrive(CHANNELS.everyone, order)
        setup.arrive(CHANNELS.inbox(OTHER), order, order)
        assert setup.hub.closed == [(order.audience, 4001, "once")]

    run(main())


def test_a_message_to_two_rooms_is_delivered_once() -> None:
    async def main() -> None:
        setup = await Setup().start()
        item = RoomMessage(Audience(("a", "b")), 1, b"1")
        setup.bus.room_opened("a")
        setup.bus.room_opened("b")
        payload = encode(Envelope(2, OTHER, 5, 0, True, [item]))
        setup.bus.on_message(ROOM, payload)
        setup.bus.on_message(CHANNELS.room("b"), payload)
        assert len(setup.hub.delivered) == 1

    run(main())


def test_garbage_is_dropped_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        setup = await Setup().start()
        with warnings(caplog) as logged:
            for payload in (b"", b"garbage", b"x" * 10_000_000):
                setup.bus.on_message(CHANNELS.everyone, payload)
        assert setup.bus.counters.garbage == 3
        assert len(logged) == 1
        assert "namespace" in logged[0]
        assert setup.healthy()

    run(main())


def test_what_is_lost_is_counted_and_logged_once_per_episode(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        setup = await Setup().start()
        with warnings(caplog) as logged:
            setup.arrive(ROOM, message("0"), number=0)
            setup.arrive(ROOM, message("5"), number=5)
            setup.arrive(ROOM, message("9"), number=9)
            setup.tick()
            setup.broker.echo()
            setup.tick()
        assert setup.bus.counters.lost == 7
        assert len(logged) == 2
        assert "7" in logged[1]

    run(main())


def test_what_a_long_outage_cost_is_counted_when_it_is_over() -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.arrive(ROOM, message("0"), number=0)
        setup.broker.break_()
        for _ in range(1000):
            setup.tick()
        assert setup.bus.processes == 1
        setup.broker.connect()
        setup.broker.echo()
        setup.arrive(ROOM, message("100"), number=100)
        assert setup.bus.counters.lost == 99

    run(main())


def test_who_has_been_silent_for_long_is_forgotten() -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.arrive(ROOM, message("0"), number=0)
        for _ in range(420):
            setup.tick()
            setup.broker.echo()
        setup.arrive(ROOM, message("100"), number=100)
        assert setup.bus.counters.lost == 0

    run(main())


def test_too_large_a_message_is_dropped_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        setup = await Setup().start()
        with warnings(caplog) as logged:
            for _ in range(3):
                setup.bus.publish(EVERYONE, Prepared(2, bytes(MAX_PAYLOAD)))
        assert setup.bus.counters.dropped == 3
        assert len(logged) == 1

    run(main())


def test_it_is_healthy_when_a_probe_has_come_back_and_not_before() -> None:
    async def main() -> None:
        setup = Setup()
        starting = asyncio.create_task(setup.bus.start())
        await ticks()
        assert not setup.healthy()
        setup.broker.connect()
        assert not setup.healthy()
        setup.broker.echo()
        assert setup.healthy()
        await starting

    run(main())


def test_starting_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        setup = Setup()
        with warnings(caplog) as logged:
            await setup.bus.start(wait=0.01)
        assert "does not answer yet" in logged[0]
        await setup.bus.stop()

    run(main())


def test_a_lost_broker_is_logged_once_and_its_return_too(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        setup = await Setup().start()
        with warnings(caplog) as logged:
            setup.broker.break_("refused")
            assert not setup.healthy()
            for _ in range(5):
                setup.tick()
                setup.bus.on_down("refused again")
                setup.bus.on_dropped(2, "not connected")
            setup.broker.connect()
            assert not setup.healthy()
            setup.broker.echo()
        assert setup.healthy()
        assert (setup.bus.counters.outages, setup.bus.counters.dropped) == (1, 10)
        assert len(logged) == 2
        assert "refused" in logged[0]
        assert "15.0 s" in logged[1]
        assert "10 messages" in logged[1]

    run(main())


def test_messages_that_are_dropped_while_connected_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        setup = await Setup().start()
        with warnings(caplog) as logged:
            for _ in range(100):
                setup.bus.on_dropped(1, "queue full")
            setup.tick()
            setup.broker.echo()
            setup.tick()
        assert setup.bus.counters.dropped == 100
        assert ["queue full" in logged[0], "100" in logged[1], len(logged)] == [True, True, 2]

    run(main())


def test_a_subscription_that_died_silently_is_found_by_the_probe(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.tick()
        setup.broker.echo()
        assert setup.healthy()
        setup.tick()  # this one does not come back
        assert setup.healthy()
        with warnings(caplog) as logged:
            setup.tick()
        assert not setup.healthy()
        assert setup.broker.calls[-1] == "reconnect"
        assert CHANNELS.control in logged[0]

    run(main())


@pytest.mark.parametrize("dead", [CHANNELS.control, CHANNELS.everyone])
def test_one_channel_of_all_processes_that_died_silently_is_found(dead: str) -> None:
    async def main() -> None:
        setup = await Setup().start()
        for _ in range(4):
            setup.tick()
            setup.broker.echo()
        assert setup.healthy()
        setup.broker.channels.discard(dead)
        intervals = 0
        while setup.healthy():
            setup.tick()
            intervals += 1
            if setup.healthy():
                setup.broker.echo()
        assert intervals <= 3
        assert setup.broker.calls[-1] == "reconnect"

    run(main())


def test_a_process_without_members_sends_one_probe_an_interval() -> None:
    async def main() -> None:
        setup = await Setup().start()
        for _ in range(4):
            setup.tick()
            assert [type(item) for _, item in setup.sent()] == [Beat]
            assert len(setup.broker.published[0][1]) < 60
            setup.broker.echo()

    run(main())


def test_each_room_is_probed_in_turn() -> None:
    async def main() -> None:
        setup = await Setup().start()
        for room in ("a", "b"):
            setup.bus.room_opened(room)
        probed = []
        for _ in range(5):
            setup.tick()
            common = {CHANNELS.control, CHANNELS.everyone}
            probed += [channel for channel, _ in setup.sent() if channel not in common]
            setup.broker.echo()
        # Not in their first interval: a probe could overtake the subscription.
        assert probed == [CHANNELS.room(room) for room in ("a", "b", "a", "b")]

    run(main())


def test_a_room_whose_subscription_alone_died_is_found() -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.bus.room_opened("a")
        setup.tick()
        setup.broker.echo()
        setup.broker.channels.discard(ROOM)  # the server forgot it
        setup.tick()
        setup.broker.echo()
        setup.tick()
        assert setup.broker.calls[-1] == "reconnect"

    run(main())


def test_a_room_that_was_left_is_not_waited_for() -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.bus.room_opened("a")
        for _ in range(2):
            setup.tick()
            setup.broker.echo()
        setup.bus.room_closed("a")
        for _ in range(3):
            setup.tick()
            setup.broker.echo()
        assert setup.healthy()
        assert "reconnect" not in setup.broker.calls

    run(main())


def test_a_probe_that_went_out_just_before_the_tick_has_its_time() -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.broker.break_()
        setup.clock.now += INTERVAL - 0.1
        setup.broker.connect()
        setup.tick(0.1)
        assert "reconnect" not in setup.broker.calls

    run(main())


def test_a_process_that_stood_still_blames_nobody() -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.arrive(CHANNELS.control, Beat(1, 0.0))
        setup.tick()
        setup.tick(60)
        assert "reconnect" not in setup.broker.calls
        assert setup.bus.processes == 2
        setup.broker.echo()
        assert setup.healthy()

    run(main())


def test_counting_asks_every_process_and_ends_with_the_last_answer() -> None:
    async def main() -> None:
        setup = await Setup(members=2).start()
        for origin in (OTHER, THIRD):
            setup.arrive(CHANNELS.control, Beat(1, 0.0), origin=origin)
        counting = asyncio.create_task(setup.bus.count_others(Audience(("a",)), 10))
        await ticks()
        ((channel, ask),) = setup.sent()
        assert isinstance(ask, CountQuestion)
        assert (channel, ask.audience) == (CHANNELS.control, Audience(("a",)))
        setup.arrive("inbox", CountAnswer(ask.question, 5))
        setup.arrive("inbox", CountAnswer(ask.question + 1, 100))
        await ticks()
        assert not counting.done()
        setup.arrive("inbox", CountAnswer(ask.question, 7), origin=THIRD)
        assert await counting == Count(12, 2, 2)

    run(main())


def test_counting_does_not_wait_for_a_process_that_does_not_answer() -> None:
    async def main() -> None:
        setup = await Setup(members=2).start()
        setup.arrive(CHANNELS.control, Beat(1, 0.0))
        assert await setup.bus.count_others(EVERYONE, 0.01) == Count(0, 0, 1)

    run(main())


def test_counting_without_a_broker_is_this_process_and_says_so() -> None:
    async def main() -> None:
        setup = await Setup(members=2).start()
        setup.arrive(CHANNELS.control, Beat(1, 0.0))
        setup.broker.break_()
        assert await setup.bus.count_others(EVERYONE, 10) == Count(0, 0, 1)

    run(main())


def test_two_buses_are_never_taken_for_one_another() -> None:
    async def main() -> None:
        one, other = await Setup().start(), await Setup().start()
        other.bus.room_opened("a")
        one.bus.publish(Audience(("a",)), Prepared(1, b"x"))
        await ticks()
        for channel, payload, _ in one.broker.published:
            other.bus.on_message(channel, payload)
        assert len(other.hub.delivered) == 1

    run(main())


def test_it_says_goodbye() -> None:
    async def main() -> None:
        setup = await Setup().start()
        setup.bus.publish(Audience(("a",)), Prepared(1, b"last words"))
        await setup.bus.stop()
        assert setup.sent() == [(ROOM, message("last words")), (CHANNELS.control, Bye())]
        assert setup.broker.calls[-1] == "stop"

    run(main())
