"""The chat when something fails: what was written is said once, or the page says that it was not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.chat_visitors import KEY, Line, Visitor, visitors
from tests.browser.conftest import ServerProcess

MakeVisitor = Callable[..., Visitor]


@pytest.fixture(scope="module")
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    return start_server("examples.chat.app:app", {"CHAT_ADMIN_KEY": KEY})


@pytest.fixture
def visitor(chromium: Browser, server: ServerProcess) -> Iterator[MakeVisitor]:
    yield from visitors(chromium, server.url)


@pytest.mark.parametrize("arrived", [True, False], ids=["the server had it", "the server had it not"])
def test_a_message_whose_connection_is_cut_before_the_echo_is_sent_once(visitor: MakeVisitor, arrived: bool) -> None:
    ada, bob = visitor(lost_server=True), visitor()
    line = Line(ada.page)
    room = f"cut-{arrived}".lower()
    ada.enter(f"Ada {arrived}", room)
    bob.enter(f"Bob {arrived}", room)

    def cut(message: str) -> bool:
        if '"say"' not in message or line.is_cut:
            return True
        if arrived:
            line.on_answer = lambda _: False  # the server takes it; neither the echo nor the answer comes back
            bob_has_it.append(message)
        else:
            line.cut()
        return arrived

    bob_has_it: list[str] = []
    line.on_message = cut
    ada.say("exactly once")
    if arrived:
        bob.sees("exactly once")
        line.cut()
    line.on_message = line.on_answer = lambda _: True
    expect(ada.log.locator(".message.pending")).to_have_text(re.compile("exactly once"))
    line.mend()
    expect(ada.log.locator(".message.pending")).to_have_count(0)
    for person in (ada, bob):
        person.sees("exactly once")
        expect(person.message("exactly once")).to_have_count(1)
    # and once in what the room keeps
    ada.page.reload()
    ada.sees("exactly once")
    expect(ada.message("exactly once")).to_have_count(1)


def test_what_has_no_answer_is_not_sent_in_the_end(visitor: MakeVisitor) -> None:
    ada = visitor(lost_server=True)
    ada.page.clock.install()
    line = Line(ada.page)
    ada.enter("Patient", "silence")
    line.on_message = lambda message: '"say"' not in message
    ada.say("first")
    ada.say("second")
    expect(ada.log.locator(".message.pending")).to_have_count(2)
    for _ in range(3):
        ada.page.clock.fast_forward(61_000)
    refused = ada.log.locator(".message.refused")
    expect(refused).to_have_count(2)
    expect(refused.first).to_contain_text("Not sent.")
    expect(ada.page.locator("#not-sent-text")).to_have_text("2 messages are not sent.")

    line.on_message = lambda _: True
    ada.page.get_by_role("button", name="Send all again").click()
    expect(ada.box).to_be_focused()
    ada.page.clock.resume()
    ada.sees("first")
    ada.sees("second")
    expect(ada.log.locator(".message.refused, .message.pending")).to_have_count(0)
    expect(ada.page.locator("#not-sent")).not_to_be_visible()
    assert ada.log.locator(".message .bubble").all_inner_texts() == ["first", "second"]


def test_what_is_written_before_the_scripts_come_is_sent(visitor: MakeVisitor) -> None:
    ada = visitor()
    ada.enter("Early", "late-scripts")
    held: list[Route] = []
    ada.page.route("**/static/chat.js", lambda route: held.append(route))
    ada.page.goto(f"{ada.url}/room/late-scripts", wait_until="commit")
    ada.box.fill("Sent & without scripts")
    ada.page.get_by_role("button", name="Send").click()
    ada.page.wait_for_url(re.compile("/room/late-scripts$"), wait_until="commit")
    for route in held:
        route.continue_()
    ada.page.unroute("**/static/chat.js")
    ada.page.reload()
    ada.sees("Sent & without scripts")
    expect(ada.message("Sent & without scripts")).to_have_count(1)

    held.clear()
    ada.page.route("**/static/chat.js", lambda route: held.append(route))
    ada.page.goto(f"{ada.url}/room/late-scripts", wait_until="commit")
    ada.box.fill("begun early")
    ada.page.wait_for_function("() => performance.getEntriesByType('resource').length > 0")
    for route in held:
        route.continue_()
    ada.sees("Sent & without scripts")
    expect(ada.box).to_have_value("begun early")
    expect(ada.page.get_by_role("button", name="Send")).to_be_enabled()


def test_a_draft_and_the_queue_outlive_a_reload_and_another_room(visitor: MakeVisitor) -> None:
    ada, bob = visitor(lost_server=True), visitor()
    line = Line(ada.page)
    ada.enter("Keeper", "kept")
    bob.enter("Witness", "kept")
    line.cut()
    ada.say("queued")
    ada.box.fill("only begun")
    expect(ada.log.locator(".message.pending")).to_have_text(re.compile("queued"))

    ada.page.reload()
    expect(ada.log.locator(".message.pending")).to_have_text(re.compile("queued"))
    expect(ada.box).to_have_value("only begun")

    ada.page.get_by_role("link", name="kitchen").click()
    expect(ada.page.get_by_role("heading", name="kitchen")).to_be_visible()
    expect(ada.box).to_have_value("")
    expect(ada.log.locator(".message.pending")).to_have_count(0)
    kept = ada.page.locator("#rooms a", has_text="kept")
    expect(kept).to_contain_text("not sent")
    kept.click()
    expect(ada.box).to_have_value("only begun")
    line.mend()
    bob.sees("queued")
    ada.sees("queued")
    for person in (ada, bob):
        expect(person.message("queued")).to_have_count(1)


def test_signing_out_in_another_tab_is_shown(visitor: MakeVisitor) -> None:
    ada = visitor()
    ada.enter("Twice", "signed-out")
    other = visitor(beside=ada)
    other.page.goto(f"{ada.url}/room/signed-out")
    ada.box.fill("not finished")
    other.page.get_by_role("button", name="Sign out").click()
    expect(ada.banner).to_contain_text("You are signed out.")
    expect(ada.page.get_by_role("link", name="Sign in again")).to_be_visible()
    expect(ada.box).to_have_attribute("readonly", "")
    expect(ada.box).to_have_value("not finished")
    expect(ada.page.get_by_role("button", name="Send")).to_be_disabled()
    expect(ada.page.locator("#left")).to_have_text("You are signed out.")
    expect(ada.status).to_contain_text("Signed out")


def test_two_people_side_by_side_and_a_cut_connection(visitor: MakeVisitor) -> None:
    """What the page /two is for: to see with one's own eyes that nothing is lost."""
    page = visitor().page
    page.set_viewport_size({"width": 1500, "height": 800})
    page.goto(f"{visitor().url}/two?room=showcase")
    ada, bob = (page.frame_locator(f"iframe >> nth={number}") for number in (0, 1))
    for person in (ada, bob):
        expect(person.locator("#here-count")).to_have_text("2 here")
        expect(person.locator("#status")).to_contain_text(re.compile(r"\d+ ms"))

    def say(person: object, text: str) -> None:
        box = person.locator("#text")  # type: ignore[attr-defined]
        box.fill(text)
        box.press("Enter")

    say(ada, "before")
    expect(bob.locator(".message", has_text="before")).to_be_visible()
    expect(ada.locator(".tick")).to_have_attribute("data-tick", re.compile("stored|read"))

    ada.locator("#status").click()
    expect(ada.locator("#status-worker")).to_have_text(re.compile(r"^\d+$"))
    expect(ada.get_by_role("button", name="Kill this worker")).not_to_be_visible()
    ada.get_by_role("button", name="Cut my connection").click()
    expect(ada.locator("#status")).to_contain_text("Reconnecting")
    say(ada, "while away")
    say(bob, "missed one")
    say(bob, "missed two")
    expect(ada.locator("#banner-text")).to_have_text("You are back: 1 sent, 2 caught up.")
    expect(ada.locator(".new")).to_have_text("You stopped reading here")
    assert ada.locator(".new + .message .bubble").inner_text() == "missed one"
    texts = ada.locator(".message .bubble").all_inner_texts()
    assert sorted(texts) == ["before", "missed one", "missed two", "while away"]
    # nobody has left, for the cut was shorter than the grace
    expect(bob.locator(".log")).not_to_contain_text(" left")
    # the others have read it
    expect(ada.locator(".message", has_text="while away").locator(".tick")).to_have_attribute("data-tick", "read")
    expect(ada.locator(".message", has_text="while away").locator(".tick")).to_have_attribute(
        "aria-label", re.compile("^Read by ")
    )


def test_the_next_attempt_is_made_when_the_visitor_wants_it(
    chromium: Browser, start_server: Callable[..., ServerProcess]
) -> None:
    server = start_server("examples.chat.app:app")
    people = visitors(chromium, server.url)
    ada = next(people)(lost_server=True)
    ada.page.clock.install()
    ada.enter("Ada", "impatient")
    expect(ada.page.locator("#status")).to_contain_text("Connected")
    server.kill()
    expect(ada.page.locator("#status")).to_contain_text("Reconnecting")
    # From here on no timer fires in the page: the retry that it waits for never comes by itself.
    ada.page.clock.pause_at(ada.page.evaluate("Date.now() + 1"))
    server.start_again()
    ada.page.locator("#status").click()
    ada.page.get_by_role("button", name="Try again now").click()
    expect(ada.page.locator("#status")).to_contain_text("Connected", timeout=30_000)
    expect(ada.page.locator("#retry")).to_be_hidden()
    assert next(people, None) is None


@pytest.mark.slow
def test_the_worker_is_killed_from_the_page(chromium: Browser, start_server: Callable[..., ServerProcess]) -> None:
    server = start_server("examples.chat.app:app", {"CHAT_DEMO": "1"}, ["--workers", "2"])
    people = visitors(chromium, server.url)
    visitor = next(people)
    ada, bob = visitor(lost_server=True), visitor(lost_server=True)
    ada.enter("Ada", "killed")
    bob.enter("Bob", "killed")
    ada.say("before")
    bob.sees("before")
    worker = ada.page.locator("#status-worker")
    ada.status.click()
    expect(worker).to_have_text(re.compile(r"^\d+$"))
    before = worker.inner_text()
    ada.page.get_by_role("button", name="Kill this worker").click()
    ada.say("through the crash")
    bob.sees("through the crash")
    ada.sees("through the crash")
    expect(ada.message("through the crash")).to_have_count(1)
    expect(ada.banner).to_contain_text("You are back")
    expect(worker).to_have_text(re.compile(rf"^(?!{before})\d+$"))
    ada.sees("before")
    next(people, None)
    server.stop()


def test_before_the_first_connection_nothing_is_reported_as_lost(visitor: MakeVisitor) -> None:
    ada = visitor(lost_server=True)
    ada.enter("First", "first")
    line = Line(ada.page)
    line.is_cut = True
    ada.page.goto(f"{ada.url}/room/first")
    expect(ada.banner).to_contain_text("There is no connection yet.")
    expect(ada.page.locator("#here-count")).to_have_text("Connecting…")
    expect(ada.page.get_by_text("was lost")).to_have_count(0)
    line.mend()
    expect(ada.page.locator("#here-count")).to_have_text("Only you")


def test_all_tabs_share_the_connection_for_the_news(visitor: MakeVisitor, server: ServerProcess) -> None:
    ada, bob = visitor(), visitor()
    ada.enter("Tabs", "tab-one")
    bob.enter("Speaker", "elsewhere")
    tabs = [visitor(beside=ada) for _ in range(2)]
    for tab in tabs:
        tab.page.goto(f"{ada.url}/room/tab-two")
        expect(tab.people.get_by_text("Tabs", exact=True)).to_be_attached()
    bob.say("@Tabs look here")
    for tab in (ada, *tabs):
        expect(tab.page.locator("#rooms a", has_text="elsewhere")).to_contain_text("@ 1")
    # three rooms' connections and one for the news; and Bob's two
    headers = {"Authorization": f"Bearer {KEY}"}
    for _ in range(200):
        if httpx.post(f"{server.url}/announce", content="x", headers=headers).json()["connections"] == 6:
            break
        ada.page.wait_for_timeout(100)
    else:
        pytest.fail("the tabs do not share one connection")
