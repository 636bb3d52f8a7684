"""The chat example, as people use it: in a real browser, two of them, on a desk and on a phone."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from odac import Publisher
from tests.browser.chat_visitors import DESK, KEY, PHONE, Visitor, visitors
from tests.browser.conftest import ServerProcess
from tests.integration.brokers.servers import SERVERS


@pytest.fixture(scope="module")
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    return start_server("examples.chat.app:app", {"CHAT_ADMIN_KEY": KEY})


@pytest.fixture
def visitor(chromium: Browser, server: ServerProcess) -> Iterator[Callable[..., Visitor]]:
    yield from visitors(chromium, server.url)


def test_two_people_talk(visitor: Callable[..., Visitor]) -> None:
    ada, bob = visitor(), visitor()
    ada.enter("Ada Lovelace", "talk")
    expect(ada.page.get_by_text("It is quiet in #talk")).to_be_visible()
    bob.enter("Bob", "talk")

    # who is here, and a line when somebody arrives
    expect(ada.log.get_by_text("Bob came in")).to_be_visible()
    for person in (ada, bob):
        expect(person.people.locator(".who")).to_have_count(2)
        expect(person.page.locator("#here-count")).to_have_text("2 here")

    # typing, until the message is there
    bob.box.press_sequentially("Hello")
    expect(ada.page.get_by_text("Bob is typing…")).to_be_visible()
    bob.box.press("Enter")
    ada.sees("Hello")
    bob.sees("Hello")
    expect(ada.page.get_by_text("Bob is typing…")).not_to_be_visible()

    ada.say("Good morning, Bob")
    bob.sees("Good morning, Bob")
    message = bob.log.locator(".message", has_text="Good morning")
    expect(message.locator(".author")).to_have_text("Ada Lovelace")
    expect(message.locator(".avatar")).to_have_text("AL")
    expect(message.locator("time")).to_have_attribute("datetime", re.compile(r"^20\d\d-.*Z$"))

    # a page that is loaded again shows what was said, and is nobody leaving
    bob.page.reload()
    bob.sees("Good morning, Bob")
    expect(bob.log.locator(".message")).to_have_count(2)

    bob.page.close()
    expect(ada.log.get_by_text("Bob left")).to_be_visible()
    expect(ada.page.locator("#here-count")).to_have_text("Only you")
    expect(ada.log.get_by_text("Bob came in")).to_have_count(1)


def test_enter_before_the_script_has_loaded_sends_once_it_has(visitor: Callable[..., Visitor]) -> None:
    ada = visitor()
    ada.enter("Eager", "early")
    held: list[Route] = []
    ada.page.route("**/static/chat.js", lambda route: held.append(route))
    ada.page.add_init_script(
        """document.addEventListener('load', ({target}) => {
          if (target.src?.endsWith('/early.js')) window.earlyHasRun = true
        }, true)"""
    )
    with ada.page.expect_request("**/static/chat.js"):
        ada.page.reload(wait_until="commit")
    ada.page.wait_for_function("() => window.earlyHasRun")
    ada.box.press_sequentially("Hello")
    ada.box.press("Shift+Enter")
    ada.box.press_sequentially("world")
    ada.box.press("Enter")
    ada.box.press_sequentially("!")
    expect(ada.box).to_have_value("Hello\nworld")
    held[0].continue_()
    expect(ada.log.locator(".message")).to_have_count(1)
    ada.sees("Hello world")
    expect(ada.box).to_have_value("")
    ada.say("and on")
    ada.sees("and on")
    expect(ada.log.locator(".message")).to_have_count(2)


def test_a_message_reaches_only_its_room(visitor: Callable[..., Visitor]) -> None:
    ada, bob = visitor(), visitor()
    ada.enter("Ada", "left-room")
    bob.enter("Bert", "right-room")
    ada.say("only for the left")
    ada.sees("only for the left")
    bob.say("only for the right")
    bob.sees("only for the right")
    expect(bob.log.locator(".message")).to_have_count(1)
    # each sees that the other's room is there, and can walk over
    ada.page.get_by_role("link", name="right-room").click()
    expect(ada.page.get_by_role("heading", name="right-room")).to_be_visible()
    ada.sees("only for the right")


def test_a_lost_server_comes_back(visitor: Callable[..., Visitor], server: ServerProcess) -> None:
    ada, bob = visitor(lost_server=True), visitor(lost_server=True)
    ada.enter("Ann", "storm")
    bob.enter("Ben", "storm")
    ada.say("before")
    bob.sees("before")

    server.kill()
    expect(ada.banner).to_contain_text("The connection was lost")
    expect(bob.banner).to_contain_text("The connection was lost")
    ada.say("meanwhile")
    expect(ada.log.locator(".message.pending")).to_contain_text("meanwhile")

    server.start()
    expect(ada.log.locator(".message.pending")).to_have_count(0, timeout=15_000)
    ada.sees("meanwhile")
    expect(bob.banner).not_to_have_attribute("data-state", "trying", timeout=15_000)
    # Bob may have come back after it was said; then the room's last messages show it to him
    bob.sees("meanwhile")
    bob.say("after")
    ada.sees("after")
    for person in (ada, bob):
        expect(person.banner).to_have_attribute("data-state", "none")
        expect(person.people.locator(".who")).to_have_count(2)
        person.sees("before")
    # one line of Ben's arrival, from before: coming back with the server is no news
    expect(ada.log.get_by_text("Ben came in")).to_have_count(1)


def test_a_lost_network_is_shown_at_once(visitor: Callable[..., Visitor]) -> None:
    ann = visitor(lost_server=True)
    ann.enter("Ann in a tunnel", "tunnel")
    ann.page.context.set_offline(True)
    expect(ann.banner).to_contain_text("You are offline", timeout=5_000)
    ann.say("from the tunnel")
    ann.page.context.set_offline(False)
    expect(ann.banner).to_contain_text("You are back")
    ann.sees("from the tunnel")


def test_a_stopped_server_is_shown_and_the_page_reconnects(
    visitor: Callable[..., Visitor], server: ServerProcess
) -> None:
    ada = visitor(lost_server=True)
    ada.enter("Amy", "restart")
    server.stop()
    expect(ada.banner).to_contain_text("The connection was lost")
    server.start()
    expect(ada.banner).to_have_attribute("data-state", "none", timeout=15_000)
    ada.say("still signed in")
    ada.sees("still signed in")


def test_sending_too_fast_is_explained_and_loses_nothing(visitor: Callable[..., Visitor]) -> None:
    ada, bob = visitor(), visitor()
    ada.enter("Hasty", "limits")
    bob.enter("Calm", "limits")
    for number in range(8):
        ada.say(f"quick {number}")
    refused = ada.log.locator(".message.refused")
    expect(refused.first).to_contain_text(re.compile(r"Not sent. You are sending too fast. Wait \d seconds?\."))
    bob.sees("quick 0")
    # Nobody was thrown out, and what was refused goes out at the second try
    text = refused.last.locator(".bubble").inner_text()
    for _ in range(20):
        before = refused.count()
        refused.filter(has_text=text).get_by_role("button", name="Send again").click()
        expect(ada.log.locator(".message.pending")).to_have_count(0)
        if refused.count() < before:
            break
        ada.page.wait_for_timeout(250)
    bob.sees(text)
    bob.say("and I am not held up")
    ada.sees("and I am not held up")


def test_markup_in_names_and_messages_is_text(visitor: Callable[..., Visitor]) -> None:
    name = "<img src=x onerror=boom()>"
    attack = "<script>boom()</script><b>bold</b> \"'&amp; javascript:boom()"
    mallory, ada = visitor(), visitor()
    for person in (mallory, ada):
        person.page.expose_function("boom", lambda: pytest.fail("a visitor's text ran as code"))
    ada.enter("Eve", "attack")
    mallory.enter(name, "attack")
    mallory.say(attack)
    ada.sees(attack)
    mallory.sees(attack)
    expect(ada.log.locator(".author", has_text="onerror")).to_have_text(name)
    expect(ada.people.get_by_text(name, exact=True)).to_be_visible()
    expect(ada.log.get_by_text(f"{name} came in")).to_be_visible()
    expect(mallory.page.locator(".me-name")).to_have_text(name)
    for person in (mallory, ada):
        expect(person.page.locator("img:not([src^='/static/']), .log b, .log script")).to_have_count(0)
    mallory.say("see https://example.org/?a=1&b=<i>2</i>.")
    link = ada.log.get_by_role("link")
    expect(link).to_have_attribute("href", "https://example.org/?a=1&b=")
    expect(link).to_have_attribute("rel", re.compile("noopener"))


def test_what_cannot_be_is_refused_in_words(visitor: Callable[..., Visitor]) -> None:
    ada, other = visitor(), visitor()
    ada.enter("Grace", "words")
    other.sign_in("grace", "words")
    expect(other.page.get_by_role("alert")).to_have_text(
        "Somebody here is already called grace. Please choose another name."
    )
    expect(other.page.get_by_label("Your name")).to_have_value("grace")
    other.page.get_by_label("Your name").evaluate("element => element.removeAttribute('maxlength')")
    other.page.get_by_label("Your name").fill("x" * 50)
    other.page.get_by_role("button", name="Come in").click()
    expect(other.page.get_by_role("alert")).to_contain_text("That name has 50 characters. At most 32 fit.")
    other.page.get_by_label("Your name").fill("Hopper")
    other.page.get_by_role("button", name="Come in").click()
    expect(other.people.get_by_text("Hopper", exact=True)).to_be_visible()

    other.page.get_by_label("Open another room").fill("Book Club")
    other.page.get_by_role("button", name="Open").click()
    expect(other.page).to_have_url(re.compile("/room/book-club$"))


def test_a_room_name_that_is_not_allowed(visitor: Callable[..., Visitor]) -> None:
    ada = visitor(lost_server=True)
    ada.enter("Iris", "names")
    ada.page.get_by_label("Open another room").fill("what?*")
    ada.page.get_by_role("button", name="Open").click()
    expect(ada.page.get_by_role("alert")).to_have_text(
        "That room name is not allowed: use letters, digits and hyphens."
    )
    ada.page.get_by_role("link", name="Go to the lobby").click()
    expect(ada.page.get_by_role("heading", name="lobby")).to_be_visible()


def test_signing_out_gives_the_name_back(visitor: Callable[..., Visitor]) -> None:
    ada, other, witness = visitor(), visitor(), visitor()
    ada.enter("Joan", "doors")
    witness.enter("Will", "doors")
    ada.page.get_by_role("button", name="Sign out").click()
    expect(ada.page.get_by_role("button", name="Come in")).to_be_visible()
    expect(witness.log.get_by_text("Joan left")).to_be_visible()
    other.enter("Joan", "doors")
    expect(witness.log.get_by_text("Joan came in")).to_be_visible()


def test_an_announcement_reaches_every_room(visitor: Callable[..., Visitor], server: ServerProcess) -> None:
    ada, bob = visitor(), visitor()
    ada.enter("Kay", "one")
    bob.enter("Lee", "two")
    refused = httpx.post(f"{server.url}/announce", content="no", headers={"Authorization": "Bearer guess"})
    assert refused.status_code == 401
    done = httpx.post(f"{server.url}/announce", content="The kettle is on", headers={"Authorization": f"Bearer {KEY}"})
    assert done.status_code == 200
    for person in (ada, bob):
        expect(person.log.locator(".announcement")).to_have_text("AnnouncementThe kettle is on")


def test_a_reader_who_scrolled_up_sees_the_number_of_new_messages(visitor: Callable[..., Visitor]) -> None:
    ada, bob = visitor(viewport=PHONE), visitor()
    bob.enter("Max", "scroll")
    for number in range(4):  # and one more below: five at once is what the chat lets anybody say
        bob.say(f"line {number}" + "\n" * 10 + f"end of {number}")
        expect(bob.log.locator(".message:not(.pending):not(.refused)")).to_have_count(number + 1)
    ada.enter("Nia", "scroll")
    expect(ada.log.locator(".message")).to_have_count(4)
    pill = ada.page.locator("#latest")
    # While the page still takes its shape, the log goes back to its end by itself: a reader scrolls once more.
    ada.page.wait_for_function(
        "() => { document.querySelector('#log').scrollTo(0, 0); return !document.querySelector('#latest').hidden }"
    )
    expect(pill).to_have_text("Latest messages ↓")
    with said(bob, "news"):
        expect(pill).to_have_text("1 new message ↓")
        expect(ada.page).to_have_title(re.compile(r"^\(1\) #scroll"))
        assert ada.log.evaluate("log => log.scrollTop") == 0, "the reader's place is kept"
    pill.click()
    expect(pill).not_to_be_visible()
    expect(ada.log.get_by_text("news", exact=True)).to_be_in_viewport()
    expect(ada.page).to_have_title(re.compile("^#scroll"))


@contextmanager
def said(person: Visitor, text: str) -> Iterator[None]:
    person.say(text)
    person.sees(text)
    yield


@contextmanager
def touching(page: Page) -> Iterator[None]:
    """Nothing is wider than the screen, before and after."""
    wide = "document.documentElement.scrollWidth > innerWidth"
    assert not page.evaluate(wide)
    yield
    assert not page.evaluate(wide)


def test_on_a_phone(visitor: Callable[..., Visitor]) -> None:
    ada = visitor(viewport=PHONE, is_mobile=True, has_touch=True, device_scale_factor=2)
    bob = visitor()
    with touching(ada.page):
        ada.enter("Ola", "phone")
    bob.enter("Pia With A Rather Long Name", "phone")
    with touching(ada.page):
        bob.say("x" * 300)
        ada.sees("x" * 300)
        ada.page.get_by_role("button", name="Show the list of rooms").tap()
        expect(ada.page.get_by_role("link", name="kitchen")).to_be_in_viewport()
        ada.page.keyboard.press("Escape")
        expect(ada.page.get_by_role("link", name="kitchen")).not_to_be_visible()
        ada.page.locator("[data-open=people]").tap()
        expect(ada.people.get_by_text("Pia With")).to_be_in_viewport()
        ada.page.get_by_role("button", name="Close the list of people").tap()
        expect(ada.people).not_to_be_visible()
        ada.box.tap()
        ada.box.fill("from the bus")
        ada.page.get_by_role("button", name="Send").tap()
        bob.sees("from the bus")
    # Everything that is touched is large enough for a finger
    small = ada.page.evaluate(
        """() => [...document.querySelectorAll('.top button, .composer button, .composer textarea')]
            .map(element => [element.getAttribute('aria-label') || element.id, element.getBoundingClientRect()])
            .filter(([, box]) => box.width && (box.height < 40 || box.width < 40)).map(([name]) => name)"""
    )
    assert small == []


def test_without_a_mouse(visitor: Callable[..., Visitor]) -> None:
    """From the address bar, by keyboard alone; and every control has a name."""
    ada = visitor()
    ada.enter("Sam", "keys")
    expect(ada.box).to_be_focused()
    skip = ada.page.get_by_role("link", name="Skip to the message box")
    for _ in range(30):
        ada.page.keyboard.press("Shift+Tab")
        if skip.evaluate("link => link === document.activeElement"):
            break
    expect(skip).to_be_in_viewport()
    ada.page.keyboard.press("Enter")
    ada.page.keyboard.type("typed")
    ada.page.keyboard.press("Enter")
    ada.sees("typed")
    nameless = ada.page.evaluate(
        """() => [...document.querySelectorAll('button, a, input, textarea')]
            .filter(each => each.type !== 'hidden' && each.checkVisibility()
              && !(each.getAttribute('aria-label') || each.labels?.length || each.textContent.trim()))
            .map(each => each.outerHTML)"""
    )
    assert nameless == []


@pytest.mark.parametrize("broker", ["local", "redis", "cluster", "nats"])
def test_the_people_on_several_workers(
    chromium: Browser, start_server: Callable[..., ServerProcess], tmp_path_factory: pytest.TempPathFactory, broker: str
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="odac-", dir=tmp_path_factory.getbasetemp()))
    backend = None if broker == "local" else SERVERS[broker](folder)
    environment = {}
    if backend is not None:
        backend.start()
        environment["ODAC_BROKER"] = backend.url
    try:
        server = start_server("examples.chat.app:app", environment, ["--workers", "2"])
        contexts = [chromium.new_context(viewport={"width": 1280, "height": 800}) for _ in range(5)]
        people = [Visitor(context.new_page(), server.url) for context in contexts]
        for number, person in enumerate(people):
            person.enter(f"Guest {number}", "shared")
        for person in people:
            expect(person.people.locator(".who")).to_have_count(5)
            expect(person.page.locator("#here-count")).to_have_text("5 here")
            expect(person.page.locator("#rooms [aria-current] .count")).to_have_text("5")
        if broker != "nats":  # which keeps no history: there, each worker lists its own rooms
            for person in people[:3]:
                person.page.get_by_role("link", name="kitchen").click()
                expect(person.page.locator("#rooms a", has_text="shared").locator(".count")).to_have_text(
                    re.compile(r"\d")
                )
                person.page.go_back()
                expect(person.page.locator("#here-count")).to_have_text("5 here")
        people[1].page.reload()
        people[4].page.get_by_role("button", name="Sign out").click()
        for person in people[:4]:
            expect(person.people.locator(".who")).to_have_count(4)
            # the one who signed out, and not the one whose page was loaded again
            expect(person.log.get_by_text("Guest 1 left")).to_have_count(0)
        expect(people[0].log.get_by_text("Guest 4 left")).to_have_count(1)
        for context in contexts:
            context.close()
        server.stop()
    finally:
        if backend is not None:
            backend.stop()


def test_nobody_misses_a_line_when_the_workers_are_killed(
    chromium: Browser, start_server: Callable[..., ServerProcess], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Seventy lines are said while no page is connected, and the pages come back to other processes."""
    backend = SERVERS["redis"](Path(tempfile.mkdtemp(prefix="odac-", dir=tmp_path_factory.getbasetemp())))
    backend.start()
    try:
        server = start_server("examples.chat.app:app", {"ODAC_BROKER": backend.url}, ["--workers", "2"])
        contexts = [chromium.new_context(viewport=DESK) for _ in range(2)]  # type: ignore[arg-type]
        people = [Visitor(context.new_page(), server.url) for context in contexts]
        for number, person in enumerate(people):
            person.enter(f"Reader {number}", "tea")
        people[0].say("before")
        people[1].sees("before")
        server.kill_workers()
        with Publisher(backend.url) as publisher:
            for number in range(70):
                message = {
                    "type": "message",
                    "id": f"published-{number}",
                    "from": {"id": "9", "name": "Kettle"},
                    "text": f"line {number}",
                    "at": int(time.time() * 1000),
                }
                publisher.to_room("tea", message)
        for person in people:
            person.sees("line 69")
            lines = person.log.locator(".message .bubble").all_inner_texts()
            assert lines == ["before", *(f"line {number}" for number in range(70))]
            expect(person.log.get_by_text("may be missing")).to_have_count(0)
        for context in contexts:
            context.close()
        server.stop()
    finally:
        backend.stop()
