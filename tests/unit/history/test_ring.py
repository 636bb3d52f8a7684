"""The cache of a room's last entries."""

from __future__ import annotations

from odac.history.ring import Ring
from odac.history.rules import History
from tests.unit.history.history_fakes import kept


class Held:
    size = 0
    now = 0.0

    def ring(self, **history: float) -> Ring:
        return Ring(History(**{"size": 5, "ttl": 100.0, **history}), self.grew, lambda: self.now)  # type: ignore[arg-type]

    def grew(self, size: int) -> None:
        self.size += size


def offsets(ring: Ring, after: int, limit: int = 100, size: int = 1 << 20) -> list[int] | None:
    found = ring.cached(after, limit, size)
    return None if found is None else [entry.offset for entry in found]


def test_it_holds_as_many_as_the_history_and_says_what_they_take() -> None:
    held = Held()
    ring = held.ring()
    ring.add([kept(number) for number in range(1, 9)])
    assert offsets(ring, 3) == [4, 5, 6, 7, 8]
    assert offsets(ring, 2) is None
    assert offsets(ring, 8) is None
    assert held.size == ring.size == 5 * kept(1).size
    ring.clear()
    assert held.size == ring.size == 0


def test_a_piece_ends_at_its_number_or_its_bytes() -> None:
    ring = Held().ring()
    ring.add([kept(number, b"x" * 100) for number in range(1, 6)])
    assert offsets(ring, 1, limit=2) == [2, 3]
    assert offsets(ring, 0, size=150) == [1, 2]  # the one that passes it is the last


def test_what_may_be_too_old_is_asked_of_the_store() -> None:
    held = Held()
    ring = held.ring(ttl=10.0)
    ring.add([kept(1, time=1000), kept(2, time=15_000)])
    held.now = 12.0
    assert offsets(ring, 0) is None
    assert offsets(ring, 1) == [2]


def test_a_page_is_further_back_and_is_not_counted() -> None:
    held = Held()
    ring = held.ring()
    ring.add([kept(50)])
    ring.turn_page([kept(10), kept(11)])
    assert offsets(ring, 9) == [10, 11]
    assert held.size == ring.size == kept(1).size
    ring.forget_page()
    assert offsets(ring, 9) is None


def test_it_shrinks_by_half_from_the_oldest() -> None:
    held = Held()
    ring = held.ring()
    ring.add([kept(number) for number in range(1, 6)])
    ring.shrink()
    assert offsets(ring, 3) == [4, 5]
    assert offsets(ring, 2) is None
    assert held.size == ring.size == 2 * kept(1).size
