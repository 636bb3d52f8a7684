from __future__ import annotations

import threading

import pytest

from odac.security.revocation import RevokedSessions


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odac.security.revocation._BLOCK", 3)
    monkeypatch.setattr("odac.security.revocation._MOST_BLOCKS", 2)


def test_what_was_added_is_held_and_nothing_else() -> None:
    revoked = RevokedSessions(100, Clock())
    assert "a" not in revoked
    revoked.add("a")
    revoked.add("a")
    assert "a" in revoked
    assert "b" not in revoked
    assert len(revoked) == 1


@pytest.mark.usefixtures("small")
def test_blocks_hold_what_was_put_into_them() -> None:
    revoked = RevokedSessions(100, Clock())
    names = [f"s{number}" for number in range(8)]
    for name in names:
        revoked.add(name)
    assert all(name in revoked for name in names)
    assert not any(f"t{number}" in revoked for number in range(100))
    assert len(revoked) == 8


@pytest.mark.usefixtures("small")
def test_entries_go_by_age() -> None:
    clock = Clock()
    revoked = RevokedSessions(100, clock)
    for name in ("a", "b", "c"):
        revoked.add(name)
    clock.now += 100
    revoked.add("d")
    assert "a" in revoked
    clock.now += 1
    revoked.add("e")
    assert "a" not in revoked
    assert "d" in revoked
    assert revoked.none_before == float("-inf")


@pytest.mark.usefixtures("small")
def test_where_memory_ends_older_sessions_end_and_no_revoked_one_comes_back() -> None:
    clock = Clock()
    revoked = RevokedSessions(1000, clock)
    added: dict[str, float] = {}
    for number in range(100):
        clock.now += 1
        added[f"s{number}"] = clock.now
        revoked.add(f"s{number}")
        assert len(revoked) <= 9
        # A session began before it was revoked.
        assert all(name in revoked or at <= revoked.none_before for name, at in added.items())
    assert revoked.none_before < clock.now


@pytest.mark.usefixtures("small")
def test_threads_may_add_and_look_at_once() -> None:
    revoked = RevokedSessions(1000, Clock())
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(300):
                revoked.add(f"{name}{number}")
                f"{name}{number}" in revoked  # noqa: B015 - must not raise
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
