"""How the processes of an app agree on the rules in their broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from odac.history.agreement import Agreement, kept_for
from odac.history.memory_store import MemoryStore, Shared
from odac.history.rules import UNKNOWN_ERA, History, RuleBook
from odac.realtime.audience import user_room


def book(*rooms: str, ttl: float = 60.0) -> RuleBook:
    made = RuleBook()
    for room in rooms:
        made = made.with_rooms(room, History(ttl=ttl))
    return made


def told(text: bytes) -> list[tuple[str, float]]:
    """The patterns in a text of rules, and how long each keeps a message."""
    return [(rule.pattern, rule.history.ttl) for rule in RuleBook.decode(text).rules]


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
        await first.agree(store, book("a"))
        new = await second.agree(store, book("b"))
        taken = await first.agree(store, book("a"))
        assert [rule.pattern for rule in taken.rules] == ["b"]
        assert taken.era_of("b") == new.era_of("b") != UNKNOWN_ERA
        assert await first.agree(store, taken) is taken, "nothing is new"
        assert await store.rules() == (2, new.encode())

    asyncio.run(main())


@pytest.mark.parametrize("looks_at", [False, True])
def test_rules_go_when_no_process_looks_at_them(looks_at: bool) -> None:
    async def main() -> None:
        clock = Clock()
        store = MemoryStore(Shared(clock))
        process = Agreement()
        rules = await process.agree(store, book("a", ttl=60.0))
        for _ in range(3):
            clock.now += 50_000.0
            if looks_at:
                assert await store.rules() == (1, rules.encode())
                assert await process.agree(store, rules) is rules
        assert await store.rules() == ((1, rules.encode()) if looks_at else (0, b""))
        # It was frozen for all that time: what it finds gone it writes again.
        again = await process.agree(store, rules)
        clock.now += 50_000.0
        assert await store.rules() == (1, again.encode())
        assert told(again.encode()) == [("a", 60.0)]
        assert (again.era_of("a") == rules.era_of("a")) is looks_at, "a publisher kept nothing while they were gone"

    asyncio.run(main())


def test_a_rule_keeps_its_era_while_it_is_there_and_gets_another_when_it_comes_back() -> None:
    async def main() -> None:
        store = MemoryStore(Shared(Clock()))
        one = await Agreement().agree(store, book("a", "b-*").with_users(History()))
        longer = await Agreement().agree(store, book("a", "b-*", "c", ttl=9.0).with_users(History()))
        inbox = user_room("7")
        for room in ("a", "b-1", inbox):
            assert longer.era_of(room) == one.era_of(room), room
        assert len({longer.era_of(room) for room in ("a", "b-1", "c", inbox)}) == 4
        without = await Agreement().agree(store, book("a"))
        assert without.era_of("a") == one.era_of("a")
        assert without.era_of("b-1") == without.era_of(inbox) == UNKNOWN_ERA
        back = await Agreement().agree(store, book("a", "b-*").with_users(History()))
        assert back.era_of("a") == one.era_of("a")
        assert back.era_of("b-1") not in (UNKNOWN_ERA, one.era_of("b-1"))
        assert back.era_of(inbox) not in (UNKNOWN_ERA, one.era_of(inbox))

    asyncio.run(main())


def test_two_processes_that_find_the_rules_gone_have_one_era() -> None:
    async def main() -> None:
        clock = Clock()
        store = MemoryStore(Shared(clock))
        one, two = Agreement(), Agreement()
        mine = await one.agree(store, book("a"))
        assert (await two.agree(store, book("a"))).era_of("a") == mine.era_of("a")
        clock.now += 1e6
        first, second = await one.agree(store, mine), await two.agree(store, mine)
        assert first.era_of("a") == second.era_of("a") != mine.era_of("a")
        assert await one.agree(store, first) is first

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
        store = Contended(Shared(Clock()))
        mine = await Agreement().agree(store, book("mine"))
        assert told(mine.encode()) == [("mine", 60.0)]
        assert await store.rules() == (2, mine.encode())

    asyncio.run(main())


def test_rules_are_written_when_the_broker_is_there() -> None:
    async def main() -> None:
        is_away = True
        store = MemoryStore(Shared(Clock()), away=lambda: is_away)
        process, rules = Agreement(), book("a")
        assert await process.agree(store, rules) is rules
        before, is_away = process.is_reached, False
        found = await process.agree(store, rules)
        assert (before, process.is_reached) == (False, True)
        assert await store.rules() == (1, found.encode())

    asyncio.run(main())


def test_rules_of_another_version_change_nothing(caplog: Any) -> None:
    async def main() -> None:
        store = MemoryStore(Shared(Clock()))
        process = Agreement()
        rules = await process.agree(store, book("a"))
        await store.write_rules(9, b'{"rules": [], "new": 1}', 60.0)
        assert await process.agree(store, rules) is rules

    asyncio.run(main())
    assert "another version" in caplog.text
