"""What the model over all stores leaves out: time, memory, and the senders that are remembered."""

from __future__ import annotations

from odac.history.rings import Rings
from odac.history.rules import History
from odac.history.store import EVERYTHING, KEPT_LONGER, REVOCATIONS

HISTORY = History(size=100, ttl=60.0)
E1, E2 = b"1" * 16, b"2" * 16


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def append(rings: Rings, channel: str = "c", first: int = 1, count: int = 1, epoch: bytes = E1, size: int = 10) -> int:
    return rings.append(channel, HISTORY, b"o" * 16, first, [b"." * size] * count, epoch)[0].top


def test_entries_age_by_their_own_time() -> None:
    clock = Clock()
    rings = Rings(clock)
    append(rings, first=1)
    clock.now += 40
    append(rings, first=2)
    clock.now += 30
    found = rings.read("c", HISTORY, 0, EVERYTHING)
    assert (found.top, found.base, [entry.offset for entry in found.entries]) == (2, 1, [2])


def test_the_top_stays_a_day_longer_than_the_entries() -> None:
    clock = Clock()
    rings = Rings(clock)
    append(rings, count=3)
    clock.now += 60 + KEPT_LONGER - 1
    found = rings.read("c", HISTORY, 0, EVERYTHING)
    assert (found.epoch, found.top, found.base, found.entries) == (E1, 3, 3, ())
    clock.now += 2
    assert rings.read("c", HISTORY, 0, EVERYTHING).epoch is None
    append(rings, first=4, epoch=E2)
    assert rings.read("c", HISTORY, 0, EVERYTHING).epoch == E2


def test_all_logs_share_one_cap_and_the_one_quiet_for_longest_loses_its_epoch() -> None:
    rings = Rings(Clock(), max_bytes=10_000)
    append(rings, "a", size=3000)
    append(rings, "b", size=3000)
    append(rings, "a", first=2, size=10)
    append(rings, "c", size=3000)
    assert rings.read("b", HISTORY, 0, 0).epoch is None
    assert rings.read("a", HISTORY, 0, 0).epoch == E1
    assert rings.evicted == 1
    assert rings.size <= 10_000


def test_each_log_that_is_lost_is_reported_and_one_that_is_erased_is_not() -> None:
    clock = Clock()
    rings = Rings(clock, max_bytes=10_000)
    lost: list[str] = []
    rings.on_lost = lost.append
    append(rings, "evicted", size=3000)
    append(rings, "full", size=7000)
    rings.erase("full")
    append(rings, "read", count=1)
    append(rings, "expired", count=1)
    clock.now += 60 + KEPT_LONGER + 1
    rings.read("read", HISTORY, 0, 0)
    rings.expire()
    append(rings, "revoked", count=1)
    for number in range(REVOCATIONS + 1):
        rings.revoke("revoked", str(number))
    assert lost == ["evicted", "read", "expired", "revoked"]


def test_the_memory_is_given_back() -> None:
    clock = Clock()
    rings = Rings(clock)
    for number in range(50):
        append(rings, f"room {number}", count=5)
    clock.now += 60 + KEPT_LONGER + 1
    rings.expire()
    assert (len(rings), rings.size) == (0, 0)


def test_a_reader_of_the_last_entries_gets_no_more_than_there_are() -> None:
    rings = Rings(Clock())
    append(rings, count=3)
    assert [entry.offset for entry in rings.read("c", HISTORY, -2, EVERYTHING).entries] == [2, 3]
    assert [entry.offset for entry in rings.read("c", HISTORY, -50, EVERYTHING).entries] == [1, 2, 3]


def test_senders_are_forgotten_a_minute_after_their_last_word() -> None:
    clock = Clock()
    rings = Rings(clock)
    for number in range(200):
        rings.append("c", HISTORY, number.to_bytes(16, "big"), 1, [b"x"], E1)
        clock.now += 10
    assert len(rings._logs["c"].origins) <= 24


def test_one_message_larger_than_all_that_a_room_may_keep_is_kept_alone() -> None:
    rings = Rings(Clock())
    history = History(max_bytes=1024)
    rings.append("c", history, b"o" * 16, 1, [b"a"], E1)
    rings.append("c", history, b"o" * 16, 2, [b"." * 5000], E1)
    found = rings.read("c", history, 0, EVERYTHING)
    assert [entry.offset for entry in found.entries] == [2]


def test_a_log_with_too_many_revoked_users_is_erased() -> None:
    rings = Rings(Clock())
    append(rings, count=3)
    for number in range(REVOCATIONS):
        assert rings.revoke("c", str(number)).epoch == E1
    assert rings.revoke("c", "0").epoch == E1, "a user that is revoked again takes no more room"
    found = rings.read("c", HISTORY, 0, EVERYTHING)
    assert (len(found.entries), len(found.revoked), found.revoked["0"]) == (3, REVOCATIONS, 2)
    assert rings.revoke("c", "another").epoch == bytes(16)
    assert rings.read("c", HISTORY, 0, EVERYTHING).epoch is None
    assert rings.size == 0
