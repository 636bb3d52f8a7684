from __future__ import annotations

import pytest

from odac.cluster import incoming as module
from odac.cluster.envelope import Bye, Envelope, RoomMessage, encode
from odac.cluster.incoming import Incoming
from odac.cluster.listening import Listening
from odac.cluster.outgoing import large_payloads
from odac.cluster.reporter import Reporter
from odac.realtime.audience import Audience
from tests.unit.brokers.fakes import Clock, FakeBroker

A = b"a" * 16


class Setup:
    def __init__(self) -> None:
        self.reporter = Reporter("fake://broker")
        self.listening = Listening(FakeBroker(), Clock())
        self.listening.opened("c")
        self.incoming = Incoming(self.reporter, self.listening, ("control",), 3.0, 0.0)

    def receive(self, channel: str, sequence: int, number: int, *, shared: bool = False) -> bool:
        payload = encode(Envelope(2, A, sequence, number, shared, [Bye()]))
        return self.incoming.receive(channel, payload) is not None


def test_what_arrives_in_order_is_handled_and_gaps_are_counted() -> None:
    setup = Setup()
    assert setup.receive("c", 1, 0)
    assert setup.receive("c", 2, 5)
    assert setup.incoming.missed
    assert not setup.receive("c", 1, 0)
    counters = setup.reporter.counters
    assert (counters.lost, counters.late, counters.garbage) == (4, 1, 0)


def test_a_channel_that_was_left_is_ignored_and_the_common_ones_never() -> None:
    setup = Setup()
    assert not setup.receive("left", 1, 0)
    assert setup.receive("left", 1, -1), "what is not counted is for this process, wherever it comes"
    assert setup.receive("control", 1, 0)


def test_garbage_is_counted() -> None:
    setup = Setup()
    assert setup.incoming.receive("c", b"garbage") is None
    assert setup.reporter.counters.garbage == 1


@pytest.mark.parametrize("missing", [None, 0, 1, 2])
def test_a_message_in_pieces_is_one_message(missing: int | None) -> None:
    setup = Setup()
    assert setup.receive("c", 1, 0)
    item = RoomMessage(Audience(("c",)), 2, bytes(2500))
    payloads = [payload for payload, _ in large_payloads(A, 2, 1, item, 1200, ("c",))]
    assert len(payloads) == 3
    found = [setup.incoming.receive("c", payload) for number, payload in enumerate(payloads) if number != missing]
    whole = [envelope for envelope in found if envelope is not None]
    assert [envelope.items for envelope in whole] == ([[item]] if missing is None else [])
    setup.receive("c", 3, 2)
    assert setup.reporter.counters.lost == (missing is not None)


def test_a_publishers_last_number_is_kept_for_a_time() -> None:
    setup = Setup()
    setup.receive("c", 1, 0)
    for now in (module.SEQUENCE_AGE + 1, 2 * module.SEQUENCE_AGE + 2):
        setup.incoming.tick(now, healthy=False)
    setup.receive("c", 2, 5)
    assert setup.reporter.counters.lost == 4
    for now in (3 * module.SEQUENCE_AGE + 3, 4 * module.SEQUENCE_AGE + 4):
        setup.incoming.tick(now, healthy=True)
    setup.receive("c", 9, 50)
    assert setup.reporter.counters.lost == 4
