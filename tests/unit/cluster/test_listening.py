from __future__ import annotations

from odac.cluster.listening import Listening
from tests.unit.brokers.fakes import Clock, FakeBroker


class Setup:
    def __init__(self) -> None:
        self.broker = FakeBroker()
        self.clock = Clock()
        self.listening = Listening(self.broker, self.clock)

    def tick(self) -> tuple[set[str], set[str]]:
        return self.listening.unsubscribe_empty(), self.listening.settle()


def test_the_first_member_subscribes_and_the_last_one_unsubscribes_after_a_whole_interval() -> None:
    setup = Setup()
    assert not setup.listening.opened("c")
    assert setup.listening.since("c") == setup.clock.now
    assert setup.tick() == (set(), {"c"})
    setup.listening.closed("c")
    assert setup.tick() == (set(), set())
    assert "c" in setup.listening
    assert setup.tick() == ({"c"}, set())
    assert "c" not in setup.listening
    assert setup.listening.since("c") is None
    assert setup.broker.calls == ["subscribe c", "unsubscribe c"]


def test_members_that_come_and_go_cost_the_broker_nothing() -> None:
    setup = Setup()
    for _ in range(3):
        setup.listening.opened("c")
        setup.listening.closed("c")
        setup.tick()
        assert not setup.listening.opened("c")
        setup.tick()
    assert setup.broker.calls == ["subscribe c"]


def test_a_channel_subscribed_to_again_at_once_is_distinguished() -> None:
    setup = Setup()
    setup.listening.opened("c")
    setup.listening.closed("c")
    setup.tick()
    setup.tick()
    assert setup.listening.opened("c")
    setup.listening.closed("c")
    for _ in range(3):
        setup.tick()
    assert not setup.listening.opened("c")


def test_each_channel_is_probed_in_turn_and_new_ones_not_yet() -> None:
    setup = Setup()
    setup.listening.opened("a")
    assert setup.listening.next_to_probe() is None
    setup.tick()
    setup.listening.opened("b")
    assert [setup.listening.next_to_probe() for _ in range(2)] == ["a", "a"]
    setup.tick()
    assert [setup.listening.next_to_probe() for _ in range(4)] == ["b", "a", "b", "a"]


def test_a_room_that_was_never_opened_may_be_closed() -> None:
    setup = Setup()
    setup.listening.closed("c")
    setup.tick()
    setup.tick()
    assert setup.broker.calls == []
