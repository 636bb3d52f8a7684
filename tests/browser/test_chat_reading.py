"""The chat with much to read: thousands of messages, many people, many rooms, and what is unread."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chat_crowd import Crowd, fill
from tests.browser.chat_visitors import PHONE, Visitor, visitors
from tests.browser.conftest import ServerProcess

MakeVisitor = Callable[..., Visitor]

MANY = 5_000
NAMES = [f"{first} {last}" for first in ("Uma", "Vic", "Wes", "Xan", "Yla") for last in ("Ash", "Elm", "Fir", "Oak")]
NAMES += [f"{name} Junior" for name in NAMES]


@pytest.fixture(scope="module")
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    return start_server("tests.browser.chat_crowd:app")


@pytest.fixture
def visitor(chromium: Browser, server: ServerProcess) -> Iterator[MakeVisitor]:
    yield from visitors(chromium, server.url)


def elements(page: Page) -> int:
    count: int = page.evaluate("() => document.querySelectorAll('*').length")
    return count


def heap(page: Page) -> float:
    """What the page's scripts hold, in MiB."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    used: float = session.send("Runtime.getHeapUsage")["usedSize"] / 2**20
    session.detach()
    return used


def laid_out(browser: Browser, page: Page, act: Callable[[], None]) -> int:
    """How many boxes the browser laid out anew while something was done: what it costs, without a clock."""
    browser.start_tracing(page=page, categories=["devtools.timeline"])
    act()
    events = json.loads(browser.stop_tracing())["traceEvents"]
    layouts = [
        event["args"]["beginData"] for event in events if event["name"] == "Layout" and "beginData" in event["args"]
    ]
    assert layouts
    return sum(layout["dirtyObjects"] for layout in layouts)


@pytest.mark.slow
def test_thousands_of_messages_and_forty_people_cost_what_a_few_cost(
    chromium: Browser, visitor: MakeVisitor, server: ServerProcess
) -> None:
    ada = visitor()

    def type_and_send(text: str) -> Callable[[], None]:
        def act() -> None:
            ada.box.press_sequentially("the quick brown fox jumps " + text)
            ada.box.press("Enter")
            ada.sees("the quick brown fox jumps " + text)

        return act

    ada.enter("Typist", "small")
    fill(server.url, "small", 100)
    ada.sees("line 99 of many")
    few = laid_out(chromium, ada.page, type_and_send("here"))
    before = heap(ada.page)

    with Crowd(server.url) as crowd:
        ada.page.goto(f"{server.url}/room/large")
        expect(ada.page.locator("#here-count")).to_have_text("Only you")
        crowd.come(NAMES, ["large"] * len(NAMES))
        expect(ada.page.locator("#here-count")).to_have_text("41 here")
        fill(server.url, "large", MANY)
        ada.sees(f"line {MANY - 1} of many")
        messages = ada.log.locator(".message")
        assert 400 <= messages.count() <= 620
        assert elements(ada.page) < 4_500
        # all of it is known, and takes little: the page holds the messages, not their elements
        assert heap(ada.page) < before + 12
        many = laid_out(chromium, ada.page, type_and_send("there"))
        assert many < few * 2, f"{many} boxes laid out, with few messages {few}"


def test_older_messages_come_on_demand_and_keep_the_readers_place(visitor: MakeVisitor, server: ServerProcess) -> None:
    fill(server.url, "archive", 1_200)
    ada = visitor()
    ada.enter("Reader", "archive")
    ada.sees("line 1199 of many")
    first = ada.log.locator(".said > .message").first
    seen = set()
    for _ in range(60):
        seen.add(top := first.locator(".bubble").inner_text())
        if top == "line 0 of many":
            break
        # While it scrolls up, whatever stands in the view stays where it is.
        ada.log.evaluate("log => log.scrollTo(0, 0)")
        expect(first.locator(".bubble")).not_to_have_text(top)
        assert ada.log.locator(".message").count() <= 720
    else:
        pytest.fail("the first message did not come")
    assert len(seen) > 5
    ada.log.evaluate("log => log.scrollTo(0, 0)")
    expect(first.locator(".bubble")).to_be_in_viewport()
    assert ada.log.locator(".message").count() <= 720
    ada.page.locator("#latest").click()
    expect(ada.log.get_by_text("line 1199 of many")).to_be_in_viewport()


def test_a_reader_further_up_is_not_moved(visitor: MakeVisitor, server: ServerProcess) -> None:
    fill(server.url, "still", 300)
    ada = visitor()
    ada.enter("Still", "still")
    ada.sees("line 299 of many")
    ada.log.evaluate("log => { log.scrollTop = log.scrollHeight / 2 }")
    expect(ada.page.locator("#latest")).to_be_visible()
    ada.log.evaluate(
        """log => {
          const middle = log.getBoundingClientRect().top + log.clientHeight / 2
          window.mark = document.elementFromPoint(log.getBoundingClientRect().left + log.clientWidth / 2, middle).closest('.said > *')
          window.place = window.mark.getBoundingClientRect().top
        }"""
    )
    fill(server.url, "still", 1_000, first=300)
    expect(ada.page.locator("#latest")).to_have_text("1000 new messages ↓")
    assert ada.page.evaluate("() => window.mark.getBoundingClientRect().top - window.place") == 0
    assert ada.log.locator(".message").count() < 1_200
    expect(ada.page).to_have_title(re.compile(r"^\(1000\) "))
    ada.page.locator("#latest").click()
    expect(ada.log.get_by_text("line 1299 of many")).to_be_in_viewport()
    expect(ada.page).to_have_title(re.compile(r"^#still"))


def test_search_leads_to_a_message_far_up(visitor: MakeVisitor, server: ServerProcess) -> None:
    fill(server.url, "library", 900)
    ada = visitor()
    ada.enter("Searcher", "library")
    ada.page.get_by_role("button", name="Search in this room").click()
    box = ada.page.get_by_role("searchbox", name="Search for")
    expect(box).to_be_focused()
    box.fill("nothing of this kind")
    box.press("Enter")
    expect(ada.page.locator("#search-count")).to_have_text("Nothing found.")
    box.fill("LINE 17 of")
    box.press("Enter")
    expect(ada.page.locator("#search-count")).to_have_text("1 message")
    ada.page.locator("#found button").click()
    found = ada.message("line 17 of many")
    expect(found).to_be_in_viewport()
    expect(found).to_be_focused()
    box.press("Escape")
    expect(ada.page.locator("#search")).not_to_be_visible()


@pytest.mark.slow
def test_sixty_rooms_and_forty_arrivals(visitor: MakeVisitor, server: ServerProcess) -> None:
    ada = visitor()
    ada.enter("Host", "hall")
    ada.say("before the crowd")
    with Crowd(server.url) as crowd:
        crowd.come([f"{name} Hall" for name in NAMES], ["hall"] * len(NAMES))
        expect(ada.page.locator("#here-count")).to_have_text("41 here")
        # one line, and the talk is still in view
        expect(ada.log.locator(".system")).to_have_count(1)
        expect(ada.log.locator(".system")).to_have_text(re.compile(r"^.+, .+ and 38 more came in"))
        expect(ada.log.get_by_text("before the crowd")).to_be_in_viewport()
        rooms = [f"side-{number}" for number in range(60)]
        guests = [f"Side {number}" for number in range(60)]
        crowd.come(guests, rooms)
        links = ada.page.locator("#rooms a")
        expect(links).to_have_count(64)
        expect(ada.page.get_by_role("button", name="Sign out")).to_be_in_viewport()
        expect(ada.page.get_by_label("Open another room")).to_be_in_viewport()
        find = ada.page.get_by_role("searchbox", name="Find a room")
        find.fill("side-59")
        expect(links).to_have_count(1)
        find.fill("no such room")
        expect(ada.page.locator("#no-room")).to_be_visible()
        find.fill("side-59")
        find.press("Enter")
        expect(ada.page.get_by_role("heading", name="side-59")).to_be_visible()


SPY = """
window.badges = []
navigator.setAppBadge = (count) => { window.badges.push(count); return Promise.resolve() }
navigator.clearAppBadge = () => { window.badges.push(0); return Promise.resolve() }
window.told = []
class Notification {
  static permission = 'default'
  static requestPermission() { Notification.permission = 'granted'; return Promise.resolve('granted') }
  constructor(title, { body, tag }) { window.told.push([title, body, tag]) }
}
window.Notification = Notification
"""


def test_messages_in_other_rooms_are_counted_and_notified(visitor: MakeVisitor) -> None:
    ada, bob = visitor(), visitor()
    ada.page.add_init_script(SPY)
    ada.enter("Nora", "near")
    ada.say("something to read")
    ada.page.get_by_role("link", name="lobby").click()
    expect(ada.page.get_by_role("heading", name="lobby")).to_be_visible()
    expect(ada.people.get_by_text("Nora", exact=True)).to_be_attached()

    bob.enter("Ned", "near")
    bob.say("for anybody")
    near = ada.page.locator("#rooms a", has_text="near")
    expect(near.locator(".unread")).to_have_text("1")
    expect(ada.page).to_have_title(re.compile(r"^\(1\) #lobby"))
    assert ada.page.evaluate("() => window.badges.at(-1)") == 1
    assert ada.page.evaluate("() => window.told") == [], "nobody asked to be notified"

    bell = ada.page.get_by_role("button", name="Notify me when somebody calls me")
    bell.click()
    expect(bell).to_have_attribute("aria-pressed", "true")
    bob.say("@nora, come here")
    expect(near.locator(".unread.mention")).to_have_text("@ 2")
    assert [told[:2] for told in ada.page.evaluate("() => window.told")] == [["Ned in #near", "@nora, come here"]]
    bob.say("@Norah is somebody else")
    expect(near.locator(".unread")).to_have_text("@ 3")
    assert len(ada.page.evaluate("() => window.told")) == 1

    # a page that is loaded anew asks what it has missed
    ada.page.reload()
    expect(near.locator(".unread.mention")).to_have_text("@ 3")
    near.click()
    ada.sees("@nora, come here")
    expect(ada.log.locator(".message.calls-me")).to_have_count(1)
    expect(near.locator(".unread")).to_have_count(0)
    expect(ada.page).to_have_title(re.compile(r"^#near"))
    ada.page.get_by_role("link", name="lobby").click()
    expect(ada.page.get_by_role("heading", name="lobby")).to_be_visible()
    expect(ada.page.locator("#here-count")).not_to_have_text("Connecting…")
    expect(near.locator(".unread")).to_have_count(0)


def test_messages_are_changed_deleted_and_reacted_to(visitor: MakeVisitor) -> None:
    ada, bob = visitor(), visitor()
    ada.enter("Edith", "changes")
    bob.enter("Bruno", "changes")
    ada.say("a tpyo")
    bob.sees("a tpyo")
    tick = ada.log.locator(".tick")
    expect(tick).to_have_text("✓✓ 1")
    expect(tick).to_have_attribute("aria-label", "Read by Bruno")

    # the last one, by the arrow key
    ada.box.press("ArrowUp")
    expect(ada.box).to_have_value("a tpyo")
    ada.box.fill("a typo")
    ada.box.press("Enter")
    for person in (ada, bob):
        person.sees("a typo")
        expect(person.message("a typo").locator(".edited")).to_be_visible()
    expect(ada.box).to_have_value("")

    # a reaction, by mouse, and back
    bob.message("a typo").hover()
    bob.page.get_by_role("button", name="React with 👍").click()
    mine = bob.log.locator(".reactions button")
    expect(mine).to_have_attribute("aria-label", "👍 1: Bruno")
    expect(mine).to_have_attribute("aria-pressed", "true")
    hers = ada.log.locator(".reactions button")
    expect(hers).to_have_attribute("aria-pressed", "false")
    hers.click()
    expect(mine).to_have_attribute("aria-label", "👍 2: Bruno, Edith")
    mine.click()
    expect(hers).to_have_attribute("aria-label", "👍 1: Edith")

    # by keyboard: choose the message, open what can be done, delete it
    expect(bob.page.get_by_role("button", name="Change")).not_to_be_visible()
    ada.page.mouse.move(5, 5)
    ada.log.focus()
    ada.page.keyboard.press("ArrowUp")
    expect(ada.message("a typo")).to_be_focused()
    ada.page.keyboard.press("Enter")
    expect(ada.page.get_by_role("button", name="React with 👍")).to_be_focused()
    ada.page.get_by_role("button", name="Delete").press("Enter")
    ada.page.get_by_role("button", name="Really delete?").press("Enter")
    for person in (ada, bob):
        expect(person.log.locator(".message .bubble")).to_have_text("This message was deleted.")
        expect(person.log.locator(".reactions")).to_have_count(0)
    # and a page that comes later sees it as it is now
    bob.page.reload()
    expect(bob.log.locator(".message .bubble")).to_have_text("This message was deleted.")


def test_what_was_written_outlives_the_message_that_it_should_change(visitor: MakeVisitor) -> None:
    """Another tab deletes the message meanwhile: an edit would change nothing, and the text would be gone."""
    ada = visitor()
    ada.enter("Ulla", "twice")
    other = visitor(beside=ada)
    other.page.goto(ada.page.url)
    ada.say("at first")
    other.sees("at first")
    ada.box.fill("a draft")
    message = ada.message("at first")
    message.hover()
    message.get_by_role("button", name="Change").click()
    ada.box.fill("much better")
    delete(other, "at first")
    expect(ada.page.locator("#editing")).to_be_hidden()
    expect(ada.box).to_have_value("a draft\nmuch better")
    ada.box.fill("another")
    ada.box.press("Enter")
    for tab in (ada, other):
        tab.sees("another")
    # with nothing written, the deleted text does not stay
    ada.box.press("ArrowUp")
    expect(ada.box).to_have_value("another")
    delete(other, "another")
    expect(ada.page.locator("#editing")).to_be_hidden()
    expect(ada.box).to_have_value("")


def delete(person: Visitor, text: str) -> None:
    message = person.message(text)
    message.hover()
    message.get_by_role("button", name="Delete").click()
    message.get_by_role("button", name="Really delete?").click()


def test_the_focus_stays_in_an_open_drawer(visitor: MakeVisitor) -> None:
    ada = visitor(viewport=PHONE)
    ada.enter("Drawn", "drawers")
    for opener, drawer in (("Show the list of rooms", "side"), ("Only you", "people")):
        ada.page.get_by_role("button", name=opener).click()
        expect(ada.page.locator(f"#{drawer} [data-close]")).to_be_focused()
        for key in ("Tab", "Shift+Tab"):
            for _ in range(12):
                ada.page.keyboard.press(key)
                inside = "drawer => drawer.contains(document.activeElement) || document.activeElement === document.body"
                assert ada.page.locator(f"#{drawer}").evaluate(inside)
        ada.page.keyboard.press("Escape")
        expect(ada.page.get_by_role("button", name=opener)).to_be_focused()
    ada.box.click()
    expect(ada.box).to_be_focused()
