"""Rooms with history in one process, for clients and handlers, by the test client's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from odac import Context, History, Odac, Presence, Recovery
from odac.client.recovery import Recover
from odac.config import Limits
from odac.errors import ConfigurationError
from odac.testing import AsyncTestClient, run

SECRET = "a secret that is long enough"


def chat(**options: Any) -> Odac:
    app = Odac(SECRET, **options)
    app.rooms("chat-*", history=History(size=100, ttl=3600.0))
    app.users(history=History(size=50), replay=5)

    @app.route.ws("/chat/{id}", token=False)
    async def room(odac: Context) -> None:
        name = f"chat-{odac.request.data.url['id']}"
        odac.ws.join(name, replay=3)
        odac.ws.on("message", lambda data: odac.ws.to(name).send(data))

    @app.route.ws("/me", token=False)
    async def me(odac: Context) -> None:
        await odac.auth.user()
        async for _ in odac.ws:
            pass

    @app.route.ws("/quiet", token=False)
    async def quiet(odac: Context) -> None:
        async for _ in odac.ws:
            pass

    return app


def test(app: Odac, scenario: Callable[[AsyncTestClient], Awaitable[None]]) -> None:
    async def main() -> None:
        async with AsyncTestClient(app) as client:
            await scenario(client)

    run(main())


test.__test__ = False  # type: ignore[attr-defined]


def test_what_was_missed_comes_once_and_in_order_before_anything_newer() -> None:
    async def scenario(client: AsyncTestClient) -> None:
        a, b = await client.connect("/chat/7"), await client.connect("/chat/7")
        for number in range(3):
            await a.send(number)
        await b.drop()
        for number in range(3, 60):
            await a.send(number)
        again = await client.connect("/chat/7", again=b)
        await a.send(60)
        await client.settle()
        assert b.received + again.received == list(range(61))
        assert again.recoveries == [Recover("chat-7", True, 57)]

    test(chat(), scenario)


def test_a_first_visit_gets_the_last_messages_and_no_recovery() -> None:
    async def scenario(client: AsyncTestClient) -> None:
        a = await client.connect("/chat/7")
        for number in range(10):
            await a.send(number)
        b, plain = await client.connect("/chat/7"), await client.connect("/chat/7", v1=False)
        assert b.received == plain.received == [7, 8, 9]
        assert b.recoveries == []
        await a.send(10)
        await client.settle()
        assert b.received == plain.received == [7, 8, 9, 10]
        assert plain.control == []

    test(chat(), scenario)


def test_a_room_without_history_is_as_before_and_its_client_has_no_position() -> None:
    app = chat()

    @app.route.ws("/plain", token=False)
    async def plain(odac: Context) -> None:
        recovery = await odac.ws.join("plain")
        assert recovery == Recovery(None, 0)
        odac.ws.on("message", odac.ws.to("plain").send)

    async def scenario(client: AsyncTestClient) -> None:
        a = await client.connect("/plain")
        await a.send("hello")
        assert a.received == ["hello"]
        assert [kind for kind, _ in a.control] == ["hello"]

    test(app, scenario)


def test_a_replay_of_a_room_without_history_is_refused() -> None:
    app = chat()
    raised: list[Exception] = []

    @app.route.ws("/plain", token=False)
    async def plain(odac: Context) -> None:
        for room, replay in (("plain", 5), ("chat-1", -1), ("chat-1", 1001), ("chat-1", True)):
            try:
                odac.ws.join(room, replay=replay)
            except ValueError as error:
                raised.append(error)

    async def scenario(client: AsyncTestClient) -> None:
        await client.connect("/plain")
        assert len(raised) == 4
        assert "app.rooms" in str(raised[0])

    test(app, scenario)


def test_a_quiet_room_recovers_an_hour_later_and_an_empty_one_too() -> None:
    async def scenario(client: AsyncTestClient) -> None:
        talker, empty = await client.connect("/chat/7"), await client.connect("/chat/8")
        await talker.send("last")
        await talker.drop()
        await empty.drop()
        await client.advance(3 * 3600)
        talker = await client.connect("/chat/7", again=talker)
        empty = await client.connect("/chat/8", again=empty)
        assert talker.recoveries == [Recover("chat-7", True, 0)]
        assert empty.recoveries == [Recover("chat-8", True, 0)]

    test(chat(), scenario)


def test_trimmed_or_expired_messages_are_reported() -> None:
    async def scenario(client: AsyncTestClient) -> None:
        a, b, c = [await client.connect("/chat/7") for _ in range(3)]
        await a.send("first")
        await b.drop()
        for number in range(101):
            await a.send(number)
        again = await client.connect("/chat/7", again=b)
        assert again.recoveries == [Recover("chat-7", False, 0)]
        assert again.received == [98, 99, 100], "the last replay entries follow"
        await c.drop()
        await a.send("unseen")
        await client.advance(3601)
        again = await client.connect("/chat/7", again=c)
        assert again.recoveries == [Recover("chat-7", False, 0)]

    test(chat(limits=_unlimited()), scenario)


@pytest.mark.parametrize("why", ["too many bytes in other rooms", "nothing sent for long"])
@pytest.mark.parametrize("cached", [True, False])
def test_a_room_whose_log_was_lost_in_this_process_begins_again(why: str, cached: bool) -> None:
    app = chat(limits=Limits(history_bytes=8192, history_cache_bytes=1 << 20 if cached else 1, rate_limit=None))

    async def scenario(client: AsyncTestClient) -> None:
        stays, goes, other = [await client.connect(path) for path in ("/chat/7", "/chat/7", "/chat/8")]
        for number in range(4):
            await stays.send(number)
        await goes.drop()
        if why == "nothing sent for long":
            await client.advance(3600 + 86_400 + 5)
        else:
            for _ in range(4):
                await other.send("x" * 2000)
        assert await app.route.ws_server.history("chat-7") == []
        new = await client.connect("/chat/7")
        for number in range(6):
            await stays.send(["new", number])
        assert stays.received == [*range(4), *(["new", number] for number in range(6))]
        assert new.received == stays.received[4:]
        assert (await client.connect("/chat/7")).received == stays.received[-3:]
        again = await client.connect("/chat/7", again=goes)
        assert again.recoveries == [Recover("chat-7", False, 0)]
        await stays.drop()
        await new.send("missed")
        again = await client.connect("/chat/7", again=stays)
        assert (again.recoveries, again.received) == ([Recover("chat-7", True, 1)], ["missed"])

    test(app, scenario)


@pytest.mark.parametrize(
    ("steps", "rooms"),
    [("send leave join leave", []), ("send leave join join", ["chat-7"]), ("leave join leave", []), ("leave", [])],
)
def test_leaves_and_joins_while_the_broker_is_away_end_with_the_last(steps: str, rooms: list[str]) -> None:
    app = chat(broker=f"memory://away-{steps.replace(' ', '-')}")

    @app.route.ws("/steps", token=False)
    async def steps_(odac: Context) -> None:
        def carry_out(text: Any) -> None:
            for step in text.split() if isinstance(text, str) else ():
                if step == "rooms":
                    odac.ws.send(odac.ws.rooms)
                elif step == "send":
                    odac.ws.to("chat-7").send("mine")
                else:
                    getattr(odac.ws, step)("chat-7")

        odac.ws.join("chat-7")
        odac.ws.on("message", carry_out)

    async def scenario(client: AsyncTestClient) -> None:
        talker, other = await client.connect("/chat/7"), await client.connect("/steps")
        await client.lose_broker()
        await other.send(steps)
        await client.restore_broker()
        await client.advance(5)
        await talker.send("later")
        await client.advance(1)
        await other.send("rooms")
        await client.settle()
        assert other.received[-1] == rooms
        assert other.received.count("later") == len(rooms)

    test(app, scenario)


@pytest.mark.parametrize(("leaves_again", "listed"), [(False, [{"from": "join"}]), (True, [])])
def test_a_member_that_leaves_and_joins_behind_its_sends_is_listed_in_the_room(
    leaves_again: bool, listed: list[dict[str, str]]
) -> None:
    app = Odac(SECRET, broker=f"memory://listed-{leaves_again}")
    app.rooms("listed", history=History(), presence=Presence())

    @app.route.ws("/listed", token=False)
    async def member(odac: Context) -> None:
        def come_back(_: Any) -> None:
            odac.ws.to("listed").send("unconfirmed")
            odac.ws.leave("listed")
            odac.ws.join("listed", presence={"from": "join"})
            if leaves_again:
                odac.ws.leave("listed")

        odac.ws.join("listed", presence={"from": "connect"})
        odac.ws.on("message", come_back)

    async def scenario(client: AsyncTestClient) -> None:
        connection = await client.connect("/listed")
        await connection.send("go")
        await client.advance(5)
        members = await app.route.ws_server.presence("listed")
        assert [each.data for each in members.users.values()] == listed

    test(app, scenario)


def test_nothing_is_kept_of_a_client_that_disconnects_while_its_user_is_looked_up() -> None:
    app = Odac(SECRET, broker="memory://looked-up")
    app.users(history=History(), replay=5)
    looked_up = asyncio.Event()

    @app.authenticate
    async def user(_: Any) -> str:
        await looked_up.wait()
        return "ada"

    @app.route.ws("/", token=False)
    async def handler(odac: Context) -> None:
        await odac.auth.user()

    async def scenario(client: AsyncTestClient) -> None:
        connection = await client.connect("/", token=False)
        await connection.drop()
        looked_up.set()
        await client.settle()
        figures = app.figures()
        assert (figures["history_rooms"], figures["history_catching_up"]) == (0, 0)

    test(app, scenario)


def test_an_app_that_stops_while_the_broker_is_away_keeps_no_leaves_and_joins() -> None:
    app = chat(broker="memory://away-at-the-stop")
    recoveries: list[Recovery] = []

    @app.route.ws("/leaves", token=False)
    async def leaves(odac: Context) -> None:
        odac.ws.join("chat-7")
        async for _ in odac.ws:
            odac.ws.to("chat-7").send("unconfirmed")
            odac.ws.leave("chat-7")
            recoveries.append(await odac.ws.join("chat-7"))

    async def scenario(client: AsyncTestClient) -> None:
        connection = await client.connect("/leaves")
        await client.lose_broker()
        await connection.send("go")
        history: Any = app._hub.history
        assert history._members._queued
        await app.shutdown()
        await client.settle()
        assert not history._members._queued
        assert len(recoveries) == 1, "the handler's wait has ended"

    test(app, scenario)


def test_a_member_that_leaves_while_it_waits_for_the_broker_gets_nothing_from_the_room() -> None:
    app = chat(broker="memory://away-and-left")

    @app.route.ws("/joins-and-leaves", token=False)
    async def joins_and_leaves(odac: Context) -> None:
        odac.ws.on("message", lambda _: odac.ws.leave("chat-9"))
        odac.ws.join("chat-9", replay=3)

    async def scenario(client: AsyncTestClient) -> None:
        await client.connect("/chat/7")
        await client.lose_broker()
        other = await client.connect("/joins-and-leaves")
        await other.send("leave")
        await client.restore_broker()
        await client.advance(5)
        talker = await client.connect("/chat/9")
        await talker.send("secret")
        await client.advance(1)
        assert talker.received == ["secret"]
        assert other.received == []
        assert "room" not in [kind for kind, _ in other.control]

    test(app, scenario)


def test_a_room_that_is_not_joined_again_is_reported_by_the_client() -> None:
    async def scenario(client: AsyncTestClient) -> None:
        a = await client.connect("/chat/7")
        await a.send("x")
        await a.drop()
        again = await client.connect("/quiet", again=a)
        assert again.recoveries == []
        assert again.positions.overdue() == [Recover("chat-7", False, 0)]
        assert again.positions.overdue() == []

    test(chat(), scenario)


def test_forget_is_reported_to_members_and_to_reconnecting_clients() -> None:
    app = chat()

    async def scenario(client: AsyncTestClient) -> None:
        a, b = await client.connect("/chat/7"), await client.connect("/chat/7")
        await a.send("x")
        await b.drop()
        await app.route.ws_server.forget("chat-7")
        await client.settle()
        assert a.recoveries == [Recover("chat-7", False, 0)]
        assert await app.route.ws_server.history("chat-7") == []
        again = await client.connect("/chat/7", again=b)
        assert again.recoveries == [Recover("chat-7", False, 0)]
        await a.send("y")
        await a.drop()
        await again.send("z")
        a = await client.connect("/chat/7", again=a)
        assert a.recoveries == [Recover("chat-7", True, 1)]

    test(app, scenario)


def test_an_inbox_reaches_pages_that_open_later() -> None:
    app = chat()

    async def scenario(client: AsyncTestClient) -> None:
        client.login({"id": 7})
        for number in range(8):
            app.route.ws_server.user(7).send(number)
        page = await client.connect("/me")
        assert page.received == [3, 4, 5, 6, 7]
        await page.drop()
        app.route.ws_server.user(7).send("missed")
        app.route.ws_server.user(8).send("another's")
        page = await client.connect("/me", again=page)
        assert page.received == ["missed"]
        assert page.recoveries == [Recover(None, True, 1)]

    test(app, scenario)


def test_another_user_voids_all_positions() -> None:
    app = chat()

    async def scenario(client: AsyncTestClient) -> None:
        client.login({"id": 7})
        page = await client.connect("/me")
        app.route.ws_server.user(7).send("seven's")
        await client.settle()
        await page.drop()
        app.route.ws_server.user(7).send("seven's too")
        client.login({"id": 8})
        page = await client.connect("/me", again=page)
        assert page.received == []
        assert page.recoveries == [Recover(None, False, 0)]

    test(app, scenario)


def test_an_excluded_page_gets_no_echo_in_recovery_either_and_its_place_moves() -> None:
    app = chat()

    @app.route.ws("/others/{id}", token=False)
    async def others(odac: Context) -> None:
        odac.ws.join("chat-x")
        odac.ws.on("message", lambda data: odac.ws.to("chat-x").excluding(odac.ws).send(data))

    async def scenario(client: AsyncTestClient) -> None:
        a, b = await client.connect("/others/1"), await client.connect("/others/2")
        await a.send("mine")
        assert (a.received, b.received) == ([], ["mine"])
        assert a.positions.rooms == b.positions.rooms == {"chat-x": 1}
        await b.send("yours")
        await a.send("mine again")
        assert b.positions.rooms == {"chat-x": 3}
        # Back to where it was before its own messages: they are left out there too.
        a.positions._positions["chat-x"].offset = 0
        await a.drop()
        again = await client.connect("/others/1", again=a)
        assert again.received == ["yours"]
        assert again.positions.rooms == {"chat-x": 3}

    test(app, scenario)


def test_an_unkept_message_is_not_recovered() -> None:
    app = chat()

    async def scenario(client: AsyncTestClient) -> None:
        a, b = await client.connect("/chat/7"), await client.connect("/chat/7")
        await b.drop()
        app.route.ws_server.to_room("chat-7", "typing", keep=False)
        await a.send("kept")
        assert a.received == ["typing", "kept"]
        again = await client.connect("/chat/7", again=b)
        assert again.received == ["kept"]
        assert again.recoveries == [Recover("chat-7", False, 0)], "its room was empty when it left, and is not any more"

    test(app, scenario)


def test_several_rooms_have_no_common_order() -> None:
    app = chat()

    async def scenario(client: AsyncTestClient) -> None:
        server = app.route.ws_server
        a = await client.connect("/chat/7")
        for target in (
            server.to("chat-7", "other"),
            server.to("other").within("chat-7"),
            server.to("chat-7", "chat-8"),
        ):
            with pytest.raises(ValueError, match="keep=False"):
                target.send("x")
            target.send("y", keep=False)
        await client.settle()
        assert a.received == ["y", "y"]  # it is in no other room

    test(app, scenario)


def test_history_is_read_by_position() -> None:
    app = chat()

    async def scenario(client: AsyncTestClient) -> None:
        a = await client.connect("/chat/7")
        for data in (1, "two", {"three": 3}):
            await a.send(data)
        app.route.ws_server.to("chat-7").send_binary(b"four")
        server = app.route.ws_server
        entries = await server.history("chat-7")
        assert [entry.data for entry in entries] == [1, "two", {"three": 3}, b"four"]
        assert [entry.data for entry in await server.history("chat-7", last=2)] == [{"three": 3}, b"four"]
        assert [entry.data for entry in await server.history("chat-7", since=entries[1].position)] == [
            {"three": 3},
            b"four",
        ]
        assert await server.history("chat-7", last=0) == []
        with pytest.raises(ValueError, match="position of a HistoryEntry"):
            await server.history("chat-7", since="nonsense")
        with pytest.raises(ValueError, match="has no history"):
            await server.history("plain")
        await server.forget("chat-7")
        with pytest.raises(LookupError, match="can no longer be used"):
            await server.history("chat-7", since=entries[1].position)

    test(app, scenario)


def test_a_revoked_client_leaves_and_recovers_nothing() -> None:
    app = chat()

    @app.route.auth.ws("/members", token=False)
    async def members(odac: Context) -> None:
        odac.ws.join("chat-m")

    async def scenario(client: AsyncTestClient) -> None:
        server = app.route.ws_server
        client.login({"id": 7})
        page = await client.connect("/members")
        server.to_room("chat-m", "before")
        await server.revoke("chat-m", 7)
        server.to_room("chat-m", "secret")
        await client.settle()
        assert page.received == ["before"]
        assert "chat-m" not in page.positions.rooms, "the client was told to forget"
        stubborn = page.positions
        stubborn._positions["chat-m"] = _place_of(page)
        await page.drop()
        again = await client.connect("/members", again=page)
        assert "secret" not in again.received
        assert Recover("chat-m", False, 0) in again.recoveries
        server.to_room("chat-m", "after")
        await client.settle()
        await again.drop()
        server.to_room("chat-m", "missed")
        back = await client.connect("/members", again=again)
        assert back.received == ["missed"], "a later membership counts again"

    test(app, scenario)


def _place_of(page: Any) -> Any:
    """The place that a page was told, from its first ``room`` with an epoch."""
    from odac.client.recovery import _Position

    values = [values for kind, values in page.control if kind == "room" and values[2] is not None][-1]
    return _Position(values[2], 1, values[4])


def test_a_connection_recovers_no_more_than_its_budget() -> None:
    async def scenario(client: AsyncTestClient) -> None:
        a, b = await client.connect("/chat/7"), await client.connect("/chat/7")
        await a.send("x")
        await b.drop()
        for number in range(11):
            await a.send(number)
        again = await client.connect("/chat/7", again=b)
        assert again.recoveries == [Recover("chat-7", False, 0)]
        await again.drop()
        for number in range(10):
            await a.send(number)
        again = await client.connect("/chat/7", again=again)
        assert again.recoveries == [Recover("chat-7", True, 10)]

    test(chat(limits=_unlimited(recovery_entries=10)), scenario)


def test_a_room_recovers_no_more_bytes_than_its_budget() -> None:
    async def scenario(client: AsyncTestClient) -> None:
        a, b = await client.connect("/chat/7"), await client.connect("/chat/7")
        await a.send("x")
        await b.drop()
        for _ in range(50):
            await a.send("." * 2000)
        again = await client.connect("/chat/7", again=b)
        assert again.recoveries == [Recover("chat-7", False, 0)]
        await a.send("newer")
        assert again.received[-1] == "newer"

    test(chat(limits=_unlimited(recovery_bytes=20_000)), scenario)


def test_the_older_connection_of_a_client_ends() -> None:
    async def scenario(client: AsyncTestClient) -> None:
        a = await client.connect("/chat/7")
        await a.send("x")
        again = await client.connect("/chat/7", again=a)  # a is half-open: nobody has closed it
        assert a.closed == (1000, "the client has connected again")
        assert a.id is not None
        assert again.id is not None
        assert a.id.partition(".")[0] == again.id.partition(".")[0]
        assert int(a.id.partition(".")[2]) < int(again.id.partition(".")[2])

    test(chat(), scenario)


def test_rules_are_made_before_the_start_and_only_where_there_is_history() -> None:
    with pytest.raises(ConfigurationError, match="nats://"):
        Odac(SECRET, broker="nats://localhost").rooms("a", history=History())
    app = chat()

    async def scenario(client: AsyncTestClient) -> None:
        with pytest.raises(ConfigurationError, match="before it starts"):
            app.rooms("late", history=History())

    test(app, scenario)


def test_leaving_and_joining_again_is_a_first_visit() -> None:
    app = chat()

    @app.route.ws("/doors", token=False)
    async def doors(odac: Context) -> None:
        @odac.ws.on("message")
        async def on_message(data: object) -> None:
            if data == "leave":
                odac.ws.leave("chat-d")
            else:
                assert await odac.ws.join("chat-d", replay=1) == Recovery(None, 1)

    async def scenario(client: AsyncTestClient) -> None:
        a = await client.connect("/doors")
        send = app.route.ws_server.to("chat-d").send
        send("before")
        await a.send("join")
        send("in")
        await a.send("leave")
        assert a.positions.rooms == {}
        send("out")
        await a.send("join")
        send("in again")
        await client.settle()
        assert a.received == ["before", "in", "out", "in again"]

    test(app, scenario)


def test_sends_from_other_threads_are_kept_and_can_be_awaited() -> None:
    import asyncio

    app = chat()

    async def scenario(client: AsyncTestClient) -> None:
        a = await client.connect("/chat/7")

        def elsewhere() -> None:
            async def main() -> None:
                await app.route.ws_server.to_room("chat-7", "from a thread")

            asyncio.run(main())

        await asyncio.to_thread(elsewhere)
        await client.settle()
        assert a.received == ["from a thread"]

    import odac.testing  # a real loop: a thread's call arrives when it arrives

    async def real() -> None:
        async with AsyncTestClient(app) as client:
            await scenario(client)

    assert odac.testing is not None
    asyncio.run(real())


def test_a_client_that_joins_in_the_tick_of_a_message_gets_it_once() -> None:
    app = chat()

    @app.route.ws("/at-once", token=False)
    async def at_once(odac: Context) -> None:
        send = odac.ws.to("chat-7").send
        send("before")
        odac.ws.join("chat-7", replay=2)
        send("after")
        odac.ws.send("own")
        send("later")

    async def scenario(client: AsyncTestClient) -> None:
        a = await client.connect("/chat/7")
        b = await client.connect("/at-once")
        plain = await client.connect("/at-once", v1=False)
        first = ["before", "after", "own", "later"]
        assert b.received == [*first, "before", "after", "later"]
        assert plain.received == ["later", *first]
        assert a.received == ["before", "after", "later"] * 2
        assert a.positions.rooms == b.positions.rooms

    test(app, scenario)


def test_the_figures_count() -> None:
    app = chat()

    async def scenario(client: AsyncTestClient) -> None:
        a, b = await client.connect("/chat/7"), await client.connect("/chat/7")
        await a.send("x")
        await b.drop()
        await a.send("y")
        await client.connect("/chat/7", again=b)
        figures = app.figures()
        assert figures["history_sent"] == 2
        assert figures["history_recovered"] == 1
        assert figures["history_replayed"] == 1
        assert figures["history_rooms"] == 1
        assert figures["history_clients"] == 2
        assert figures["history_failed"] == figures["history_gaps"] == figures["history_not_recovered"] == 0

    test(app, scenario)


def _unlimited(**more: Any) -> Any:
    from odac import Limits

    return Limits(rate_limit=None, **more)
