"""The chat's server, without a browser: what it refuses, and what it tells whom."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.chat import archive, core, demo, guests, news, web
from examples.chat.app import app
from examples.chat.people import Names, Paces, Person
from examples.chat.rooms import Rooms
from odac import CallError
from odac.request import Request
from odac.testing import TestClient, TestConnection

ROOT = Path(__file__).parents[3]
ADA, BOB = {"id": "1", "name": "Ada"}, {"id": "2", "name": "Bob"}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(core.state, "names", Names())
    monkeypatch.setattr(core.state, "rooms", Rooms())
    monkeypatch.setattr(core.state, "messages", Paces(burst=2, seconds=60.0))
    monkeypatch.setattr(core.state, "lookups", Paces(burst=20, seconds=60.0))
    monkeypatch.setattr(core.state, "entries", Paces(burst=4, seconds=60.0))
    monkeypatch.setattr(core.state, "sign_ins", Paces(burst=3, seconds=600.0))
    with TestClient(app) as client:
        yield client


def enter(client: TestClient, user: dict[str, str], room: str = "tea") -> TestConnection:
    ws = client.connect(f"/ws/room/{room}", user=user)
    assert of_type(ws, "welcome")
    return ws


def of_type(ws: TestConnection, kind: str) -> list[Any]:
    """What has arrived of this kind; the list of rooms comes whenever it likes."""
    ws.settle()
    return [message for message in ws.unread if message["type"] == kind]


def settings_of(page: str) -> dict[str, Any]:
    """What the page's scripts are told."""
    found = re.search(r'data-settings="([^"]*)"', page)
    assert found
    settings: dict[str, Any] = json.loads(html.unescape(found[1]))
    return settings


def say(ws: TestConnection, text: str, key: str = "k", *, again: bool = False) -> Any:
    return ws.call("say", {"text": text, "key": key, "again": again})


def refused(ws: TestConnection, name: str, arguments: object) -> CallError:
    with pytest.raises(CallError) as caught:
        ws.call(name, arguments)
    return caught.value


def test_a_client_without_a_login_may_not_enter(client: TestClient) -> None:
    assert client.connect("/ws/room/tea").wait_closed()[0] == 4001
    assert client.http.get("/room/lobby").status == 401
    assert 'action="/sign-in"' in client.http.get("/room/lobby").text


def test_signing_in_leads_to_the_room(client: TestClient) -> None:
    answer = client.http.post(
        "/sign-in", headers={"content-type": "application/x-www-form-urlencoded"}, content=b"name=Ada&room=Tea+Time"
    )
    assert (answer.status, dict(answer.headers)["location"]) == (303, "/room/tea-time")
    page = client.http.get("/room/tea-time")
    assert settings_of(page.text)["room"] == "tea-time"
    assert settings_of(page.text)["name"] == "Ada"
    policy = dict(page.headers)["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in page.text
    assert " style=" not in page.text


def test_a_form_of_another_site_cannot_sign_in(client: TestClient) -> None:
    answer = client.http.post("/sign-in", headers={"sec-fetch-site": "cross-site"}, content=b"name=Ada")
    assert answer.status == 403
    assert "set-cookie" not in dict(answer.headers)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://testserver.evil.example", "junk", "http://["]
)
def test_browsers_that_send_no_fetch_metadata_over_plain_http_send_the_origin(client: TestClient, origin: str) -> None:
    host = "chat.example:8000"
    for path in ("/sign-in", "/sign-out", "/room/tea/say"):
        client.login(ADA)
        answer = client.http.post(path, headers={"host": host, "origin": origin}, content=b"name=Eve&text=hello")
        assert answer.status == 403
    own = {"host": host, "origin": f"http://{host}"}
    assert client.http.post("/room/tea/say", headers=own, content=b"text=hello").status == 303


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_form_of_another_site_cannot_sign_out(client: TestClient, site: str) -> None:
    client.http.post("/sign-in", content=b"name=Ada")
    answer = client.http.post("/sign-out", headers={"sec-fetch-site": site})
    assert answer.status == 403
    assert "set-cookie" not in dict(answer.headers)
    assert settings_of(client.http.get("/room/lobby").text)["name"] == "Ada"
    assert client.http.post("/sign-out", headers={"sec-fetch-site": "same-origin"}).status == 303
    assert client.http.get("/room/lobby").status == 401


def test_one_client_takes_a_bounded_number_of_names(client: TestClient) -> None:
    answers = [client.http.post("/sign-in", content=f"name=Ada{'x' * n}".encode()).status for n in range(5)]
    assert answers == [303, 303, 303, 429, 429]


def test_a_body_without_end_is_cut_off(client: TestClient) -> None:
    assert client.http.post("/sign-in", content=b"name=" + b"x" * 20_000).status == 413


def test_names_are_escaped_in_pages(client: TestClient) -> None:
    client.login({"id": "3", "name": '"><script>alert(1)</script>'})
    page = client.http.get("/room/lobby").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def names_of(people: list[Any]) -> list[str]:
    return [person.data["name"] for person in people]


def test_who_comes_and_goes(client: TestClient) -> None:
    ada = enter(client, ADA)
    client.advance(0.2)
    bob = enter(client, BOB)
    client.advance(0.2)
    assert names_of(ada.presence[-1].joined) == ["Bob"]
    assert names_of(bob.people("tea")) == ["Ada", "Bob"]
    bob.drop()
    client.advance(core.GRACE / 2)
    assert names_of(ada.people("tea")) == ["Ada", "Bob"]
    client.advance(core.GRACE)
    assert names_of(ada.presence[-1].left) == ["Bob"]
    client.advance(news.ROOMS_EVERY + 1)
    bob_again = client.connect("/ws/news", user=BOB)
    assert bob_again.call("rooms")[-1] == {"name": "tea", "people": 1}


def test_a_page_that_is_loaded_again_is_no_news(client: TestClient) -> None:
    ada = enter(client, ADA)
    enter(client, BOB).close(1001)
    client.advance(0.2)
    count = len(ada.presence)
    enter(client, BOB)
    client.advance(core.GRACE * 2)
    assert len(ada.presence) == count
    assert names_of(ada.people("tea")) == ["Ada", "Bob"]


def test_who_signs_out_has_left_at_once(client: TestClient) -> None:
    ada = enter(client, ADA)
    client.login(BOB)
    client.connect("/ws/room/tea")
    client.advance(0.2)
    assert names_of(ada.people("tea")) == ["Ada", "Bob"]
    client.http.post("/sign-out")
    client.advance(0.2)
    assert names_of(ada.people("tea")) == ["Ada"]


def test_a_message_reaches_the_room_and_later_members(client: TestClient) -> None:
    ada = enter(client, ADA)
    other = enter(client, BOB, "kitchen")
    answer = say(ada, "  hello ")
    message = of_type(ada, "message")[0]
    assert (message["from"], message["text"], message["id"]) == (ADA, "hello", "1.k")
    assert answer == {"at": message["at"], "stored": True}
    assert not of_type(other, "message")
    ada.send({"type": "typing", "on": True})
    later = client.connect("/ws/room/tea", user=BOB)
    assert [each["text"] for each in of_type(later, "message")] == ["hello"]
    assert not of_type(later, "typing"), "nobody types who came before"


def test_a_page_that_was_away_misses_no_line(client: TestClient) -> None:
    ada, bob = enter(client, ADA), enter(client, BOB)
    say(ada, "Tea?")
    bob.drop()
    say(ada, "Milk?")
    back = client.connect("/ws/room/tea", user=BOB, again=bob)
    assert [each["text"] for each in of_type(back, "message")] == ["Milk?"]
    assert [told.recovered for told in back.recoveries if told.room == "tea"] == [True]


def test_a_message_that_is_sent_again_is_said_once(client: TestClient) -> None:
    """The page lost its connection before the answer, and cannot know whether the first try had arrived."""
    ada = enter(client, ADA)
    first = say(ada, "Milk?")
    ada.drop()
    back = client.connect("/ws/room/tea", user=ADA, again=ada)
    assert say(back, "Milk?", again=True) == first
    assert say(back, "Bread?", "other", again=True)["stored"], "one that had not arrived is said now"
    assert say(enter(client, BOB), "Mine!", again=True)["at"] >= first["at"], "another person's key is another message"
    assert [each["text"] for each in of_type(enter(client, BOB), "message")] == ["Milk?", "Bread?", "Mine!"]


def test_one_person_has_one_pace_in_all_tabs(client: TestClient) -> None:
    tabs = [enter(client, ADA), enter(client, ADA)]
    for number, ws in enumerate(tabs):
        say(ws, "hello", str(number))
    assert [message["id"] for message in of_type(tabs[0], "message")] == ["1.0", "1.1"]
    for ws in tabs:
        error = refused(ws, "say", {"text": "more", "key": "m"})
        assert error.code == "slow"
        assert error.text.startswith("You are sending too fast. Wait ")


@pytest.mark.parametrize(("text", "why"), [(" \n ", "empty"), ("x" * 2001, "2001 characters")])
def test_a_message_that_is_none(client: TestClient, text: str, why: str) -> None:
    ada = enter(client, ADA)
    error = refused(ada, "say", {"text": text, "key": "k"})
    assert error.code == "refused"
    assert why in error.text
    assert not of_type(ada, "message")


@pytest.mark.parametrize("key", ["", "a key", "x" * 41, "1.k"])
def test_a_key_that_is_none(client: TestClient, key: str) -> None:
    assert refused(enter(client, ADA), "say", {"text": "hello", "key": key}).code == "refused"


@pytest.mark.parametrize("junk", [7, None, [], "hello", {"type": "say"}, {"type": "typing", "on": "yes"}])
def test_invalid_messages_are_answered_and_affect_no_other(client: TestClient, junk: object) -> None:
    ada = enter(client, ADA)
    ada.send(junk)
    assert of_type(ada, "notice")
    assert say(ada, "still here")["stored"]


@pytest.mark.parametrize("name", ["say", "edit", "delete", "react", "older", "search"])
@pytest.mark.parametrize("junk", [7, [], {"text": 7, "id": 7}])
def test_a_call_with_junk_is_refused(client: TestClient, name: str, junk: object) -> None:
    ada = enter(client, ADA)
    assert refused(ada, name, junk).code in ("invalid", "refused")
    assert say(ada, "still here")["stored"]


def test_typing_is_shown_to_the_others(client: TestClient) -> None:
    ada, bob = enter(client, ADA), enter(client, BOB)
    ada.send({"type": "typing", "on": True})
    assert of_type(bob, "typing") == [{"type": "typing", "id": "1", "on": True}]
    assert not of_type(ada, "typing")


def test_how_far_somebody_has_read_is_seen(client: TestClient) -> None:
    ada, bob = enter(client, ADA), enter(client, BOB)
    client.advance(0.2)
    bob.send({"type": "read", "at": 7})
    client.advance(0.2)
    assert [person.data for person in ada.people("tea")] == [ADA, {**BOB, "read": 7}]


def test_only_its_author_changes_a_message(client: TestClient) -> None:
    ada, bob = enter(client, ADA), enter(client, BOB)
    say(ada, "Milk")
    for name, arguments in (("edit", {"id": "1.k", "text": "mine"}), ("delete", "1.k")):
        assert refused(bob, name, arguments).code == "refused"
    ada.call("edit", {"id": "1.k", "text": "Oat milk"})
    assert of_type(bob, "edit") == [{"type": "edit", "id": "1.k", "text": "Oat milk"}]
    assert refused(ada, "edit", {"id": "1.k", "text": " "}).code == "refused"


def test_only_what_may_be_a_message_is_changed(client: TestClient) -> None:
    ada, bob = enter(client, ADA), enter(client, BOB)
    for id_ in ("1." + "x" * 41, "1.", "1.a b"):
        assert refused(ada, "edit", {"id": id_, "text": "junk"}).code == "refused"
        assert refused(ada, "delete", id_).code == "refused"
        assert refused(ada, "react", {"id": id_, "emoji": "👍", "on": True}).code == "refused"
    assert of_type(bob, "edit") == of_type(bob, "delete") == of_type(bob, "react") == []


def test_reactions(client: TestClient) -> None:
    ada, bob = enter(client, ADA), enter(client, BOB)
    say(ada, "Milk")
    bob.call("react", {"id": "1.k", "emoji": "👍", "on": True})
    assert of_type(ada, "react") == [{"type": "react", "id": "1.k", "by": BOB, "emoji": "👍", "on": True}]
    assert refused(bob, "react", {"id": "1.k", "emoji": "<b>", "on": True}).code == "refused"


def test_older_messages_come_as_they_are_now(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.state, "messages", Paces(burst=1000, seconds=1.0))
    ada, bob = enter(client, ADA), enter(client, BOB)
    for number in range(120):
        say(ada, f"line {number}", str(number))
        client.advance(0.05)
    ada.call("edit", {"id": "1.3", "text": "changed"})
    ada.call("delete", "1.4")
    bob.call("react", {"id": "1.5", "emoji": "🎉", "on": True})
    newest = bob.call("older", {"id": None, "count": 100})
    assert [each["id"] for each in newest["messages"]] == [f"1.{number}" for number in range(20, 120)]
    assert newest["more"]
    first = bob.call("older", {"id": "1.20", "count": 100})
    assert [each["id"] for each in first["messages"]] == [f"1.{number}" for number in range(20)]
    assert not first["more"]
    (three, four, five) = first["messages"][3:6]
    assert (three["text"], three["edited"]) == ("changed", True)
    assert (four["text"], four["deleted"]) == ("", True)
    assert five["reactions"] == {"🎉": {"2": "Bob"}}
    assert bob.call("older", {"id": "unknown"}) == {"messages": [], "more": False}


def test_search_finds_what_is_there_now(client: TestClient) -> None:
    ada = enter(client, ADA)
    say(ada, "Oat milk", "a")
    say(ada, "MILK", "b")
    assert [each["text"] for each in ada.call("search", "milk")] == ["MILK", "Oat milk"]
    assert ada.call("search", "tea") == ada.call("search", "  ") == []


def test_unread_messages_of_other_rooms_are_counted(client: TestClient) -> None:
    bob = enter(client, BOB)
    news_of_ada = client.connect("/ws/news", user=ADA)
    at = say(bob, "Hello @ada, and @Adam", "a")["at"]
    (told,) = of_type(news_of_ada, "said")
    assert (told["room"], told["message"]["text"]) == ("tea", "Hello @ada, and @Adam")
    client.advance(1)
    say(bob, "Where is @Adam?", "b")
    assert news_of_ada.call("unread", {"tea": at - 1, "kitchen": 0}) == {"tea": {"count": 2, "mentions": 1}}
    assert client.connect("/ws/news", user=BOB).call("unread", {"tea": 0}) == {}
    assert news_of_ada.call("rooms")[-1] == {"name": "tea", "people": 1}


@pytest.mark.parametrize("room", ["@news", "@opened", "", "x" * 300, "\0", "Tea"])
def test_what_is_no_room_has_nothing_unread(client: TestClient, room: str, caplog: pytest.LogCaptureFixture) -> None:
    bob, news_of_ada = enter(client, BOB), client.connect("/ws/news", user=ADA)
    say(bob, "Hello")
    assert list(news_of_ada.call("unread", {room: 0, "tea": 0})) == ["tea"]
    assert "Traceback" not in caplog.text
    assert room not in archive._archives


def test_the_list_of_rooms_is_sent_when_it_has_changed(client: TestClient) -> None:
    ada = client.connect("/ws/news", user=ADA)
    enter(client, BOB, "chess")
    client.advance(1)
    assert [each["rooms"][-1] for each in of_type(ada, "rooms")] == [{"name": "chess", "people": 1}]
    client.advance(news.ROOMS_EVERY * 3)
    assert len(of_type(ada, "rooms")) == 1


def test_the_lobby_is_not_empty_at_the_first_visit(client: TestClient) -> None:
    first = [each["text"] for each in of_type(client.connect("/ws/room/lobby", user=ADA), "message")]
    assert first
    assert [each["text"] for each in of_type(client.connect("/ws/room/lobby", user=BOB), "message")] == first


def test_a_connection_that_is_cut_on_request_stays_away_for_a_while(client: TestClient) -> None:
    ada, bob = enter(client, ADA), enter(client, BOB)
    assert refused(ada, "cut", None).code == "interrupted"
    assert ada.wait_closed()[0] == 1012
    assert ada.close_code == 1012
    started = client.connect("/ws/room/tea", user=BOB)
    assert started.receive()["type"] == "welcome", "nobody else waits"
    assert bob.close_code is None
    back = client.connect("/ws/room/tea", user=ADA, again=ada)
    client.advance(demo.CUT_FOR + 0.1)
    assert back.receive()["type"] == "welcome"
    client.advance(1)
    assert sum(person.data["name"] == "Ada" for person in bob.people("tea")) == 1
    assert not bob.presence[-1].left, "who was cut has not left"


LOCAL = {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}


@pytest.mark.parametrize(
    ("flag", "ip", "headers", "may"),
    [
        ("1", "127.0.0.1", LOCAL, True),
        ("1", "::1", {"host": "[::1]:8000", "origin": "http://[::1]:8000"}, True),
        ("1", "::1", {"host": "[::1]", "origin": "http://[::1]"}, True),
        ("1", "127.0.0.1", {"host": "localhost", "origin": "http://localhost"}, True),
        ("", "127.0.0.1", LOCAL, False),
        ("1", "192.0.2.1", LOCAL, False),
        ("1", "127.0.0.1", {**LOCAL, "host": "chat.example:8000"}, False),
        ("1", "127.0.0.1", {**LOCAL, "origin": "https://chat.example"}, False),
        ("1", "127.0.0.1", {**LOCAL, "origin": "null"}, False),
        ("1", "127.0.0.1", {"host": "127.0.0.1:8000"}, False),
        ("1", "127.0.0.1", {**LOCAL, "x-forwarded-for": "192.0.2.1"}, False),
        ("1", "127.0.0.1", {**LOCAL, "via": "1.1 proxy"}, False),
        ("1", "127.0.0.1", {}, False),
    ],
)
def test_who_may_kill_a_worker(
    monkeypatch: pytest.MonkeyPatch, flag: str, ip: str, headers: dict[str, str], may: bool
) -> None:
    monkeypatch.setenv("CHAT_DEMO", flag)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert demo.can_kill(Request({"headers": raw, "client": (ip, 5), "path": "/"})) is may


def test_a_worker_cannot_be_killed_without_the_flag(client: TestClient) -> None:
    assert refused(enter(client, ADA), "kill", None).code == "refused"


def test_a_message_by_http_for_pages_whose_scripts_are_late(client: TestClient) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert client.http.post("/room/tea/say", content=b"text=hello").status == 401
    client.login(ADA)
    bob = enter(client, BOB)
    client.login(ADA)
    answer = client.http.post("/room/tea/say", headers=form, content="text=Grüße%0D%0Aaus".encode())
    assert (answer.status, dict(answer.headers)["location"]) == (303, "/room/tea")
    assert [each["text"] for each in of_type(bob, "message")] == ["Grüße\naus"]
    assert (
        client.http.post("/room/tea/say", headers={**form, "sec-fetch-site": "cross-site"}, content=b"text=x").status
        == 403
    )
    long = client.http.post("/room/tea/say", headers=form, content=b"text=" + b"x" * 2001)
    assert long.status == 409
    assert "x" * 2001 in long.text, "what was written is not lost"
    assert "At most 2000 fit" in long.text


def test_a_name_that_has_become_somebody_elses_says_nothing_by_http(client: TestClient) -> None:
    client.login(ADA)
    bob = enter(client, BOB)
    client.login(ADA)
    core.state.names.sign_in("Ada")
    answer = client.http.post("/room/tea/say", content=b"text=hello")
    assert answer.status == 409
    assert "took your name" in answer.text
    assert of_type(bob, "message") == []


def test_two_people_in_one_browser(client: TestClient) -> None:
    assert "frame-src 'self'" in dict(client.http.get("/two").headers)["content-security-policy"]
    left, right = (settings_of(client.http.get(f"/two/{side}/room/tea").text) for side in guests.SIDES)
    assert left["name"] != right["name"]
    page = client.http.get("/two/left/room/kitchen")
    assert settings_of(page.text)["id"] == left["id"], "the frame is the same person in every room"
    assert "frame-ancestors 'self'" in dict(page.headers)["content-security-policy"]
    assert client.http.get("/two/middle/room/tea").status == 404
    person = guests.read(left["token"])
    assert person == Person(left["id"], left["name"])


def test_a_guest_may_write_before_the_scripts_have_come(client: TestClient) -> None:
    left = settings_of(client.http.get("/two/left/room/tea").text)
    bob = enter(client, BOB)
    answer = client.http.post("/two/left/room/tea/say", content=b"text=early")
    assert dict(answer.headers)["location"] == "/two/left/room/tea"
    assert [each["from"]["id"] for each in of_type(bob, "message")] == [left["id"]]


@pytest.mark.parametrize("forged", ["", ".", "abc", "e30=.abc", "\u00e9.\u00e9"])
def test_a_guest_is_nobody_without_the_servers_signature(forged: str) -> None:
    assert guests.read(forged) is None


def test_a_page_that_does_not_exist(client: TestClient) -> None:
    page = client.http.get("/nonexistent")
    assert page.status == 404
    assert "There is nothing at this address." in page.text
    assert "Go to the lobby" in page.text


def test_pages_other_than_frames_cannot_be_framed(client: TestClient) -> None:
    client.login(ADA)
    for path in ("/room/tea", "/two", "/nonexistent"):
        assert "frame-ancestors 'none'" in dict(client.http.get(path).headers)["content-security-policy"]


def test_entering_too_often_is_forbidden(client: TestClient) -> None:
    for _ in range(4):
        enter(client, ADA).close()
    assert client.connect("/ws/room/tea", user=ADA).wait_closed()[0] == 4003
    enter(client, BOB)


def test_a_room_name_that_is_not_allowed(client: TestClient) -> None:
    code, reason = client.connect("/ws/room/what%3F", user=ADA).wait_closed()
    assert code == 4003
    assert "room name is not allowed" in reason
    client.login(ADA)
    assert client.http.get("/room/what%3F").status == 404
    assert client.http.get("/open-room?name=what%3F").status == 400


def test_a_name_that_has_become_somebody_elses(client: TestClient) -> None:
    core.state.names.sign_in("Ada")
    code, reason = client.connect("/ws/room/tea", user=ADA).wait_closed()
    assert code == 4003
    assert "took your name" in reason


def test_an_announcement_wants_the_key(client: TestClient) -> None:
    ada, bob = enter(client, ADA), enter(client, BOB, "kitchen")
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {web.ADMIN_KEY}"}):
        assert client.http.post("/announce", headers=headers, content=b"no").status == 401
    key = {"authorization": f"Bearer {web.ADMIN_KEY}"}
    assert client.http.post("/announce", headers=key, content=b" ").status == 400
    assert client.http.post("/announce", headers=key, content="Tea é".encode()).status == 200
    for ws in (ada, bob):
        assert [message["text"] for message in of_type(ws, "announcement")] == ["Tea é"]


@pytest.mark.parametrize(("name", "arguments"), [("search", "tea"), ("older", {"count": 1})])
def test_looking_things_up_has_a_pace(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, name: str, arguments: object
) -> None:
    monkeypatch.setattr(core.state, "lookups", Paces(burst=2, seconds=1.0, clock=lambda: 0.0))
    ada, bob = enter(client, ADA), enter(client, BOB)
    for _ in range(2):
        ada.call(name, arguments)
    assert refused(ada, name, arguments).code == "slow"
    bob.call(name, arguments)  # each person has one


BROKER_AWAY = """
from examples.chat.app import app
from odac import CallError
from odac.testing import TestClient

with TestClient(app) as client:
    ada = client.connect("/ws/room/tea", user={"id": "1", "name": "Ada"})
    assert ada.call("say", {"text": "Milk?", "key": "k"})["stored"]
    client.lose_broker()
    for name, arguments in (
        ("say", {"text": "Bread?", "key": "other"}),
        ("edit", {"id": "1.k", "text": "Tea?"}),
        ("react", {"id": "1.k", "emoji": "\N{EYES}", "on": True}),
        ("delete", "1.k"),
        ("older", {}),
        ("search", "Milk"),
    ):
        try:
            ada.call(name, arguments, timeout=30)
        except CallError as refused:
            print(name, refused.code)
    client.restore_broker()
    print(*(message["text"] for message in ada.call("older", {})["messages"]))
"""


def test_without_the_broker_each_call_is_refused_in_words() -> None:
    """In a process of its own: the chat chooses its broker when it is imported, and only one with a name can be lost."""
    environment = {
        **os.environ,
        "ODAC_BROKER": "memory://chat",
        "ODAC_SECRET": "0123456789abcdef" * 2,
    }
    done = subprocess.run(
        [sys.executable, "-c", BROKER_AWAY],
        env=environment,
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    refused = [f"{name} away" for name in ("say", "edit", "react", "delete", "older", "search")]
    assert done.stdout.splitlines() == [*refused, "Milk?"]
    assert "Traceback" not in done.stderr
