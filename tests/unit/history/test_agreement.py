"""How the processes of an app agree on the rules in their broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from odac.history.agreement import Agreement, kept_for
from odac.history.memory_store import MemoryStore, Shared
from odac.history.rules import History, RuleBook


def book(*rooms: str, ttl: float = 60.0) -> RuleBook:
    made = RuleBook()
    for room in rooms:
        made = made.with_rooms(room, History(ttl=ttl))
    return made


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_rules_are_kept_a_day_longer_than_any_message() -> None:
    made = book("a", ttl=5.0).with_rooms("b*", History(ttl=7.0))
    assert kept_for(made) == 86_407.0
    assert kept_for(made.with_users(History(ttl=100.0))) == 86_500.0
    assert kept_for(RuleBook()) == 86_400.0


def test_the_process_that_starts_last_is_right() -> None:
    async def main() -> None:
        store = MemoryStore(Shared(Clock()))
        first, second = Agreement(), Agreement()
        old, new = book("a"), book("b")
        assert await first.agree(store, old) is old
        assert await second.agree(store, new) is new
        taken = await first.agree(store, old)
        assert taken.encode() == new.encode()
        assert await first.agree(store, taken) is taken, "nothing is new"
        assert await store.rules() == (2, new.encode())

    asyncio.run(main())


@pytest.mark.parametrize("looks_at", [False, True])
def test_rules_go_when_no_process_looks_at_them(looks_at: bool) -> None:
    async def main() -> None:
        clock = Clock()
        store = MemoryStore(Shared(clock))
        process, rules = Agreement(), book("a", ttl=60.0)
        await process.agree(store, rules)
        for _ in range(3):
            clock.now += 50_000.0
            if looks_at:
                assert await store.rules() == (1, rules.encode())
                await process.agree(store, rules)
        assert await store.rules() == ((1, rules.encode()) if looks_at else (0, b""))
        # It was frozen for all that time: what it finds gone it writes again.
        await process.agree(store, rules)
        clock.now += 50_000.0
        assert await store.rules() == (1, rules.encode())

    asyncio.run(main())


def test_of_two_that_start_at_once_one_has_the_last_word() -> None:
    class Contended(MemoryStore):
        """Another process writes its rules right after this one has read them for the first time."""

        is_first = True

        async def rules(self, keep: float = 0.0) -> tuple[int, bytes]:
            found = await super().rules(keep)
            if self.is_first:
                self.is_first = False
                await self.write_rules(found[0] + 1, book("other").encode(), 60.0)
            return found

    async def main() -> None:
        store, mine = Contended(Shared(Clock())), book("mine")
        assert await Agreement().agree(store, mine) is mine
        assert await store.rules() == (2, mine.encode())

    asyncio.run(main())


def test_rules_are_written_when_the_broker_is_there() -> None:
    async def main() -> None:
        is_away = True
        store = MemoryStore(Shared(Clock()), away=lambda: is_away)
        process, rules = Agreement(), book("a")
        assert await process.agree(store, rules) is rules
        is_away = False
        assert await process.agree(store, rules) is rules
        assert await store.rules() == (1, rules.encode())

    asyncio.run(main())


def test_rules_of_another_version_change_nothing(caplog: Any) -> None:
    async def main() -> None:
        store = MemoryStore(Shared(Clock()))
        process, rules = Agreement(), book("a")
        await process.agree(store, rules)
        await store.write_rules(9, b'{"rules": [], "new": 1}', 60.0)
        assert await process.agree(store, rules) is rules

    asyncio.run(main())
    assert "another version" in caplog.text
