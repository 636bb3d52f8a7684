"""The chat's server, without a browser: what it refuses, and what it tells whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from examples.chat import app as chat
from examples.chat.people import Names, Paces
from examples.chat.rooms import Rooms
from odac.testing import TestClient, TestConnection

ADA, BOB = {"id": "1", "name": "Ada"}, {"id": "2", "name": "Bob"}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(chat, "names", Names())
    monkeypatch.setattr(chat, "rooms", Rooms())
    monkeypatch.setattr(chat, "messages", Paces(burst=2, seconds=60.0))
    monkeypatch.setattr(chat, "entries", Paces(burst=3, seconds=60.0))
    monkeypatch.setattr(chat, "sign_ins", Paces(burst=3, seconds=600.0))
    with TestClient(chat.app) as client:
        yield client


def enter(client: TestClient, user: dict[str, str], room: str = "lobby") -> TestConnection:
    ws = client.connect(f"/ws/room/{room}", user=user)
    assert ws.receive()["type"] == "welcome"
    return ws


def of_type(ws: TestConnection, kind: str) -> list[Any]:
    """What has arrived of this kind; the list of rooms comes whenever it likes."""
    ws.settle()
    return [message for message in ws.unread if message["type"] == kind]


def test_a_stranger_may_not_enter(client: TestClient) -> None:
    assert client.connect("/ws/room/lobby").wait_closed()[0] == 4001
    assert client.http.get("/room/lobby").status == 401
    assert 'action="/sign-in"' in client.http.get("/room/lobby").text


def test_signing_in_leads_to_the_room(client: TestClient) -> None:
    answer = client.http.post(
        "/sign-in", headers={"content-type": "application/x-www-form-urlencoded"}, content=b"name=Ada&room=Tea+Time"
    )
    assert (answer.status, dict(answer.headers)["location"]) == (303, "/room/tea-time")
    page = client.http.get("/room/tea-time")
    assert 'data-room="tea-time"' in page.text
    assert 'data-name="Ada"' in page.text
    policy = dict(page.headers)["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in page.text
    assert " style=" not in page.text


def test_a_form_of_another_site_signs_nobody_in(client: TestClient) -> None:
    answer = client.http.post("/sign-in", headers={"sec-fetch-site": "cross-site"}, content=b"name=Ada")
    assert answer.status == 403
    assert "set-cookie" not in dict(answer.headers)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_form_of_another_site_signs_nobody_out(client: TestClient, site: str) -> None:
    client.http.post("/sign-in", content=b"name=Ada")
    answer = client.http.post("/sign-out", headers={"sec-fetch-site": site})
    assert answer.status == 403
    assert "set-cookie" not in dict(answer.headers)
    assert 'data-name="Ada"' in client.http.get("/room/lobby").text
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
    assert names_of(bob.people("lobby")) == ["Ada", "Bob"]
    bob.drop()
    client.advance(chat.GRACE / 2)
    assert names_of(ada.people("lobby")) == ["Ada", "Bob"]
    client.advance(chat.GRACE)
    assert names_of(ada.presence[-1].left) == ["Bob"]
    client.advance(chat.ROOMS_EVERY + 1)
    assert of_type(ada, "rooms")[-1]["rooms"][0] == {"name": "lobby", "people": 1}


def test_a_page_that_is_loaded_again_is_no_news(client: TestClient) -> None:
    ada = enter(client, ADA)
    enter(client, BOB).close(1001)
    client.advance(0.2)
    count = len(ada.presence)
    enter(client, BOB)
    client.advance(chat.GRACE * 2)
    assert len(ada.presence) == count
    assert names_of(ada.people("lobby")) == ["Ada", "Bob"]


def test_who_signs_out_has_left_at_once(client: TestClient) -> None:
    ada = enter(client, ADA)
    client.login(BOB)
    client.connect("/ws/room/lobby")
    client.advance(0.2)
    assert names_of(ada.people("lobby")) == ["Ada", "Bob"]
    client.http.post("/sign-out")
    client.advance(0.2)
    assert names_of(ada.people("lobby")) == ["Ada"]


def test_a_message_reaches_the_room_and_those_who_come_later(client: TestClient) -> None:
    ada = enter(client, ADA)
    other = enter(client, BOB, "kitchen")
    ada.send({"type": "say", "text": "  hello ", "key": "k"})
    message = of_type(ada, "message")[0]
    assert (message["from"], message["text"], message["key"]) == (ADA, "hello", "k")
    assert not of_type(other, "message")
    ada.send({"type": "typing", "on": True})
    later = client.connect("/ws/room/lobby", user=BOB)
    assert [each["text"] for each in of_type(later, "message")] == ["hello"]
    assert not of_type(later, "typing"), "nobody types who came before"


def test_a_page_that_was_away_misses_no_line(client: TestClient) -> None:
    ada, bob = enter(client, ADA), enter(client, BOB)
    bob.drop()
    ada.send({"type": "say", "text": "Milk?", "key": "k"})
    back = client.connect("/ws/room/lobby", user=BOB, again=bob)
    assert [each["text"] for each in of_type(back, "message")] == ["Milk?"]


def test_one_person_has_one_pace_in_all_tabs(client: TestClient) -> None:
    tabs = [enter(client, ADA), enter(client, ADA)]
    for number, ws in enumerate([*tabs, *tabs]):
        ws.send({"type": "say", "text": "hello", "key": str(number)})
    assert [message["key"] for message in of_type(tabs[0], "message")] == ["0", "1"]
    for ws, key in zip(tabs, "23", strict=True):
        (refused,) = of_type(ws, "refused")
        assert refused["key"] == key
        assert refused["reason"].startswith("You are sending too fast. Wait ")


@pytest.mark.parametrize(("text", "why"), [(" \n ", "empty"), ("x" * 2001, "2001 characters")])
def test_a_message_that_is_none(client: TestClient, text: str, why: str) -> None:
    ada = enter(client, ADA)
    ada.send({"type": "say", "text": text, "key": "k"})
    assert why in of_type(ada, "refused")[0]["reason"]
    assert not of_type(ada, "message")


@pytest.mark.parametrize(
    "junk",
    [7, None, [], "hello", {"type": "say"}, {"type": "say", "text": 7, "key": "k"}, {"type": "typing", "on": "yes"}],
)
def test_junk_is_answered_and_harms_nobody(client: TestClient, junk: object) -> None:
    ada = enter(client, ADA)
    ada.send(junk)
    assert of_type(ada, "refused")
    ada.send({"type": "say", "text": "still here", "key": "k"})
    assert of_type(ada, "message")


def test_typing_is_shown_to_the_others(client: TestClient) -> None:
    ada, bob = enter(client, ADA), enter(client, BOB)
    ada.send({"type": "typing", "on": True})
    assert of_type(bob, "typing") == [{"type": "typing", "id": "1", "on": True}]
    assert not of_type(ada, "typing")


def test_entering_too_often_is_forbidden(client: TestClient) -> None:
    for _ in range(3):
        enter(client, ADA).close()
    assert client.connect("/ws/room/lobby", user=ADA).wait_closed()[0] == 4003
    enter(client, BOB)


def test_a_room_name_that_is_not_allowed(client: TestClient) -> None:
    code, reason = client.connect("/ws/room/what%3F", user=ADA).wait_closed()
    assert code == 4003
    assert "room name is not allowed" in reason
    client.login(ADA)
    assert client.http.get("/room/what%3F").status == 404
    assert client.http.get("/open-room?name=what%3F").status == 400


def test_a_name_that_has_become_somebody_elses(client: TestClient) -> None:
    chat.names.sign_in("Ada")
    code, reason = client.connect("/ws/room/lobby", user=ADA).wait_closed()
    assert code == 4003
    assert "took your name" in reason


def test_an_announcement_wants_the_key(client: TestClient) -> None:
    ada, bob = enter(client, ADA), enter(client, BOB, "kitchen")
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {chat.ADMIN_KEY}"}):
        assert client.http.post("/announce", headers=headers, content=b"no").status == 401
    key = {"authorization": f"Bearer {chat.ADMIN_KEY}"}
    assert client.http.post("/announce", headers=key, content=b" ").status == 400
    assert client.http.post("/announce", headers=key, content="Tea é".encode()).status == 200
    for ws in (ada, bob):
        assert [message["text"] for message in of_type(ws, "announcement")] == ["Tea é"]
