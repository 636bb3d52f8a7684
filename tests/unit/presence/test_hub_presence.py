"""Presence as an app has it, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from odac import ConfigurationError, Context, Members, Odac, Presence
from odac.testing import TestClient, TestConnection

GATHERED = 0.2


def make() -> tuple[Odac, list[Context]]:
    app = Odac(secret="x" * 32)
    app.rooms("chat-*", presence=Presence(grace=10.0, limit=3))
    contexts: list[Context] = []

    @app.authenticate
    def user(request: Any) -> Any:
        name = request.header("x-user")
        return {"id": name} if name else None

    @app.route.ws("/chat/{name}", token=False)
    async def chat(odac: Context) -> None:
        contexts.append(odac)
        await odac.auth.user()
        odac.ws.join("chat-1", presence={"name": odac.request.data.url["name"]})
        async for message in odac.ws:
            if message == "leave":
                odac.ws.leave("chat-1")
            elif message == "who":
                odac.ws.send(await app.route.ws_server.presence("chat-1"))
            else:
                odac.ws.join("chat-1", presence=message)

    return app, contexts


Enter = Callable[..., TestConnection]


@pytest.fixture
def site() -> Iterator[tuple[TestClient, Enter, list[Context]]]:
    app, contexts = make()
    with TestClient(app) as client:

        def enter(name: str, user: str | None = None) -> TestConnection:
            headers = {} if user is None else {"x-user": user}
            connection = client.connect(f"/chat/{name}", headers=headers)
            client.advance(GATHERED)
            return connection

        yield client, enter, contexts


def told(connection: TestConnection) -> list[tuple[str, list[Any]]]:
    return [(kind, values) for kind, values in connection.control if kind in {"here", "diff"}]


def names(people: Any) -> list[str]:
    return sorted(data["name"] for _, data in people)


def test_a_member_gets_the_people_in_the_room_and_each_change(site: tuple[TestClient, Enter, list[Context]]) -> None:
    client, enter, _ = site
    ada = enter("Ada", "1")
    bob = enter("Bob", "2")
    (first, second), (only,) = told(ada), told(bob)
    number = first[1][0]
    assert first == ("here", [number, first[1][1], 1, "chat-1"])
    assert names(first[1][1]) == ["Ada"]
    assert second[0] == "diff"
    assert names(second[1][1]) == ["Bob"]
    assert second[1][2:] == [[], 2]
    assert only[0] == "here"
    assert names(only[1][1]) == ["Ada", "Bob"]
    bob.send({"name": "Robert"})
    client.advance(GATHERED)
    assert names(told(ada)[-1][1][1]) == ["Robert"]
    key = told(ada)[-1][1][1][0][0]
    bob.send("leave")
    client.advance(GATHERED)
    assert told(ada)[-1] == ("diff", [number, [], [key], 1])
    assert told(bob)[-1] == ("here", [number, [], 0, "chat-1"])
    ada.send({"name": "Countess"})
    client.advance(GATHERED)
    assert len(told(bob)) == 3


def test_keys_are_the_rooms_own_and_name_no_user(site: tuple[TestClient, Enter, list[Context]]) -> None:
    _, enter, contexts = site
    ada = enter("Ada", "ada@example.com")
    contexts[0].ws.join("chat-2", presence={"name": "Ada"})
    site[0].advance(GATHERED)
    first, second = (values[1][0][0] for kind, values in told(ada) if kind == "here")
    assert first != second
    assert "ada" not in first


def test_the_server_knows_users_by_their_ids(site: tuple[TestClient, Enter, list[Context]]) -> None:
    _, enter, _ = site
    ada = enter("Ada", "1")
    enter("Ada", "1")
    nobody = enter("Eve")
    ada.send("who")
    users, total, complete = ada.receive()
    assert (total, complete) == (2, True)
    assert users["1"][:2] == [{"name": "Ada"}, 2]
    (other,) = set(users) - {"1"}
    assert other.partition(":")[0] in {"session", "connection"}
    assert nobody.id is not None


def test_a_lost_page_leaves_when_the_grace_is_over(site: tuple[TestClient, Enter, list[Context]]) -> None:
    client, enter, _ = site
    ada, bob = enter("Ada", "1"), enter("Bob", "2")
    bob.drop()
    client.advance(9.0)
    assert len(told(ada)) == 2
    again = enter("Bob", "2")
    client.advance(15.0)
    assert len(told(ada)) == 2
    again.close()
    client.advance(GATHERED)
    assert len(told(ada)) == 3
    assert told(ada)[-1][1][3] == 1


def test_above_the_limit_there_are_totals_alone(site: tuple[TestClient, Enter, list[Context]]) -> None:
    client, enter, _ = site
    ada = enter("Ada", "1")
    for user in "2345":
        enter(user, user)
    client.advance(2.0)
    assert told(ada)[-1][0] == "diff"
    assert told(ada)[-1][1][1:] == [None, None, 5]
    assert told(enter("6", "6"))[-1][1][1:] == [None, 6, "chat-1"]


def test_presence_is_refused_where_there_is_no_rule(site: tuple[TestClient, Enter, list[Context]]) -> None:
    client, enter, contexts = site
    enter("Ada", "1")
    with pytest.raises(ValueError, match=r"app\.rooms\('lobby', presence=Presence\(\)\)"):
        contexts[0].ws.join("lobby", presence={})
    assert contexts[0].ws.rooms == ["chat-1"]
    with pytest.raises(ValueError, match="at most 1024"):
        contexts[0].ws.join("chat-1", presence="x" * 1024)
    with pytest.raises(TypeError):
        contexts[0].ws.join("chat-1", presence=object())
    del client


def test_without_any_rule_presence_is_refused_and_costs_nothing() -> None:
    app = Odac(secret="x" * 32)
    refused: list[str] = []

    @app.route.ws("/", token=False)
    async def handler(odac: Context) -> None:
        for call in (lambda: odac.ws.join("a", presence={}), None):
            try:
                if call is None:
                    await app.route.ws_server.presence("a")
                else:
                    call()
            except ValueError as error:
                refused.append(str(error))

    with TestClient(app) as client, client.connect("/"):
        client.settle()
    assert len(refused) == 2
    assert all("app.rooms('a', presence=Presence())" in each for each in refused)


def test_rules_are_said_before_the_start_and_once() -> None:
    app = Odac(secret="x" * 32)
    app.rooms("a", presence=Presence())
    with pytest.raises(ConfigurationError, match="already"):
        app.rooms("a", presence=Presence())
    with pytest.raises(ConfigurationError, match="at least one of"):
        app.rooms("b")
    with TestClient(app), pytest.raises(ConfigurationError, match="before it starts"):
        app.rooms("b", presence=Presence())


def test_who_joins_in_a_middleware_is_seen_once_admitted_and_leaves_nothing_behind_when_refused() -> None:
    app = Odac(secret="x" * 32)
    app.rooms("a", presence=Presence())
    found: list[Members] = []

    @app.middleware("joins")
    async def joins(odac: Context) -> bool:
        odac.ws.join("a", presence={"early": True})
        found.append(await app.route.ws_server.presence("a"))
        if odac.request.path == "/left":
            odac.ws.leave("a")
        return odac.request.path == "/"

    for path in ("/", "/refused", "/left"):

        @app.route.use("joins").ws(path, token=False)
        async def handler(odac: Context) -> None:
            found.append(await app.route.ws_server.presence("a"))

    with TestClient(app) as client:
        for path in ("/refused", "/left"):
            with client.connect(path) as refused:
                assert refused.wait_closed()[0] == 4003
        with client.connect("/"):
            client.settle()
            assert [members.total for members in found] == [0, 0, 0, 1]
        assert app._rules.presence is not None
        assert app._rules.presence._early == {}


def test_a_test_sees_people_as_a_client_does(site: tuple[TestClient, Enter, list[Context]]) -> None:
    client, enter, _ = site
    ada = enter("Ada", "1")
    bob = enter("Bob", "2")
    assert sorted(person.data["name"] for person in ada.people("chat-1")) == ["Ada", "Bob"]
    bob.close()
    client.advance(GATHERED)
    assert [person.data["name"] for person in ada.presence[-1].left] == ["Bob"]
    assert [person.data["name"] for person in ada.people("chat-1")] == ["Ada"]


def test_a_user_who_is_asked_for_later_is_that_user_from_then_on() -> None:
    app = Odac(secret="x" * 32)
    app.rooms("a", presence=Presence())
    found: list[Members] = []

    @app.authenticate
    def user(request: Any) -> Any:
        return {"id": "ada"}

    @app.route.ws("/", token=False)
    async def handler(odac: Context) -> None:
        odac.ws.join("a", presence={"name": "Ada"})
        found.append(await app.route.ws_server.presence("a"))
        await odac.auth.user()
        found.append(await app.route.ws_server.presence("a"))

    with TestClient(app) as client, client.connect("/") as page:
        client.advance(GATHERED)
        before, after = found
        assert [name.partition(":")[0] for name in before.users] == ["connection"]
        assert list(after.users) == ["ada"]
        assert after.complete
        assert [person.data for person in page.people("a")] == [{"name": "Ada"}]


@pytest.mark.parametrize(("code", "stays"), [(1000, False), (4001, False), (4003, False), (1013, True), (4999, True)])
@pytest.mark.parametrize("side", ["server", "client", "user(…)"])
def test_the_close_code_says_whether_a_person_stays_whichever_side_closes(
    site: tuple[TestClient, Enter, list[Context]], side: str, code: int, stays: bool
) -> None:
    client, enter, contexts = site
    ada, bob = enter("Ada", "1"), enter("Bob", "2")
    if side == "client":
        bob.close(code)
    elif side == "server":
        contexts[1].ws.close(code)
    else:
        cast("Odac", client.app).route.ws_server.user("2").close(code)
    client.advance(GATHERED)
    assert [person.data["name"] for person in ada.people("chat-1")] == (["Ada", "Bob"] if stays else ["Ada"])
    client.advance(11.0)
    assert [person.data["name"] for person in ada.people("chat-1")] == ["Ada"]


def test_remote_control_takes_people_out_and_a_remote_join_shows_nobody(
    site: tuple[TestClient, Enter, list[Context]],
) -> None:
    client, enter, _ = site
    ada, bob = enter("Ada", "1"), enter("Bob", "2")
    server = cast("Odac", client.app).route.ws_server
    server.user("2").leave("chat-1")
    client.advance(GATHERED)
    assert [person.data["name"] for person in ada.people("chat-1")] == ["Ada"]
    assert bob.people("chat-1") == []
    server.user("2").join("chat-1")
    client.advance(GATHERED)
    assert [person.data["name"] for person in ada.people("chat-1")] == ["Ada"]
    bob.send({"name": "Robert"})
    client.advance(GATHERED)
    assert sorted(person.data["name"] for person in ada.people("chat-1")) == ["Ada", "Robert"]


def test_figures_count_people(site: tuple[TestClient, Enter, list[Context]]) -> None:
    client, enter, _ = site
    app = cast("Odac", client.app)
    assert app.figures()["presence_connections"] == 0
    enter("Ada", "1")
    enter("Bob", "2").drop()
    client.advance(GATHERED)
    figures = app.figures()
    assert (figures["presence_rooms"], figures["presence_connections"], figures["presence_away"]) == (1, 1, 1)


def test_a_client_that_is_recognised_after_its_middleware_joined_is_one_person() -> None:
    """Its connection has another id from then on."""
    app = Odac(secret="x" * 32)
    app.rooms("a", presence=Presence(grace=0.0))
    found: list[Members] = []

    @app.middleware("joins")
    def joins(odac: Context) -> bool:
        odac.ws.join("a", presence=1)
        app._hub.rename(odac.ws, "client.2")
        return True

    @app.route.use("joins").ws("/", token=False)
    async def handler(odac: Context) -> None:
        found.append(await app.route.ws_server.presence("a"))

    @app.route.ws("/ask", token=False)
    async def ask(odac: Context) -> None:
        found.append(await app.route.ws_server.presence("a"))

    with TestClient(app) as client:
        with client.connect("/"):
            client.advance(GATHERED)
        client.advance(GATHERED)
        with client.connect("/ask"):
            client.settle()
    assert [list(members.users) for members in found] == [["connection:client"], []]


def test_an_app_that_does_not_run_says_so() -> None:
    app = Odac(secret="x" * 32)
    app.rooms("a", presence=Presence())
    with TestClient(app):
        pass
    with pytest.raises(RuntimeError, match="is not running"):
        asyncio.run(app._hub.presence.members("a", 1.0))  # type: ignore[union-attr]
