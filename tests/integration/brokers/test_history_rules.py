"""The history rules in the broker: how long they stay there, and kept messages whose rule was removed."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from odac import AsyncPublisher, Context, History, Odac
from odac.brokers.history_registry import make_history
from odac.history.rules import RuleBook
from odac.history.store import HistoryStore
from odac.publishing import kept
from odac.testing import AsyncTestClient
from tests.integration.brokers.servers import Server
from tests.integration.brokers.test_history import SECRET, Run, come, until

TEXT = b"the rules"


@pytest.fixture(params=["memory", "local", "redis", "cluster"])
def store(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    return servers(request.param)


def own(store: Server) -> str:
    """A namespace for one test."""
    if store.url.startswith("memory"):
        return f"memory://{secrets.token_hex(6)}"
    return f"{store.url}?namespace={secrets.token_hex(6)}"


@contextlib.asynccontextmanager
async def store_at(url: str) -> AsyncIterator[HistoryStore]:
    """The histories of a broker, beside any app's."""
    store = make_history(url, time.time)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


def app_of(url: str, **rooms: History) -> Odac:
    app = Odac(SECRET, broker=url)
    for name, history in rooms.items():
        app.rooms(name, history=history)

    @app.route.ws("/chat", token=False)
    async def chat(odac: Context) -> None:
        await odac.ws.join("chat")
        odac.ws.join("other")

    return app


def test_rules_expire_unless_a_process_looks_at_them(store: Server, run: Run) -> None:
    async def main() -> None:
        async with store_at(own(store)) as rules:
            assert await rules.write_rules(3, TEXT, 0.05)
            await gone(rules)
            assert await rules.write_rules(5, TEXT, 60.0)
            assert await rules.rules() == (5, TEXT)
            assert await rules.rules(120.0) == (5, TEXT)
            await rules.rules(0.05)
            await gone(rules)
            # Version numbers begin anew; what is written then is kept as long as it says.
            assert await rules.write_rules(1, TEXT, 60.0)
            assert await rules.rules() == (1, TEXT)

    run(main())


def test_a_process_keeps_its_rules_there(store: Server, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that expired while it was stopped are written again, and it goes on to look at them."""
    from odac.history import rooms

    monkeypatch.setattr(rooms, "RULES_EVERY", 0.05)
    monkeypatch.setattr(rooms, "TEND_EVERY", 0.02)
    if store.url.startswith("memory"):
        pytest.skip("not for this one: memory:// has no other process")

    async def main() -> None:
        url = own(store)
        async with store_at(url) as rules, AsyncTestClient(app_of(url, chat=History(ttl=60.0))):
            version, text = await rules.rules()
            assert version == 1
            await rules.rules(0.001)  # as if no process had looked at them for a day
            async with asyncio.timeout(30):
                while (found := await rules.rules()) in ((0, b""), (version, text)):
                    await asyncio.sleep(0.01)
            assert found[0] == version
            before, after = RuleBook.decode(text), RuleBook.decode(found[1])
            assert after.rules == before.rules
            assert after.era_of("chat") != before.era_of("chat")

    run(main())


def test_an_app_without_its_rules_misses_nothing_of_a_publisher(
    store: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The publisher goes by the rules in the broker, until they expire; then it sends as to any room."""
    if store.url.startswith("memory"):
        pytest.skip("not for this one: memory:// has no publishers")
    monkeypatch.setattr(kept, "RULES_EVERY", 0.0)

    async def main() -> None:
        url = own(store)
        async with AsyncTestClient(app_of(url, chat=History(), other=History())):
            pass
        # One app has no rules any more, and one has another than before.
        async with store_at(url) as rules:
            async with (
                AsyncTestClient(app_of(url)) as none,
                AsyncPublisher(url) as publisher,
            ):
                page = await none.connect("/chat")
                for room in ("chat", "other"):
                    while room not in page.received:  # until the subscription has reached the broker
                        await publisher.to_room(room, room, keep=False)
                        await asyncio.sleep(0.05)
                await publisher.to_room("chat", "kept still")
                await publisher.to("other").excluding(str(page.id)).send("for others")
                await publisher.to("other").send(["all", 1])
                await until(lambda: page.received[-1:] == [["all", 1]])
                received = [each for each in page.received if each not in ("chat", "other")]
                assert received == ["kept still", ["all", 1]]
                before = await top(rules, url)
                await rules.rules(0.001)
                async with asyncio.timeout(30):
                    while await rules.rules() != (0, b""):
                        await asyncio.sleep(0.01)
                await publisher.to_room("chat", "not kept")
                await until(lambda: page.received[-1:] == ["not kept"])
                assert before == 1 == await top(rules, url)
            async with AsyncTestClient(app_of(url, other=History())) as one, AsyncPublisher(url) as publisher:
                page = await come(one, path="/chat")
                while "plain" not in page.received:  # until the subscription has reached the broker
                    await publisher.to_room("chat", "plain")
                    await asyncio.sleep(0.05)
                await publisher.to_room("other", "kept")
                await until(lambda: "kept" in page.received)

    run(main())


async def gone(rules: HistoryStore) -> None:
    """Wait until there are no rules."""
    async with asyncio.timeout(30):
        while await rules.rules() != (0, b""):
            await asyncio.sleep(0.01)


async def top(store: Any, url: str) -> int:
    namespace = url.partition("namespace=")[2]
    found = await store.read(f"{namespace}.room.chat", History(), 0, 100)
    return int(found.top)


@pytest.mark.parametrize("is_empty", [False, True], ids=["a room with a log", "an empty room"])
@pytest.mark.parametrize("how", ["the app is away", "the app goes on", "the rule is away"])
def test_a_page_gets_a_notice_where_a_publisher_kept_nothing_meanwhile(
    store: Server, run: Run, monkeypatch: pytest.MonkeyPatch, how: str, is_empty: bool
) -> None:
    """The room's log may still be there, and looks as if nothing were missing."""
    from odac.history import rooms

    monkeypatch.setattr(rooms, "TEND_EVERY", 1e6)  # the test says when the app looks at the rules
    monkeypatch.setattr(kept, "RULES_EVERY", 0.0)
    if store.url.startswith("memory"):
        pytest.skip("not for this one: memory:// has no publishers")

    async def main() -> None:
        url = own(store)
        async with store_at(url) as rules, AsyncPublisher(url) as publisher, contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(AsyncTestClient(app_of(url, chat=History(), other=History())))
            page = await client.connect("/chat")
            await until(lambda: "other" in page.positions.rooms)
            if not is_empty:
                for room in ("chat", "other"):
                    await publisher.to_room(room, "kept")
                await until(lambda: len(page.received) == 2)
            await page.drop()
            if how != "the app goes on":
                await stack.aclose()
            if how == "the rule is away":
                async with AsyncTestClient(app_of(url, other=History())):
                    await publisher.to_room("chat", "not kept")
            else:
                await rules.rules(0.001)  # as if no process had looked at them for a day
                await gone(rules)
                await publisher.to_room("chat", "not kept")
            if how == "the app goes on":
                assert isinstance(client.app, Odac)
                assert client.app._rules.history is not None
                await client.app._rules.history._agree()
            else:
                app = app_of(url, chat=History(), other=History())
                jar, client = client._jar, await stack.enter_async_context(AsyncTestClient(app))
                client._jar = jar
            again = await client.connect("/chat", again=page)
            await until(lambda: len(again.recoveries) == 2, "being told")
            told = {each.room: each.recovered for each in again.recoveries}
            assert told == {"chat": False, "other": how == "the rule is away"}

    run(main())


def test_members_that_stay_get_a_ticket_for_the_rules_that_were_written_again(
    store: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next time that they come back nothing is missing."""
    from odac.history import rooms

    monkeypatch.setattr(rooms, "TEND_EVERY", 1e6)
    if store.url.startswith("memory"):
        pytest.skip("not for this one: memory:// has no publishers")

    async def main() -> None:
        url = own(store)
        async with (
            store_at(url) as rules,
            AsyncPublisher(url) as publisher,
            AsyncTestClient(app_of(url, chat=History())) as client,
        ):
            page = await come(client, path="/chat")  # what is published before it has joined is not for it
            await publisher.to_room("chat", 1)
            await until(lambda: page.received == [1])
            await rules.rules(0.001)
            await gone(rules)
            assert isinstance(client.app, Odac)
            assert client.app._rules.history is not None
            await client.app._rules.history._agree()
            await publisher.to_room("chat", 2)
            await until(lambda: page.received == [1, 2])
            await page.drop()
            await publisher.to_room("chat", 3)
            again = await come(client, again=page, path="/chat")
            await until(lambda: again.received == [3])
            assert [each.recovered for each in again.recoveries] == [True]
            assert page.recoveries == []

    run(main())
