"""What is missing at the end of a run of messages."""

from __future__ import annotations

from odac.cluster import tails as module
from odac.cluster.envelope import Bye, Envelope
from odac.cluster.listening import Listening
from odac.cluster.sequence import Numbers, Sequence
from odac.cluster.tails import AT_ONCE, PendingTails, tails_of
from tests.unit.brokers.fakes import Clock, FakeBroker

A = b"a" * 16


class Setup:
    def __init__(self) -> None:
        self.clock = Clock()
        self.sequence = Sequence()
        self.listening = Listening(FakeBroker(), self.clock)
        self.tails = PendingTails(self.sequence, self.listening, ("always",), 3.0)

    def arrive(self, channel: str, sequence: int, number: int, items: int = 1) -> None:
        self.sequence.accept(channel, Envelope(2, A, sequence, number, False, [Bye()] * items))

    def tick(self) -> None:
        self.clock.now += 3
        self.tails.tick()


def test_what_has_not_arrived_a_whole_interval_later_is_lost_and_counted_once() -> None:
    setup = Setup()
    setup.listening.opened("c")
    setup.arrive("c", 1, 0, 2)
    setup.tails.note(A, "c", 10, 0.0)
    setup.tick()
    assert setup.sequence.lost == 0
    setup.arrive("c", 2, 2, 3)  # this was under way
    setup.tick()
    assert setup.sequence.lost == 5
    setup.tails.note(A, "c", 10, 0.0)
    setup.tick()
    setup.tick()
    setup.arrive("c", 9, 10)
    assert setup.sequence.lost == 5


def test_of_a_publisher_that_nothing_arrived_from_it_counts_what_came_after_the_subscription() -> None:
    for first, lost in ((-10.0, 0), (1.0, 0), (10.0, 100)):
        setup = Setup()
        setup.listening.opened("c")
        setup.tails.note(A, "c", 100, setup.clock.now + first)
        setup.tick()
        setup.tick()
        assert setup.sequence.lost == lost, first


def test_channels_without_a_subscriber_here_are_ignored() -> None:
    setup = Setup()
    setup.listening.opened("left")
    setup.tails.note(A, "left", 100, setup.clock.now + 10)
    setup.tails.note(A, "other", 100, setup.clock.now + 10)
    setup.listening.closed("left")
    setup.listening.unsubscribe_empty()
    setup.listening.unsubscribe_empty()
    setup.tick()
    setup.tick()
    assert setup.sequence.lost == 0
    setup.tails.note(A, "always", 7, -1e9)
    setup.tick()
    setup.tick()
    assert setup.sequence.lost == 7


def test_the_tails_of_a_time_come_in_items_of_some_size_and_the_latest_first() -> None:
    numbers = Numbers()
    for number in range(AT_ONCE + 3):
        numbers.take(f"c{number}", 2, float(number))
    first, second = tails_of(numbers, 1.0, AT_ONCE + 2.0, 99.0)
    assert (first.sent, len(first.tails), len(second.tails)) == (99.0, AT_ONCE, 1)
    assert first.tails[0] == (f"c{AT_ONCE + 1}", 2, AT_ONCE + 1.0)
    assert second.tails == [("c1", 2, 1.0)]
    assert list(tails_of(numbers, 1e6, 1e7, 0.0)) == []


def test_no_process_tells_more_than_a_bound() -> None:
    numbers = Numbers()
    for number in range(module.MOST + 10):
        numbers.take(f"c{number}", 1, 0.0)
    assert sum(len(item.tails) for item in tails_of(numbers, 0.0, 1.0, 0.0)) == module.MOST
