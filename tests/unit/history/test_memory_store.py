from __future__ import annotations

import asyncio

from odac.brokers.history_registry import make_history
from odac.history.memory_store import MemoryStore, Shared
from odac.history.rules import History
from odac.history.store import decode_notice

HISTORY = History()


def test_what_is_appended_is_published_in_the_same_order() -> None:
    async def main() -> None:
        published: list[tuple[str, bytes]] = []
        store = MemoryStore(Shared(lambda: 5.0), lambda channel, payload: published.append((channel, payload)))
        await store.append("c", HISTORY, b"o" * 16, 1, [b"a", b"b"], b"e" * 16)
        await store.append("c", HISTORY, b"o" * 16, 2, [b"b", b"c"], b"f" * 16)
        await store.revoke("c", "u")
        await store.revoke("nothing", "u")
        await store.erase("c")
        notices = [decode_notice(payload) for _, payload in published]
        assert [[entry.body for entry in notice.entries] for notice in notices] == [[b"a", b"b"], [b"c"], [], []]
        assert [notice.first for notice in notices] == [1, 3, 3, 0]
        assert [notice.changed for notice in notices] == [False, False, True, False]
        assert notices[-1].epoch == bytes(16)

    asyncio.run(main())


def test_stores_of_one_name_share_their_logs_and_others_do_not() -> None:
    async def main() -> None:
        one, two = make_history("memory://shared-name", lambda: 1.0), make_history("memory://shared-name", lambda: 1.0)
        alone = make_history("memory://", lambda: 1.0)
        await one.append("c", HISTORY, b"o" * 16, 1, [b"a"], b"e" * 16)
        assert (await two.read("c", HISTORY, 0, 10)).top == 1
        assert (await alone.read("c", HISTORY, 0, 10)).top == 0
        assert await one.write_rules(1, b"text", 60.0)
        assert not await two.write_rules(1, b"other", 60.0)
        assert await two.rules() == (1, b"text")

    asyncio.run(main())
