from __future__ import annotations

from typing import Any, cast

from odac.lanes.reading import PacedReading
from odac.realtime.turn_budget import TurnBudget
from odac.wire.parser import Parser
from tests.unit.realtime.realtime_fakes import ManualLoop


class Transport:
    def __init__(self) -> None:
        self.reading = True
        self.closing = False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing


class Source:
    """A transport whose parser has a rest that takes some turns."""

    def __init__(self, turns: int) -> None:
        self.loop = ManualLoop()
        self.transport = Transport()
        self.parser = Parser(1024, 16)
        self.held_back = False
        self.left = turns
        self.fed = 0
        self._set_rest()
        self.reading = PacedReading(
            TurnBudget(cast(Any, self.loop)), cast(Any, self.transport), self.parser, self._feed, lambda: self.held_back
        )

    def _set_rest(self) -> None:
        self.parser.rest = (b"rest", 0) if self.left else None

    def _feed(self, data: bytes) -> None:
        assert data == b""
        self.fed += 1
        self.left -= 1
        self._set_rest()


def test_a_rest_is_taken_turn_by_turn_and_then_the_transport_is_read_again() -> None:
    source = Source(turns=3)
    source.reading.take_rest_later()
    states = []
    for _ in range(3):
        states.append((source.fed, source.transport.reading))
        source.loop.turn()
    assert states == [(0, False), (1, False), (2, False)]
    assert (source.fed, source.transport.reading) == (3, True)


def test_a_slow_handler_holds_the_rest_back() -> None:
    source = Source(turns=2)
    source.held_back = True
    source.reading.take_rest_later()
    source.loop.run()
    assert (source.fed, source.transport.reading) == (0, False)
    source.held_back = False
    source.reading.resume()
    source.reading.resume()  # twice is once: each turn takes one part
    source.loop.turn()
    assert source.fed == 1
    source.loop.run()
    assert (source.fed, source.transport.reading) == (2, True)


def test_without_a_rest_resuming_reads_at_once() -> None:
    source = Source(turns=0)
    source.reading.pause()
    assert not source.transport.reading
    source.reading.resume()
    assert source.transport.reading


def test_a_closing_transport_is_left_alone() -> None:
    source = Source(turns=2)
    source.reading.take_rest_later()
    source.transport.closing = True
    source.loop.run()
    assert (source.fed, source.transport.reading) == (0, False)
    source.reading.resume()
    source.loop.run()
    assert (source.fed, source.transport.reading) == (0, False)
